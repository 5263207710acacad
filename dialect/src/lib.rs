//! The transformer dialect: its ops and types (TableGen and C++ beside this crate), passes written in Rust, and the
//! entries of upstream's tools over it.

pub mod constant;
pub mod diagnostics;
mod ffi;
pub mod interpret;
pub mod ir;
mod op;
pub mod pass;
pub mod types;

pub use diagnostics::{Diagnostics, Source};
pub use interpret::{FunctionInfo, GlobalInfo, InterpretError, Interpreter};
pub use op::Op;
pub use types::{KernelAttribute, QuantType};

use melior::{Context, dialect::DialectRegistry};
use mlir_sys::MlirDialectRegistry;
use std::{
    ffi::{CStr, CString, OsStr, OsString, c_char, c_int, c_void},
    io::Write,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    sync::Once,
};

/// A context with this dialect, all of upstream's, and the translations to LLVM IR.
pub fn new_context() -> Context {
    let registry = DialectRegistry::new();
    // SAFETY: the registry is alive.
    unsafe { ffi::kforgeFillRegistry(registry.to_raw()) };
    let context = Context::new();
    context.append_dialect_registry(&registry);
    context.load_all_available_dialects();
    context
}

/// Registers upstream's passes, once.
pub fn register_upstream_passes() {
    static ONCE: Once = Once::new();
    // SAFETY: called once, with no other thread registering.
    ONCE.call_once(|| unsafe { ffi::kforgeRegisterUpstreamPasses() });
}

/// To be called first in a program's `main`, with its name. A reader that goes away then ends it, as it does any filter; and
/// C++ streams that fail say so in a line.
pub fn start(program: &'static CStr) {
    // SAFETY: no thread has been started, and the name lives as long as the process.
    unsafe { ffi::kforgeStart(program.as_ptr()) }
}

/// A file that a signal which ends the process removes, until this is dropped.
pub struct RemovedOnSignal(CString);

impl RemovedOnSignal {
    /// `None` for a path that no file can have.
    pub fn new(file: &Path) -> Option<RemovedOnSignal> {
        let file = CString::new(file.as_os_str().as_bytes()).ok()?;
        // SAFETY: the path is read during the call.
        unsafe { ffi::kforgeRemoveOnSignal(file.as_ptr()) };
        Some(RemovedOnSignal(file))
    }
}

impl Drop for RemovedOnSignal {
    fn drop(&mut self) {
        // SAFETY: the path is read during the call.
        unsafe { ffi::kforgeKeepOnSignal(self.0.as_ptr()) }
    }
}

/// How `kforge-opt` writes the file of `-o`.
pub trait Writer {
    /// The file to write in the stead of `file`, or `None` after an error that was printed.
    fn begin(&mut self, file: &Path) -> Option<OsString>;
    /// Puts it in place if it was `written`, and says whether that is done; otherwise an error was printed.
    fn end(&mut self, written: bool) -> bool;
}

/// Upstream's tools over this dialect.
pub enum Tool<'w> {
    Opt(&'w mut dyn Writer),
    Lsp,
    Reduce,
}

/// A writer for C++, and the name that it gave.
struct NamedWriter<'w>(&'w mut dyn Writer, CString);

unsafe extern "C" fn begin(writer: *mut c_void, file: *const c_char) -> *const c_char {
    // SAFETY: `writer` is that of `tool_main`, and the path is zero-terminated.
    let (NamedWriter(writer, name), file) = unsafe { (&mut *writer.cast::<NamedWriter>(), CStr::from_ptr(file)) };
    match writer.begin(Path::new(OsStr::from_bytes(file.to_bytes()))).map(|name| CString::new(name.into_vec())) {
        Some(Ok(given)) => {
            *name = given;
            name.as_ptr()
        }
        _ => std::ptr::null(),
    }
}

unsafe extern "C" fn end(writer: *mut c_void, written: bool) -> bool {
    // SAFETY: `writer` is that of `tool_main`.
    unsafe { &mut *writer.cast::<NamedWriter>() }.0.end(written)
}

/// Has every registry of dialects that is filled from now on, for a context or a tool, filled by `hook` too.
pub fn add_dialects(hook: extern "C" fn(MlirDialectRegistry)) {
    // SAFETY: a function lives as long as the process; no other thread registers.
    unsafe { ffi::kforgeAddDialects(hook) }
}

/// Runs a tool with this process's arguments and returns its exit code. Of `Tool::Opt` `--mlir-pass-statistics` prints what
/// all registered passes counted.
pub fn tool_main(tool: Tool, arguments: impl Iterator<Item = OsString>) -> i32 {
    register_upstream_passes();
    let arguments: Vec<OsString> = arguments.collect();
    let wants_statistics = matches!(tool, Tool::Opt(_)) && arguments.iter().any(|a| is_statistics(a));
    let code = run_tool(tool, arguments);
    if wants_statistics {
        // Nothing is left to say it with where this fails.
        let _ = std::io::stderr().write_all(pass::statistics_report().as_bytes());
    }
    code
}

fn is_statistics(argument: &OsStr) -> bool {
    let name = argument.to_str().and_then(|a| a.strip_prefix('-'));
    name.is_some_and(|name| name.trim_start_matches('-').starts_with("mlir-pass-statistics"))
}

fn run_tool(tool: Tool, arguments: Vec<OsString>) -> i32 {
    let arguments: Vec<CString> = arguments.into_iter().filter_map(|a| CString::new(a.into_vec()).ok()).collect();
    let mut pointers: Vec<*mut c_char> = arguments.iter().map(|a| a.as_ptr().cast_mut()).collect();
    let count = pointers.len() as c_int;
    pointers.push(std::ptr::null_mut());
    let arguments = pointers.as_mut_ptr();
    // SAFETY: argv is an array of `count` zero-terminated strings and a null, alive through the call, as the writer is.
    unsafe {
        match tool {
            Tool::Opt(writer) => {
                let mut writer = NamedWriter(writer, CString::default());
                ffi::kforgeOptMain(count, arguments, (&raw mut writer).cast(), begin, end)
            }
            Tool::Lsp => ffi::kforgeLspMain(count, arguments),
            Tool::Reduce => ffi::kforgeReduceMain(count, arguments),
        }
    }
}
