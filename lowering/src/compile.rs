//! Runs pipelines and turns kernels into an object.
//!
//! Text of a module goes through the passes to a launch program and a module of kernels in the LLVM dialect, from there
//! to LLVM IR, and through LLVM's `default<O3>` for the target to an object in memory. The object is position
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
use kforge_passes::{Fusions, adapter::Adapter, isa::Isa, tuner::Mode};
use kforge_program::{Program, Shader};
use melior::{
    Context,
    diagnostic::{Diagnostic, DiagnosticSeverity},
    ir::{Module, operation::OperationLike},
    pass::PassManager,
    utility::parse_pass_pipeline,
};
use std::{
    sync::{Arc, Mutex, Once},
    time::Duration,
};
use tracing::info_span;

/// What went wrong, as the diagnostics say it, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CompileError(pub String);

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
            return Err(CompileError("a GPU's kernels are no machine code; use --target gpu".into()));
        }
        let rank = |isa: Isa| match isa {
            Isa::Sse2 => 0,
            Isa::Avx2 => 1,
            Isa::Avx512 => 2,
            Isa::Avx512Vnni => 3,
            Isa::Neon | Isa::Gpu => 10,
        };
        if rank(isa) > rank(host) || (isa == Isa::Neon) != (host == Isa::Neon) {
            return Err(CompileError(format!(
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
                return Err(CompileError(format!(
                    "no kernels are generated for '{triple}'; use an x86_64 or aarch64 triple"
                )));
            }
        };
        let isa = isa.unwrap_or(usual);
        if !sets.contains(&isa) {
            let names: Vec<_> = sets.iter().map(Isa::to_string).collect();
            return Err(CompileError(format!("'{triple}' has no {isa}; use {}", names.join(", "))));
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

/// Collects error diagnostics of a context while `work` runs.
pub fn with_diagnostics<T>(context: &Context, work: impl FnOnce() -> Option<T>) -> Result<T> {
    let messages = Arc::new(Mutex::new(Vec::<String>::new()));
    let sink = messages.clone();
    let id = context.attach_diagnostic_handler(move |diagnostic: Diagnostic| {
        if matches!(diagnostic.severity(), DiagnosticSeverity::Error)
            && let Ok(mut messages) = sink.lock()
        {
            messages.push(format!("{}: error: {diagnostic}", diagnostic.location()));
        }
        true
    });
    let result = work();
    context.detach_diagnostic_handler(id);
    result.ok_or_else(|| {
        let messages = messages.lock().map(|m| m.join("\n")).unwrap_or_default();
        CompileError(if messages.is_empty() { "the compiler failed without a diagnostic".into() } else { messages })
    })
}

/// Parses and verifies a module; `name` stands for the source in diagnostics.
///
/// # Errors
/// The parser's diagnostics, with line and column.
pub fn parse<'c>(context: &'c Context, source: &str, name: &str) -> Result<Module<'c>> {
    // The C API has no name for a buffer; MLIR calls it "-".
    with_diagnostics(context, || Module::parse(context, source).filter(|m| m.as_operation().verify()))
        .map_err(|CompileError(text)| CompileError(text.replace("loc(\"-\":", &format!("loc(\"{name}\":"))))
}

/// Runs a textual pipeline, `builtin.module(...)` around it left out.
///
/// # Errors
/// The passes' diagnostics.
pub fn run_pipeline(context: &Context, module: &mut Module, pipeline: &str) -> Result<()> {
    let manager = PassManager::new(context);
    parse_pass_pipeline(manager.as_operation_pass_manager(), &format!("builtin.module({pipeline})"))
        .map_err(|e| CompileError(format!("the pipeline '{pipeline}' does not parse: {e}")))?;
    with_diagnostics(context, || manager.run(module).ok())
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
    format!("{fuse},{}", crate::LAUNCHES.replace("{isa}", &format!("{{isa={isa}{more}{tuning}}}")))
}

/// The module's text as given, and after each pass of a pipeline, with the pass's name.
///
/// # Errors
/// The diagnostics of the parser or the passes.
pub fn trace(source: &str, pipeline: &str) -> Result<Vec<(String, String)>> {
    let context = context();
    let mut module = parse(&context, source, "module")?;
    let text = |module: &Module| format!("{}\n", module.as_operation());
    let mut steps = vec![("input".to_owned(), text(&module))];
    for pass in passes(pipeline) {
        run_pipeline(&context, &mut module, &pass)?;
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

/// Compiles the text of a module.
///
/// # Errors
/// Diagnostics of the parser, the passes or LLVM.
pub fn compile(source: &str, target: &Target, options: Options) -> Result<Compiled> {
    compile_with(source, target, &cpu_pipeline(target.isa, options))
}

/// Compiles the text of a module by a pipeline that ends in launches with memory planned.
///
/// # Errors
/// Diagnostics of the parser, the passes or LLVM.
pub fn compile_with(source: &str, target: &Target, pipeline: &str) -> Result<Compiled> {
    let context = context();
    let (mut module, program) = launches(&context, source, pipeline)?;
    let object = emit(&context, &mut module, target, Output::Object)?;
    Ok(Compiled { program, object })
}

/// Lowers the text of a module to launches with memory planned, and reads the launch program off them.
fn launches<'c>(context: &'c Context, source: &str, pipeline: &str) -> Result<(Module<'c>, Program)> {
    let mut module = info_span!("parse").in_scope(|| parse(context, source, "module"))?;
    info_span!("passes").in_scope(|| run_pipeline(context, &mut module, pipeline))?;
    let program = info_span!("launch program")
        .in_scope(|| crate::extract::program(module.as_operation()))
        .map_err(|e| CompileError(format!("{}: error: {}", e.location, e.message)))?;
    Ok((module, program))
}

/// A module compiled for a GPU: the launch program and a shader for each of its kernels, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuCompiled {
    pub program: Program,
    pub shaders: Vec<Shader>,
}

/// Compiles the text of a module for a GPU.
///
/// # Errors
/// Diagnostics of the parser, the passes or the translation to WGSL.
pub fn compile_gpu(source: &str, adapter: Adapter, options: Options) -> Result<GpuCompiled> {
    compile_gpu_with(source, &gpu_pipeline(adapter, options))
}

/// Compiles the text of a module for a GPU by a pipeline that ends in launches with memory planned.
///
/// # Errors
/// Diagnostics of the parser, the passes or the translation to WGSL.
pub fn compile_gpu_with(source: &str, pipeline: &str) -> Result<GpuCompiled> {
    let (program, shaders) = translate_gpu(source, pipeline)?;
    Ok(GpuCompiled { program, shaders: shaders.iter().map(to_wgsl::Shader::to_program).collect() })
}

/// The same, with all that the translation says of each shader.
///
/// # Errors
/// As [`compile_gpu_with`].
pub fn translate_gpu(source: &str, pipeline: &str) -> Result<(Program, Vec<to_wgsl::Shader>)> {
    let context = context();
    let (module, program) = launches(&context, source, pipeline)?;
    let translated = info_span!("WGSL").in_scope(|| to_wgsl::translate(module.as_operation()));
    let translated = translated.map_err(|e| CompileError(e.to_string()))?;
    let shader = |kernel: &kforge_program::Kernel| {
        let shader = translated.iter().find(|shader| shader.kernel == kernel.name);
        shader.cloned().ok_or_else(|| CompileError(format!("there is no kernel @{}", kernel.name)))
    };
    let shaders = program.kernels.iter().map(shader).collect::<Result<_>>()?;
    Ok((program, shaders))
}

/// What [`lower`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Object,
    Assembly,
    LlvmIr,
}

/// Lowers the text of a module to its kernels' object, assembly or LLVM IR.
///
/// # Errors
/// Diagnostics of the parser, the passes or LLVM.
pub fn lower(source: &str, name: &str, target: &Target, options: Options, output: Output) -> Result<Vec<u8>> {
    let context = context();
    let mut module = parse(&context, source, name)?;
    run_pipeline(&context, &mut module, &cpu_pipeline(target.isa, options))?;
    emit(&context, &mut module, target, output)
}

/// Lowers the kernels of a module of launches.
pub(crate) fn emit(context: &Context, module: &mut Module, target: &Target, output: Output) -> Result<Vec<u8>> {
    info_span!("passes to LLVM").in_scope(|| run_pipeline(context, module, crate::LLVM))?;
    let llvm = LlvmContext::create();
    // SAFETY: the module is in the LLVM dialect with translations registered; the result is owned by `llvm`.
    let module = unsafe {
        let raw = mlir_sys::mlirTranslateModuleToLLVMIR(module.as_operation().to_raw(), llvm.raw().cast());
        if raw.is_null() {
            return Err(CompileError("the kernels do not translate to LLVM IR".into()));
        }
        LlvmModule::new(raw.cast())
    };
    let machine = machine(target)?;
    module.set_triple(&TargetTriple::create(&target.triple));
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    let llvm_error = |e: inkwell::support::LLVMString| CompileError(format!("LLVM: {}", e.to_string_lossy()));
    info_span!("optimise")
        .in_scope(|| module.run_passes("default<O3>", &machine, PassBuilderOptions::create()))
        .map_err(llvm_error)?;
    crate::one_lane_stores::rewrite(&module).map_err(|e| CompileError(format!("LLVM: {e}")))?;
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
        .map_err(|e| CompileError(format!("target '{}': {}", target.triple, e.to_string_lossy())))?;
    found
        .create_target_machine(
            &triple,
            &target.cpu,
            &target.features,
            OptimizationLevel::Aggressive,
            RelocMode::PIC,
            CodeModel::Default,
        )
        .ok_or_else(|| CompileError(format!("LLVM has no machine for {} with cpu '{}'", target.triple, target.cpu)))
}
