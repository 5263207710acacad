//! Tensor types of the launch program.

use crate::{expr::Expr, layout::Layout};
use kforge_quant::BlockFormat;
use serde::{Deserialize, Serialize};
use std::fmt;

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

impl Element {
    /// Bytes of one element; `None` for a quantised weight, whose bytes are per block.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Element::F32 | Element::I32 => Some(4),
            Element::F16 | Element::BF16 => Some(2),
            Element::Quant(_) => None,
        }
    }

    /// Bytes of a row-major tensor of `dims`; `None` on overflow or a partial block.
    pub fn tensor_bytes(self, dims: &[usize]) -> Option<usize> {
        match (self, dims) {
            (Element::Quant(format), [rows, columns]) => format.bytes(*rows, *columns),
            (Element::Quant(_), _) => None,
            (element, dims) => dims.iter().try_fold(element.bytes()?, |product, d| product.checked_mul(*d)),
        }
    }
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Element::F32 => f.write_str("f32"),
            Element::F16 => f.write_str("f16"),
            Element::BF16 => f.write_str("bf16"),
            Element::I32 => f.write_str("i32"),
            Element::Quant(format) => write!(f, "{format}"),
        }
    }
}

/// A dimension: a constant, or an expression over the function's symbols.
pub type Dim = Expr;

/// Shape and element of a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorType {
    pub dims: Vec<Dim>,
    pub element: Element,
}

impl TensorType {
    /// Evaluates the dimensions for given symbols.
    ///
    /// # Errors
    /// If one has no value or is negative.
    pub fn shape(&self, symbols: &[i64]) -> Result<Vec<usize>, String> {
        self.dims
            .iter()
            .map(|d| usize::try_from(d.eval(symbols)?).map_err(|_| format!("the dimension {d} is negative")))
            .collect()
    }

    /// Bytes in `layout`, as an expression.
    pub fn bytes(&self, layout: Layout) -> Expr {
        crate::layout::bytes(self, layout)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("tensor<")?;
        for dim in &self.dims {
            write!(f, "{dim}x")?;
        }
        write!(f, "{}>", self.element)
    }
}
