//! Modules from text or bytecode, and what MLIR says of them.
//!
//! Diagnostics are rendered by MLIR itself, as `kforge-opt` prints them:
//!
//! ```text
//! m.mlir:2:8: error: 'transformer.softmax' op operand #0 must be ...
//!   %y = transformer.softmax %x : tensor<2x4xi32>
//!        ^
//! ```

use crate::{ffi, ir, pass};
use melior::{
    Context, StringRef,
    ir::{Location, Module},
};
use mlir_sys::MlirStringRef;
use std::{ffi::c_void, fmt, ptr::NonNull};

/// The text or bytecode of a module, and the file that diagnostics name.
#[derive(Clone, Copy, Debug)]
pub struct Source<'s> {
    pub name: &'s str,
    pub bytes: &'s [u8],
}

/// What a program wrote has no file: diagnostics call it `module`.
impl<'s, T: AsRef<[u8]> + ?Sized> From<&'s T> for Source<'s> {
    fn from(text: &'s T) -> Self {
        Source { name: "module", bytes: text.as_ref() }
    }
}

/// What is said of a context from the making of this to its end.
pub struct Diagnostics<'c> {
    raw: NonNull<ffi::Diagnostics>,
    context: &'c Context,
}

impl<'c> Diagnostics<'c> {
    /// Listens to a context. Lines of `source` are shown below the messages that name a place in it.
    pub fn new(context: &'c Context, source: Source<'_>) -> Self {
        let bytes = MlirStringRef { data: source.bytes.as_ptr().cast(), length: source.bytes.len() };
        // SAFETY: name and source are copied. The context is borrowed as long as it is listened to.
        let raw = unsafe { ffi::kforgeDiagnosticsNew(context.to_raw(), StringRef::new(source.name).to_raw(), bytes) };
        Diagnostics { raw: NonNull::new(raw).expect("C++'s new gives an object"), context }
    }

    pub fn context(&self) -> &'c Context {
        self.context
    }

    /// Parses and verifies the source.
    pub fn parse(&self) -> Option<Module<'c>> {
        // SAFETY: `raw` is alive; a module that is not null is the caller's.
        unsafe {
            let module = ffi::kforgeDiagnosticsParse(self.raw.as_ptr());
            (!module.ptr.is_null()).then(|| Module::from_raw(module))
        }
    }

    /// What was said since the last call: notes, warnings and errors with their lines. Empty if nothing was.
    pub fn take(&self) -> String {
        let mut text = String::new();
        // SAFETY: `raw` is alive, and `text` outlives the call.
        unsafe { ffi::kforgeDiagnosticsTake(self.raw.as_ptr(), take_text, (&raw mut text).cast()) };
        text.trim_end().to_owned()
    }

    /// An error at a location of the context, rendered after what was said before it.
    pub fn error(&self, location: Location<'_>, message: &str) -> String {
        pass::emit_error(location, message);
        self.take()
    }

    /// An error at a place, which need not be known.
    pub fn error_at(&self, place: Option<&Place>, message: &str) -> String {
        let location = match place {
            Some(Place { file, line, column }) => Location::new(self.context, file, *line, *column),
            None => Location::unknown(self.context),
        };
        self.error(location, message)
    }
}

impl Drop for Diagnostics<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `kforgeDiagnosticsNew`, and not used after this.
        unsafe { ffi::kforgeDiagnosticsDelete(self.raw.as_ptr()) }
    }
}

/// Appends a text of C++ to the `String` that `data` points to.
pub(crate) unsafe extern "C" fn take_text(text: MlirStringRef, data: *mut c_void) {
    // SAFETY: the text is valid during the call, and the callers give a string.
    unsafe { (*data.cast::<String>()).push_str(&ir::text(StringRef::from_raw(text))) };
}

/// A place in a source file, lines and columns from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Place {
    /// The first place in a location, if it has one.
    pub fn of(location: Location<'_>) -> Option<Place> {
        Self::within(location, 0)
    }

    fn within(location: Location<'_>, depth: usize) -> Option<Place> {
        // Passes nest a handful of locations; a file can nest more.
        if depth >= 16 {
            return None;
        }
        if location.is_file_line_col_range() {
            return Some(Place {
                file: ir::text(location.file_line_col_range_filename().as_string_ref()),
                line: location.file_line_col_range_start_line(),
                column: location.file_line_col_range_start_column(),
            });
        }
        if location.is_name() {
            return Self::within(location.name_child_location(), depth + 1);
        }
        if location.is_call_site() {
            return Self::within(location.call_site_callee(), depth + 1);
        }
        let parts = if location.is_fused() { location.fused_num_locations() } else { 0 };
        (0..parts).find_map(|i| Self::within(location.fused_location(i), depth + 1))
    }
}
