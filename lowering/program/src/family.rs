//! Classification of kernels: family, role and arithmetic.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A kernel family: one generator for a CPU, one for a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    Gemv,
    Gemm,
    /// A GEMM on a GPU's matrix units.
    Mma,
    Matmul,
    Attention,
    Rope,
    Embedding,
    Rowwise,
    TopK,
    Elementwise,
}

impl Family {
    pub const ALL: [Family; 10] = [
        Family::Gemv,
        Family::Gemm,
        Family::Mma,
        Family::Matmul,
        Family::Attention,
        Family::Rope,
        Family::Embedding,
        Family::Rowwise,
        Family::TopK,
        Family::Elementwise,
    ];

    /// The name in `#transformer.kernel`.
    pub fn name(self) -> &'static str {
        match self {
            Family::Gemv => "gemv",
            Family::Gemm => "gemm",
            Family::Mma => "mma",
            Family::Matmul => "matmul",
            Family::Attention => "attention",
            Family::Rope => "rope",
            Family::Embedding => "embedding",
            Family::Rowwise => "rowwise",
            Family::TopK => "top_k",
            Family::Elementwise => "elementwise",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || {
            let known = Family::ALL.map(Family::name).join(", ");
            format!("there is no kernel family '{name}'; there are {known}")
        };
        Family::ALL.into_iter().find(|family| family.name() == name).ok_or_else(unknown)
    }
}

/// The role of a kernel in its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Computes the group's results.
    #[default]
    Main,
    /// A separate launch before or after the main kernel, connected by an intermediate: block sums, merging ranges of
    /// keys, or merging candidates. It binds the operands of the main kernel, and need not read them.
    Companion,
}

/// The arithmetic of a kernel's products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    #[default]
    F32,
    /// f16 operands on matrix units, with f32 sums.
    F16,
    /// 8-bit activations with quantised weights.
    Int8,
}

impl Arithmetic {
    pub const ALL: [Arithmetic; 3] = [Arithmetic::F32, Arithmetic::F16, Arithmetic::Int8];

    pub fn name(self) -> &'static str {
        match self {
            Arithmetic::F32 => "f32",
            Arithmetic::F16 => "f16",
            Arithmetic::Int8 => "int8",
        }
    }
}
