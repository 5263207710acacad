//! Runs pipelines, and compiles a module: from text or bytecode to a launch program and the code of its kernels.

use crate::backend::{self, Backend};
pub use crate::backend::{Machine, Output, llvm_version, lower, translation_error};
pub use kforge_dialect::{Diagnostics, Source, pass::Pipeline};
pub use kforge_passes::{Numerics, Options, Tuning};
use kforge_program::Program;
use kforge_target::Adapter;
use melior::{Context, ir::Module, pass::PassManager, utility::parse_pass_pipeline};
use std::{
    collections::BTreeSet,
    io::Write as _,
    sync::{Mutex, PoisonError},
};
use tracing::info_span;

/// A failed compilation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CompileError {
    /// Diagnostics as `kforge-opt` prints them: place, message, the source's line and a caret.
    #[error("{0}")]
    Diagnostics(String),
    /// An error without a location in a module.
    #[error("{0}")]
    Other(String),
}

impl From<String> for CompileError {
    fn from(text: String) -> Self {
        CompileError::Other(text)
    }
}

/// Result of a compilation step.
pub type Result<T> = std::result::Result<T, CompileError>;

/// A context with every dialect and pass that compiling needs.
pub fn context() -> Context {
    kforge_dialect::register_upstream_passes();
    crate::register();
    kforge_dialect::new_context()
}

/// Runs `work`. If it fails, the collected diagnostics become the error; else they are printed to standard error.
pub(crate) fn reported<T>(diagnostics: &Diagnostics, work: impl FnOnce() -> Option<T>) -> Result<T> {
    /// Diagnostics already printed by this process, which may compile a module more than once.
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let result = work();
    let text = diagnostics.take();
    match result {
        Some(result) => {
            if !text.is_empty() && SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
                // A failed write to standard error cannot be reported.
                let _ = writeln!(std::io::stderr(), "{text}");
            }
            Ok(result)
        }
        None if text.is_empty() => Err(CompileError::Other("the compiler failed without a diagnostic".into())),
        None => Err(CompileError::Diagnostics(text)),
    }
}

/// Parses and verifies a module.
///
/// # Errors
/// The parser's diagnostics.
pub fn parse<'c, 's>(context: &'c Context, source: impl Into<Source<'s>>) -> Result<Module<'c>> {
    parse_with(&Diagnostics::new(context, source.into()))
}

/// Parses and verifies the source of `diagnostics`, which also collects later diagnostics of the module.
///
/// # Errors
/// The parser's diagnostics.
pub fn parse_with<'c>(diagnostics: &Diagnostics<'c>) -> Result<Module<'c>> {
    reported(diagnostics, || diagnostics.parse())
}

/// Runs a pipeline.
///
/// # Errors
/// The passes' diagnostics.
pub fn run_pipeline(diagnostics: &Diagnostics, module: &mut Module, pipeline: &Pipeline) -> Result<()> {
    let manager = PassManager::new(diagnostics.context());
    parse_pass_pipeline(manager.as_operation_pass_manager(), &format!("builtin.module({pipeline})"))
        .map_err(|e| format!("the pipeline '{pipeline}' does not parse: {e}"))?;
    reported(diagnostics, || manager.run(module).ok())
}

/// The text of a module before a pipeline and after each of its passes, with the pass's name.
///
/// # Errors
/// The diagnostics of the parser or the passes.
pub fn trace<'s>(source: impl Into<Source<'s>>, pipeline: Pipeline) -> Result<Vec<(String, String)>> {
    let context = context();
    let diagnostics = Diagnostics::new(&context, source.into());
    let mut module = parse_with(&diagnostics)?;
    let text = |module: &Module| format!("{}\n", module.as_operation());
    let mut steps = vec![("input".to_owned(), text(&module))];
    for pass in pipeline.passes() {
        run_pipeline(&diagnostics, &mut module, &pass)?;
        steps.extend(pass.steps.iter().map(|step| (step.name.to_owned(), text(&module))));
    }
    Ok(steps)
}

/// A compiled module: the launch program and the code of its kernels, by default an object file.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled<C = Vec<u8>> {
    pub program: Program,
    pub code: C,
}

/// Compiles a module.
///
/// # Errors
/// Diagnostics of the parser, the passes or the backend.
pub fn compile<'s, B: Backend>(
    source: impl Into<Source<'s>>,
    backend: &B,
    options: Options,
) -> Result<Compiled<B::Code>> {
    compile_with(source, backend, &crate::pipeline(backend.target(), options))
}

/// Compiles a module by a pipeline that ends in launches with memory planned.
///
/// # Errors
/// Diagnostics of the parser, the passes or the backend.
pub fn compile_with<'s, B: Backend>(
    source: impl Into<Source<'s>>,
    backend: &B,
    pipeline: &Pipeline,
) -> Result<Compiled<B::Code>> {
    let context = context();
    let diagnostics = Diagnostics::new(&context, source.into());
    let (mut module, program) = launches(&diagnostics, pipeline)?;
    let code = backend.generate(&diagnostics, &mut module, &program)?;
    Ok(Compiled { program, code })
}

/// Compiles a module for a GPU and returns everything that the translation to WGSL reports about each shader.
///
/// # Errors
/// As [`compile`].
pub fn translate_gpu<'s>(
    source: impl Into<Source<'s>>,
    adapter: Adapter,
    options: Options,
) -> Result<(Program, Vec<crate::to_wgsl::Shader>)> {
    let context = context();
    let diagnostics = Diagnostics::new(&context, source.into());
    let (module, program) = launches(&diagnostics, &crate::pipeline(adapter.target(), options))?;
    let shaders = backend::translate(&diagnostics, &module, &program)?;
    Ok((program, shaders))
}

/// Lowers a module to launches with memory planned, and extracts the launch program.
fn launches<'c>(diagnostics: &Diagnostics<'c>, pipeline: &Pipeline) -> Result<(Module<'c>, Program)> {
    let mut module = info_span!("parse").in_scope(|| parse_with(diagnostics))?;
    info_span!("passes").in_scope(|| run_pipeline(diagnostics, &mut module, pipeline))?;
    let program = info_span!("launch program").in_scope(|| program(diagnostics, &module))?;
    Ok((module, program))
}

/// The launch program of a module of launches.
pub(crate) fn program(diagnostics: &Diagnostics, module: &Module) -> Result<Program> {
    crate::extract::program(module.as_operation())
        .map_err(|e| CompileError::Diagnostics(diagnostics.error(e.location, &e.message)))
}
