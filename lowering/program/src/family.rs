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

/// The facts of one family.
struct Row {
    family: Family,
    name: &'static str,
    /// The ops that it computes as the main op of a group, by their names in the dialect.
    ops: &'static [&'static str],
}

/// A group is of the first family with an op of the group. `select-kernels` replaces `gemm` by `gemv` and `mma` where they
/// serve better.
const ROWS: [Row; 10] = [
    Row { family: Family::Gemv, name: "gemv", ops: &[] },
    Row { family: Family::Gemm, name: "gemm", ops: &["linear"] },
    Row { family: Family::Mma, name: "mma", ops: &[] },
    Row { family: Family::Matmul, name: "matmul", ops: &["matmul"] },
    Row { family: Family::Attention, name: "attention", ops: &["attention"] },
    Row { family: Family::Rope, name: "rope", ops: &["rope", "kv_update"] },
    Row { family: Family::Embedding, name: "embedding", ops: &["embedding"] },
    Row { family: Family::Rowwise, name: "rowwise", ops: &["rms_norm", "layer_norm", "softmax", "quantize"] },
    Row { family: Family::TopK, name: "top_k", ops: &["top_k"] },
    Row { family: Family::Elementwise, name: "elementwise", ops: &[] },
];

impl Family {
    /// Every family, in the order of their rows.
    pub const ALL: [Family; ROWS.len()] = {
        let mut all = [Family::Gemm; ROWS.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = ROWS[i].family;
            i += 1;
        }
        all
    };

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.family == self).expect("every family has a row")
    }

    /// The name in `#transformer.kernel`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The ops that it computes as the main op of a group, by their names in the dialect: `rope`.
    pub fn ops(self) -> &'static [&'static str] {
        self.row().ops
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
