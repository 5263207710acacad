//! Translation errors: why a kernel has no WGSL, and where.

use kforge_dialect::{diagnostics::Place, ir::op_name};
use melior::ir::{
    Location,
    operation::{OperationLike, OperationRef},
};
use std::fmt;

/// An op, type or attribute outside of the subset that is translated.
///
/// It prints as `file:line:column: error: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TranslateError {
    /// Where the op was parsed; none if it was built by a program without a location.
    pub place: Option<Place>,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, TranslateError>;

impl fmt::Display for TranslateError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "error: {}", self.message)
    }
}

impl TranslateError {
    /// An error at a place.
    pub fn at(location: Location<'_>, message: impl fmt::Display) -> Self {
        Self { place: Place::of(location), message: message.to_string() }
    }

    /// An error at an op, which it names: `'arith.xori' ...`.
    pub fn op(op: OperationRef<'_, '_>, message: impl fmt::Display) -> Self {
        Self::at(op.location(), format!("'{}' {message}", op_name(&op)))
    }
}
