//! A readable listing of one kernel of a module: its MLIR, LLVM IR or assembly.
//!
//! Everything else of the module is dropped before the kernel is lowered, so that the listing has no other code. A
//! kernel calls no other kernel and shares no constants, so the code is the same as in the whole module's object.

use crate::{
    backend::{Backend, Machine, Output, emit},
    compile::{CompileError, Options, context, parse_with, program, run_pipeline},
    passes::kernel_entries::{entry_name, is_kernel},
};
use kforge_dialect::{
    Diagnostics, Source,
    ir::{body, erase_all, ops, string_attribute},
};
use melior::ir::Module;

/// The representation to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As generated, after canonicalisation: `scf`, `vector` and `memref`.
    Mlir,
    /// Optimised LLVM IR.
    LlvmIr,
    Assembly,
}

/// Symbol and summary of every kernel of a module, in the order of the program.
///
/// # Errors
/// Diagnostics of the parser or the passes.
pub fn kernels(source: Source, machine: &Machine, options: Options) -> Result<Vec<(String, String)>, CompileError> {
    let context = context();
    let diagnostics = Diagnostics::new(&context, source);
    let module = lowered(&diagnostics, machine, options)?;
    names(&diagnostics, &module)
}

/// The text of the kernel with the symbol `kernel`; the prefix `kforge_` may be left out.
///
/// # Errors
/// Diagnostics of the parser, the passes or LLVM; a message with the names if there is no such kernel.
pub fn kernel(
    source: Source,
    machine: &Machine,
    options: Options,
    kernel: &str,
    level: Level,
) -> Result<Vec<u8>, CompileError> {
    let context = context();
    let diagnostics = Diagnostics::new(&context, source);
    let mut module = lowered(&diagnostics, machine, options)?;
    let block = body(&module.as_operation());
    let is_wanted = |op| {
        let symbol = string_attribute(op, "sym_name").unwrap_or_default();
        symbol == kernel || entry_name(&symbol) == kernel
    };
    let all = block.map(ops).unwrap_or_default();
    let Some(wanted) = all.iter().find(|op| is_kernel(**op) && is_wanted(*op)) else {
        let names: Vec<String> = names(&diagnostics, &module)?.into_iter().map(|(name, _)| name).collect();
        return Err(CompileError::Other(format!("there is no kernel '{kernel}'; the module has {}", names.join(", "))));
    };
    let output = match level {
        Level::Mlir => return Ok(format!("{wanted}\n").into_bytes()),
        Level::LlvmIr => Output::LlvmIr,
        Level::Assembly => Output::Assembly,
    };
    erase_all(all.iter().copied().filter(|op| op != wanted));
    emit(&diagnostics, &mut module, machine, output)
}

/// The module of kernels and launches.
fn lowered<'c>(diagnostics: &Diagnostics<'c>, machine: &Machine, options: Options) -> Result<Module<'c>, CompileError> {
    let mut module = parse_with(diagnostics)?;
    run_pipeline(diagnostics, &mut module, &crate::pipeline(machine.target(), options))?;
    Ok(module)
}

fn names(diagnostics: &Diagnostics, module: &Module) -> Result<Vec<(String, String)>, CompileError> {
    Ok(program(diagnostics, module)?.kernels.into_iter().map(|k| (k.name, k.summary)).collect())
}
