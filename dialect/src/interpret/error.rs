//! What can go wrong, and where.

use crate::{diagnostics::Place, ir};
use melior::ir::operation::OperationLike;
use std::fmt;

/// An error at a place of the module. It prints as `file:line:column: error: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InterpretError {
    /// Where the op was read; none if a program built it.
    pub place: Option<Place>,
    /// In the form of MLIR's own: `'transformer.linear' op ...`.
    pub message: String,
}

impl fmt::Display for InterpretError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: error: {}", self.message),
            None => write!(f, "error: {}", self.message),
        }
    }
}

impl InterpretError {
    pub(super) fn at<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>, failure: impl Into<Failure>) -> Self {
        let name = ir::op_name(op);
        let Failure(text) = failure.into();
        // The reference names its op, without the dialect.
        let bare = name.rsplit('.').next().unwrap_or_default();
        let text = text.strip_prefix(bare).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text);
        Self { place: Place::of(op.location()), message: format!("'{name}' op {text}") }
    }
}

/// Why an op failed; [`InterpretError::at`] adds which and where.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    /// Of an op that has no meaning here.
    pub fn unknown() -> Self {
        Failure("is not among the ops that the reference interprets".to_owned())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Failure(text)
    }
}

impl From<&str> for Failure {
    fn from(text: &str) -> Self {
        Failure(text.to_owned())
    }
}

impl From<kforge_reference::Error> for Failure {
    fn from(error: kforge_reference::Error) -> Self {
        match error {
            kforge_reference::Error::UnknownOp(_) => Failure::unknown(),
            error => Failure(error.to_string()),
        }
    }
}
