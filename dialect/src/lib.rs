//! The transformer dialect: its ops and types (TableGen and C++ beside this crate), passes written in Rust, and the
//! entries of upstream's tools over it.

pub mod constant;
mod ffi;
pub mod interpret;
pub mod ir;
pub mod pass;
pub mod types;

pub use interpret::{FunctionInfo, GlobalInfo, InterpretError, Interpreter};
pub use types::{KernelAttribute, QuantType};

use melior::{Context, dialect::DialectRegistry};
use std::{
    ffi::{CString, c_char, c_int},
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

/// Upstream's tools over this dialect.
#[derive(Clone, Copy)]
pub enum Tool {
    Opt,
    Lsp,
    Reduce,
}

/// Runs a tool with this process's arguments and returns its exit code.
pub fn tool_main(tool: Tool, arguments: impl Iterator<Item = String>) -> i32 {
    register_upstream_passes();
    let arguments: Vec<CString> = arguments.filter_map(|a| CString::new(a).ok()).collect();
    let mut pointers: Vec<*mut c_char> = arguments.iter().map(|a| a.as_ptr().cast_mut()).collect();
    let count = pointers.len() as c_int;
    pointers.push(std::ptr::null_mut());
    let main = match tool {
        Tool::Opt => ffi::kforgeOptMain,
        Tool::Lsp => ffi::kforgeLspMain,
        Tool::Reduce => ffi::kforgeReduceMain,
    };
    // SAFETY: argv is an array of `count` zero-terminated strings and a null, alive through the call.
    unsafe { main(count, pointers.as_mut_ptr()) }
}
