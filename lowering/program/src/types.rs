//! Tensor types of the launch program.

use crate::{expr::Expr, layout::Layout};
use kforge_quant::Element;
use serde::{Deserialize, Serialize};
use std::fmt;

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
