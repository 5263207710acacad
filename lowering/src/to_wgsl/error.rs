//! Why a kernel has no WGSL, and where.

use kforge_dialect::ir::op_name;
use melior::ir::{
    Location,
    operation::{OperationLike, OperationRef},
};
use std::fmt;

/// An op, type or attribute outside of the subset that is translated.
///
/// It prints as `file:line:column: error: message`; what was parsed from memory has the file `-`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct TranslateError {
    /// Where the op was read; none if it was built by a program and given no place.
    pub place: Option<Place>,
    pub message: String,
}

/// A place in a source file, lines and columns from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

pub type Result<T> = std::result::Result<T, TranslateError>;

impl fmt::Display for TranslateError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if let Some(Place { file, line, column }) = &self.place {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        write!(f, "error: {}", self.message)
    }
}

impl TranslateError {
    /// An error at a place.
    pub fn at(location: Location<'_>, message: impl fmt::Display) -> Self {
        Self { place: place(location), message: message.to_string() }
    }

    /// An error at an op, which it names: `'arith.xori' ...`.
    pub fn op(op: OperationRef<'_, '_>, message: impl fmt::Display) -> Self {
        Self::at(op.location(), format!("'{}' {message}", op_name(&op)))
    }

    /// The same error, of the file `name` where it says `-`.
    #[must_use]
    pub fn in_file(mut self, name: &str) -> Self {
        if let Some(place) = self.place.as_mut().filter(|place| place.file == "-") {
            place.file = name.to_owned();
        }
        self
    }
}

/// The first file, line and column of a location.
fn place(location: Location<'_>) -> Option<Place> {
    if location.is_file_line_col_range() {
        return Some(Place {
            file: location.file_line_col_range_filename().as_string_ref().as_str().ok()?.to_owned(),
            line: location.file_line_col_range_start_line(),
            column: location.file_line_col_range_start_column(),
        });
    }
    if location.is_name() {
        return place(location.name_child_location());
    }
    if location.is_call_site() {
        return place(location.call_site_callee());
    }
    let parts = if location.is_fused() { location.fused_num_locations() } else { 0 };
    (0..parts).find_map(|i| place(location.fused_location(i)))
}
