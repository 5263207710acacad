//! Element types of tensors.

use crate::BlockFormat;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Element type of a tensor. Launch programs and checkpoints hold a part of them: programs no `I64` and `Bool`, checkpoints no
/// integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Element {
    F32,
    F16,
    BF16,
    I32,
    /// Also MLIR's `index`.
    I64,
    /// MLIR's `i1`.
    Bool,
    /// A block-quantised weight: rank 2, [rows, columns], columns a multiple of the block.
    Quant(BlockFormat),
}

impl Element {
    pub fn is_float(self) -> bool {
        matches!(self, Element::F32 | Element::F16 | Element::BF16)
    }

    pub fn is_integer(self) -> bool {
        matches!(self, Element::I32 | Element::I64 | Element::Bool)
    }

    /// Bytes of one element; `None` for a quantised weight, whose bytes are per block.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Element::I64 => Some(8),
            Element::F32 | Element::I32 => Some(4),
            Element::F16 | Element::BF16 => Some(2),
            Element::Bool => Some(1),
            Element::Quant(_) => None,
        }
    }

    /// Bytes of a row of `columns`; `None` on overflow or a partial block.
    pub fn row_bytes(self, columns: usize) -> Option<usize> {
        match self {
            Element::Quant(format) => format.bytes(1, columns),
            element => columns.checked_mul(element.bytes()?),
        }
    }

    /// Bytes of a row-major tensor of `dims`; `None` on overflow, a partial block, or a quantised weight that is not of
    /// rank 2.
    pub fn tensor_bytes(self, dims: &[usize]) -> Option<usize> {
        match (self, dims) {
            (Element::Quant(format), [rows, columns]) => format.bytes(*rows, *columns),
            (Element::Quant(_), _) => None,
            (element, dims) => dims.iter().try_fold(element.bytes()?, |product, d| product.checked_mul(*d)),
        }
    }
}

/// The name in the dialect: `bf16`, `i1`, `q4_1`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Element::F32 => "f32",
            Element::F16 => "f16",
            Element::BF16 => "bf16",
            Element::I32 => "i32",
            Element::I64 => "i64",
            Element::Bool => "i1",
            Element::Quant(format) => format.name(),
        })
    }
}
