//! Tensor types of the launch program.

use crate::expr::Expr;
use kforge_quant::BlockFormat;
use serde::{Deserialize, Serialize};

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Element {
    F32,
    F16,
    BF16,
    I32,
    /// A block-quantised weight; rank 2, [rows, columns], columns a multiple of the block's length.
    Quant(BlockFormat),
}

/// A dimension: known, or an expression over the function's symbols.
pub type Dim = Expr;

/// Shape and element of a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorType {
    pub dims: Vec<Dim>,
    pub element: Element,
}
