//! What can go wrong, and where.

use crate::ir;
use melior::ir::{Location, operation::OperationLike};
use std::fmt;

/// An error at a place of the module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{location}: error: {message}")]
pub struct InterpretError {
    /// `file:line:column`, as compilers print it.
    pub location: String,
    /// In the form of MLIR's own: `'transformer.linear' op ...`.
    pub message: String,
}

impl InterpretError {
    pub(super) fn at<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>, failure: impl Into<Failure>) -> Self {
        let name = ir::op_name(op);
        let Failure(text) = failure.into();
        // The reference names its op, without the dialect.
        let bare = name.rsplit('.').next().unwrap_or_default();
        let text = text.strip_prefix(bare).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text);
        Self { location: place(op.location(), 0), message: format!("'{name}' op {text}") }
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

/// The file, line and column inside a location; what MLIR prints where there are none.
fn place(location: Location<'_>, depth: usize) -> String {
    // Passes nest a handful of locations; a file can nest more.
    if depth < 16 {
        if location.is_file_line_col_range() {
            let file = location.file_line_col_range_filename();
            let file = file.as_string_ref().as_str().unwrap_or("?").to_owned();
            let (line, column) =
                (location.file_line_col_range_start_line(), location.file_line_col_range_start_column());
            return format!("{file}:{line}:{column}");
        }
        if location.is_name() {
            return place(location.name_child_location(), depth + 1);
        }
        if location.is_call_site() {
            return place(location.call_site_callee(), depth + 1);
        }
        if location.is_fused() && location.fused_num_locations() > 0 {
            return place(location.fused_location(0), depth + 1);
        }
    }
    location.to_string()
}
