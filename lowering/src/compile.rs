//! Runs pipelines and turns kernels into an object.
//!
//! A module, text or bytecode, goes through the passes to a launch program and a module of kernels in the LLVM dialect,
//! from there to LLVM IR, and through LLVM's `default<O3>` for the target to an object in memory. The object is position
//! independent and refers to nothing but `memcpy`, `memmove` and `memset`; a runtime loads it, a cache keeps it.

use crate::to_wgsl;
use inkwell::{
    OptimizationLevel,
    context::Context as LlvmContext,
    memory_buffer::MemoryBuffer,
    module::Module as LlvmModule,
    passes::PassBuilderOptions,
    targets::{
        CodeModel, FileType, InitializationConfig, RelocMode, Target as LlvmTarget, TargetMachine, TargetTriple,
    },
};
pub use kforge_dialect::{Diagnostics, Source};
use kforge_passes::{Fusions, adapter::Adapter, isa::Isa, tuner::Mode};
use kforge_program::{Program, Shader};
use melior::{Context, ir::Module, pass::PassManager, utility::parse_pass_pipeline};
use std::{
    collections::BTreeSet,
    io::Write as _,
    sync::{Mutex, Once, PoisonError},
    time::Duration,
};
use tracing::info_span;

/// What went wrong.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CompileError {
    /// Diagnostics as `kforge-opt` prints them: place, message, the source's line and a caret.
    #[error("{0}")]
    Diagnostics(String),
    /// What has no place in a module.
    #[error("{0}")]
    Other(String),
}

impl From<String> for CompileError {
    fn from(text: String) -> Self {
        CompileError::Other(text)
    }
}

type Result<T> = std::result::Result<T, CompileError>;

/// What kernels are compiled for.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub triple: String,
    pub cpu: String,
    /// LLVM's feature string, `+avx2,+fma`.
    pub features: String,
    pub isa: Isa,
}

impl Target {
    /// The machine this runs on, narrowed to `isa` if one is given.
    ///
    /// # Errors
    /// If the machine lacks that instruction set.
    pub fn host(isa: Option<Isa>) -> Result<Target> {
        let host = Isa::host();
        let isa = isa.unwrap_or(host);
        if isa == Isa::Gpu {
            return Err(CompileError::Other("a GPU's kernels are no machine code; use --target gpu".into()));
        }
        let rank = |isa: Isa| match isa {
            Isa::Sse2 => 0,
            Isa::Avx2 => 1,
            Isa::Avx512 => 2,
            Isa::Avx512Vnni => 3,
            Isa::Neon | Isa::Gpu => 10,
        };
        if rank(isa) > rank(host) || (isa == Isa::Neon) != (host == Isa::Neon) {
            return Err(CompileError::Other(format!(
                "this machine has {host}, not {isa}; leave --cpu-features out, or name a narrower set"
            )));
        }
        let triple = TargetMachine::get_default_triple().as_str().to_string_lossy().into_owned();
        let text = |s: inkwell::support::LLVMString| s.to_string_lossy().into_owned();
        let (cpu, features) = if isa == host {
            (text(TargetMachine::get_host_cpu_name()), text(TargetMachine::get_host_cpu_features()))
        } else {
            baseline(isa)
        };
        Ok(Target { triple, cpu, features, isa })
    }

    /// Another machine, by its triple: the instruction set is `isa`, or what most machines of the architecture have.
    ///
    /// # Errors
    /// If the architecture is none that kernels are generated for, or has no such instruction set.
    pub fn of_triple(triple: &str, isa: Option<Isa>) -> Result<Target> {
        let (usual, sets): (Isa, &[Isa]) = match triple.split('-').next() {
            Some("aarch64" | "arm64") => (Isa::Neon, &[Isa::Neon]),
            Some("x86_64") => (Isa::Avx2, &[Isa::Sse2, Isa::Avx2, Isa::Avx512, Isa::Avx512Vnni]),
            _ => {
                return Err(CompileError::Other(format!(
                    "no kernels are generated for '{triple}'; use an x86_64 or aarch64 triple"
                )));
            }
        };
        let isa = isa.unwrap_or(usual);
        if !sets.contains(&isa) {
            let names: Vec<_> = sets.iter().map(Isa::to_string).collect();
            return Err(CompileError::Other(format!("'{triple}' has no {isa}; use {}", names.join(", "))));
        }
        let (cpu, features) = baseline(isa);
        Ok(Target { triple: triple.to_owned(), cpu, features, isa })
    }
}

/// CPU and features that stand for an instruction set and no more.
fn baseline(isa: Isa) -> (String, String) {
    let (cpu, features) = match isa {
        // 512-bit vectors must be asked for: LLVM prefers 256 for this level.
        Isa::Avx512 => ("x86-64-v4", "-prefer-256-bit"),
        Isa::Avx512Vnni => ("x86-64-v4", "-prefer-256-bit,+avx512vnni"),
        Isa::Avx2 => ("x86-64-v3", ""),
        Isa::Sse2 => ("x86-64", ""),
        Isa::Neon => ("generic", "+neon"),
        Isa::Gpu => ("", ""),
    };
    (cpu.into(), features.into())
}

/// The version of LLVM that generates code: part of every cache key.
pub fn llvm_version() -> String {
    let (major, minor, patch) = inkwell::support::get_llvm_version();
    format!("{major}.{minor}.{patch}")
}

/// A context with every dialect and pass that compiling needs.
pub fn context() -> Context {
    kforge_dialect::register_upstream_passes();
    crate::register();
    kforge_dialect::new_context()
}

/// Does `work`, and gives what was said in it: as the error where it failed, else on standard error.
fn reported<T>(diagnostics: &Diagnostics, work: impl FnOnce() -> Option<T>) -> Result<T> {
    /// Warnings of this process, which may compile a module more than once.
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let result = work();
    let text = diagnostics.take();
    match result {
        Some(result) => {
            if !text.is_empty() && SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
                // Nothing is left to say it with where this fails.
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

/// Parses and verifies the source of `diagnostics`, to which the module's later ones then go.
///
/// # Errors
/// The parser's diagnostics.
pub fn parse_with<'c>(diagnostics: &Diagnostics<'c>) -> Result<Module<'c>> {
    reported(diagnostics, || diagnostics.parse())
}

/// Runs a textual pipeline, `builtin.module(...)` around it left out.
///
/// # Errors
/// The passes' diagnostics.
pub fn run_pipeline(diagnostics: &Diagnostics, module: &mut Module, pipeline: &str) -> Result<()> {
    let manager = PassManager::new(diagnostics.context());
    parse_pass_pipeline(manager.as_operation_pass_manager(), &format!("builtin.module({pipeline})"))
        .map_err(|e| format!("the pipeline '{pipeline}' does not parse: {e}"))?;
    reported(diagnostics, || manager.run(module).ok())
}

/// How a module is compiled, whatever the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which ops share a kernel.
    pub fuse: Fusions,
    pub numerics: Numerics,
    pub tuning: Tuning,
}

/// What `select-kernels` asks the tuner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tuning {
    pub mode: Mode,
    /// Threads that the kernels will run on.
    pub threads: usize,
    /// Time that [`Mode::Incremental`] may take.
    pub budget: Duration,
}

impl Default for Options {
    /// Fused, exact, by rule.
    fn default() -> Self {
        Options { fuse: Fusions::ALL, numerics: Numerics::Exact, tuning: Tuning::default() }
    }
}

/// What a matrix product may do to its activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numerics {
    /// Nothing: they stay f32.
    Exact,
    /// On a CPU, round them to 8 bits where the weight is quantised: the pass `quantize-activations`. On a GPU with matrix
    /// units, round them and the weights to f16 where there are many rows.
    Fast,
}

/// The pipeline that lowers a module for a CPU, from tensors to launches.
pub fn cpu_pipeline(isa: Isa, options: Options) -> String {
    pipeline(isa, "", options)
}

/// The pipeline that lowers a module for a GPU, from tensors to launches.
pub fn gpu_pipeline(adapter: Adapter, options: Options) -> String {
    let factors = if options.numerics == Numerics::Fast { " factors=f16" } else { "" };
    // Nothing is rounded to 8 bits.
    let options = Options { numerics: Numerics::Exact, ..options };
    pipeline(Isa::Gpu, &format!(" adapter={adapter}{factors}"), options)
}

fn pipeline(isa: Isa, more: &str, options: Options) -> String {
    let rounding: &[&str] = match options.numerics {
        Numerics::Exact => &[],
        // After the layers have been spelled out, before they are grouped.
        Numerics::Fast => &[kforge_passes::passes::quantize_activations::INFO.name],
    };
    let fuse = kforge_passes::fuse(isa, options.fuse, rounding);
    let Tuning { mode, threads, budget } = options.tuning;
    let tuning = match mode {
        Mode::Off => String::new(),
        Mode::Incremental => format!(" mode={mode} threads={threads} budget={}", budget.as_millis()),
        Mode::CachedOnly | Mode::Tune => format!(" mode={mode} threads={threads}"),
    };
    format!("{fuse},{}", crate::launches(&format!("isa={isa}{more}{tuning}")))
}

/// The text of a module as given, and after each pass of a pipeline, with the pass's name.
///
/// # Errors
/// The diagnostics of the parser or the passes.
pub fn trace<'s>(source: impl Into<Source<'s>>, pipeline: &str) -> Result<Vec<(String, String)>> {
    let context = context();
    let diagnostics = Diagnostics::new(&context, source.into());
    let mut module = parse_with(&diagnostics)?;
    let text = |module: &Module| format!("{}\n", module.as_operation());
    let mut steps = vec![("input".to_owned(), text(&module))];
    for pass in passes(pipeline) {
        run_pipeline(&diagnostics, &mut module, &pass)?;
        let name = pass.trim_start_matches("func.func(").trim_end_matches(')');
        steps.push((name.split('{').next().unwrap_or(name).to_owned(), text(&module)));
    }
    Ok(steps)
}

/// The passes of a textual pipeline, each still nested where it was.
pub fn passes(pipeline: &str) -> Vec<String> {
    let mut passes = vec![];
    let (mut depth, mut start) = (0, 0);
    for (at, c) in pipeline.char_indices().chain([(pipeline.len(), ',')]) {
        match c {
            '(' | '{' => depth += 1,
            ')' | '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = &pipeline[start..at];
                match item.strip_prefix("func.func(").and_then(|inner| inner.strip_suffix(')')) {
                    Some(inner) => passes.extend(inner.split(',').map(|pass| format!("func.func({pass})"))),
                    None => passes.push(item.to_owned()),
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    passes
}

/// A compiled module: the launch program and the object with its kernels.
pub struct Compiled {
    pub program: Program,
    pub object: Vec<u8>,
}

/// Compiles a module.
///
/// # Errors
/// Diagnostics of the parser, the passes or LLVM.
pub fn compile<'s>(source: impl Into<Source<'s>>, target: &Target, options: Options) -> Result<Compiled> {
    compile_with(source, target, &cpu_pipeline(target.isa, options))
}

/// Compiles a module by a pipeline that ends in launches with memory planned.
///
/// # Errors
/// Diagnostics of the parser, the passes or LLVM.
pub fn compile_with<'s>(source: impl Into<Source<'s>>, target: &Target, pipeline: &str) -> Result<Compiled> {
    let context = context();
    let diagnostics = Diagnostics::new(&context, source.into());
    let (mut module, program) = launches(&diagnostics, pipeline)?;
    let object = emit(&diagnostics, &mut module, target, Output::Object)?;
    Ok(Compiled { program, object })
}

/// Lowers a module to launches with memory planned, and reads the launch program off them.
fn launches<'c>(diagnostics: &Diagnostics<'c>, pipeline: &str) -> Result<(Module<'c>, Program)> {
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

/// A module compiled for a GPU: the launch program and a shader for each of its kernels, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuCompiled {
    pub program: Program,
    pub shaders: Vec<Shader>,
}

/// Compiles a module for a GPU.
///
/// # Errors
/// Diagnostics of the parser, the passes or the translation to WGSL.
pub fn compile_gpu<'s>(source: impl Into<Source<'s>>, adapter: Adapter, options: Options) -> Result<GpuCompiled> {
    compile_gpu_with(source, &gpu_pipeline(adapter, options))
}

/// Compiles a module for a GPU by a pipeline that ends in launches with memory planned.
///
/// # Errors
/// Diagnostics of the parser, the passes or the translation to WGSL.
pub fn compile_gpu_with<'s>(source: impl Into<Source<'s>>, pipeline: &str) -> Result<GpuCompiled> {
    let (program, shaders) = translate_gpu(source, pipeline)?;
    Ok(GpuCompiled { program, shaders: shaders.iter().map(to_wgsl::Shader::to_program).collect() })
}

/// The same, with all that the translation says of each shader.
///
/// # Errors
/// As [`compile_gpu_with`].
pub fn translate_gpu<'s>(source: impl Into<Source<'s>>, pipeline: &str) -> Result<(Program, Vec<to_wgsl::Shader>)> {
    let context = context();
    let diagnostics = Diagnostics::new(&context, source.into());
    let (module, program) = launches(&diagnostics, pipeline)?;
    let translated = info_span!("WGSL").in_scope(|| to_wgsl::translate(module.as_operation()));
    let translated = translated.map_err(|e| translation_error(&diagnostics, &e))?;
    let shader = |kernel: &kforge_program::Kernel| {
        let shader = translated.iter().find(|shader| shader.kernel == kernel.name);
        shader.cloned().ok_or_else(|| format!("there is no kernel @{}", kernel.name).into())
    };
    let shaders = program.kernels.iter().map(shader).collect::<Result<_>>()?;
    Ok((program, shaders))
}

/// Why a module of `diagnostics` has no WGSL.
pub fn translation_error(diagnostics: &Diagnostics, error: &to_wgsl::TranslateError) -> CompileError {
    CompileError::Diagnostics(diagnostics.error_at(error.place.as_ref(), &error.message))
}

/// What [`lower`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Object,
    Assembly,
    LlvmIr,
}

/// Lowers a module to its kernels' object, assembly or LLVM IR.
///
/// # Errors
/// Diagnostics of the parser, the passes or LLVM.
pub fn lower(source: Source<'_>, target: &Target, options: Options, output: Output) -> Result<Vec<u8>> {
    let context = context();
    let diagnostics = Diagnostics::new(&context, source);
    let mut module = parse_with(&diagnostics)?;
    run_pipeline(&diagnostics, &mut module, &cpu_pipeline(target.isa, options))?;
    emit(&diagnostics, &mut module, target, output)
}

/// Lowers the kernels of a module of launches.
pub(crate) fn emit(diagnostics: &Diagnostics, module: &mut Module, target: &Target, output: Output) -> Result<Vec<u8>> {
    info_span!("passes to LLVM").in_scope(|| run_pipeline(diagnostics, module, crate::LLVM))?;
    let llvm = LlvmContext::create();
    // SAFETY: the module is in the LLVM dialect with translations registered; the result is owned by `llvm`.
    let module = reported(diagnostics, || unsafe {
        let raw = mlir_sys::mlirTranslateModuleToLLVMIR(module.as_operation().to_raw(), llvm.raw().cast());
        (!raw.is_null()).then(|| LlvmModule::new(raw.cast()))
    })?;
    let machine = machine(target)?;
    module.set_triple(&TargetTriple::create(&target.triple));
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    let llvm_error = |e: inkwell::support::LLVMString| CompileError::Other(format!("LLVM: {}", e.to_string_lossy()));
    info_span!("optimise")
        .in_scope(|| module.run_passes("default<O3>", &machine, PassBuilderOptions::create()))
        .map_err(llvm_error)?;
    crate::one_lane_stores::rewrite(&module).map_err(|e| CompileError::Other(format!("LLVM: {e}")))?;
    let file = match output {
        Output::LlvmIr => return Ok(module.print_to_string().to_bytes().to_vec()),
        Output::Object => FileType::Object,
        Output::Assembly => FileType::Assembly,
    };
    let buffer: MemoryBuffer =
        info_span!("code").in_scope(|| machine.write_to_memory_buffer(&module, file)).map_err(llvm_error)?;
    Ok(buffer.as_slice().to_vec())
}

fn machine(target: &Target) -> Result<TargetMachine> {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let config = InitializationConfig::default();
        LlvmTarget::initialize_x86(&config);
        LlvmTarget::initialize_aarch64(&config);
    });
    let triple = TargetTriple::create(&target.triple);
    let found = LlvmTarget::from_triple(&triple)
        .map_err(|e| CompileError::Other(format!("target '{}': {}", target.triple, e.to_string_lossy())))?;
    found
        .create_target_machine(
            &triple,
            &target.cpu,
            &target.features,
            OptimizationLevel::Aggressive,
            RelocMode::PIC,
            CodeModel::Default,
        )
        .ok_or_else(|| {
            CompileError::Other(format!("LLVM has no machine for {} with cpu '{}'", target.triple, target.cpu))
        })
}
