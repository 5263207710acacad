//! Objects, assembly and LLVM IR, for a CPU.
//!
//! A module of kernels in the LLVM dialect becomes LLVM IR, and through LLVM's `default<O3>` an object in memory. It is
//! position independent and refers to nothing but `memcpy`, `memmove` and `memset`; a runtime loads it, a cache keeps it.

use super::Backend;
use crate::compile::{CompileError, Result, context, parse_with, reported, run_pipeline};
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
use kforge_dialect::{Diagnostics, Source, pass::Pipeline};
use kforge_passes::Options;
use kforge_program::Program;
use kforge_target::{Isa, Target};
use melior::ir::Module;
use std::sync::Once;
use tracing::info_span;

/// From kernels to the LLVM dialect; launches are dropped, an entry for each kernel is added.
///
/// One conversion takes all dialects: between separate ones a branch could not carry a value of a type that only one of
/// them converts, as a matrix tile. Vectors of more than one dimension are unrolled before it.
pub const LLVM: &[&str] =
    &["kernel-entries", "convert-scf-to-cf", "convert-vector-to-llvm", "convert-to-llvm", "reconcile-unrealized-casts"];

/// A machine that LLVM generates code for.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    pub triple: String,
    pub cpu: String,
    /// LLVM's feature string, `+avx2,+fma`.
    pub features: String,
    pub isa: Isa,
}

impl Machine {
    /// The machine this runs on, narrowed to `isa` if one is given.
    ///
    /// # Errors
    /// If the machine lacks that instruction set.
    pub fn host(isa: Option<Isa>) -> Result<Machine> {
        let host = Isa::host();
        let isa = isa.unwrap_or(host);
        if !host.covers(isa) {
            return Err(CompileError::Other(format!(
                "this machine has {host}, not {isa}; leave --cpu-features out, or name a narrower set"
            )));
        }
        let triple = TargetMachine::get_default_triple().as_str().to_string_lossy().into_owned();
        let text = |s: inkwell::support::LLVMString| s.to_string_lossy().into_owned();
        let (cpu, features) = if isa == host {
            (text(TargetMachine::get_host_cpu_name()), text(TargetMachine::get_host_cpu_features()))
        } else {
            let (cpu, features) = isa.llvm();
            (cpu.to_owned(), features)
        };
        Ok(Machine { triple, cpu, features, isa })
    }

    /// Another machine, by its triple: the instruction set is `isa`, or what most machines of the architecture have.
    ///
    /// # Errors
    /// If the architecture is none that kernels are generated for, or has no such instruction set.
    pub fn of_triple(triple: &str, isa: Option<Isa>) -> Result<Machine> {
        let usual = match triple.split('-').next() {
            Some("aarch64" | "arm64") => Isa::NEON,
            Some("x86_64") => Isa::AVX2,
            _ => {
                return Err(CompileError::Other(format!(
                    "no kernels are generated for '{triple}'; use an x86_64 or aarch64 triple"
                )));
            }
        };
        let isa = isa.unwrap_or(usual);
        if isa.architecture() != usual.architecture() {
            let names: Vec<_> = Isa::ALL.iter().filter(|isa| isa.architecture() == usual.architecture()).collect();
            let names: Vec<_> = names.iter().rev().map(|isa| isa.to_string()).collect();
            return Err(CompileError::Other(format!("'{triple}' has no {isa}; use {}", names.join(", "))));
        }
        let (cpu, features) = isa.llvm();
        Ok(Machine { triple: triple.to_owned(), cpu: cpu.to_owned(), features, isa })
    }

    fn target_machine(&self) -> Result<TargetMachine> {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let config = InitializationConfig::default();
            LlvmTarget::initialize_x86(&config);
            LlvmTarget::initialize_aarch64(&config);
        });
        let triple = TargetTriple::create(&self.triple);
        let found = LlvmTarget::from_triple(&triple)
            .map_err(|e| CompileError::Other(format!("target '{}': {}", self.triple, e.to_string_lossy())))?;
        found
            .create_target_machine(
                &triple,
                &self.cpu,
                &self.features,
                OptimizationLevel::Aggressive,
                RelocMode::PIC,
                CodeModel::Default,
            )
            .ok_or_else(|| {
                CompileError::Other(format!("LLVM has no machine for {} with cpu '{}'", self.triple, self.cpu))
            })
    }
}

impl Backend for Machine {
    /// An object file.
    type Code = Vec<u8>;

    fn target(&self) -> Target {
        Target::Cpu(self.isa)
    }

    fn identity(&self) -> Vec<String> {
        let Machine { triple, cpu, features, .. } = self.clone();
        vec![llvm_version(), triple, cpu, features]
    }

    fn generate(&self, diagnostics: &Diagnostics, module: &mut Module, _program: &Program) -> Result<Vec<u8>> {
        emit(diagnostics, module, self, Output::Object)
    }

    fn encode(code: &Vec<u8>) -> Result<Vec<u8>> {
        Ok(code.clone())
    }

    fn decode(bytes: Vec<u8>) -> Option<Vec<u8>> {
        Some(bytes)
    }
}

/// The version of LLVM that generates code: part of every cache key.
pub fn llvm_version() -> String {
    let (major, minor, patch) = inkwell::support::get_llvm_version();
    format!("{major}.{minor}.{patch}")
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
pub fn lower(source: Source<'_>, machine: &Machine, options: Options, output: Output) -> Result<Vec<u8>> {
    let context = context();
    let diagnostics = Diagnostics::new(&context, source);
    let mut module = parse_with(&diagnostics)?;
    run_pipeline(&diagnostics, &mut module, &crate::pipeline(Target::Cpu(machine.isa), options))?;
    emit(&diagnostics, &mut module, machine, output)
}

/// Lowers the kernels of a module of launches.
pub fn emit(diagnostics: &Diagnostics, module: &mut Module, machine: &Machine, output: Output) -> Result<Vec<u8>> {
    info_span!("passes to LLVM")
        .in_scope(|| run_pipeline(diagnostics, module, &Pipeline::default().on_module(LLVM)))?;
    let llvm = LlvmContext::create();
    // SAFETY: the module is in the LLVM dialect with translations registered; the result is owned by `llvm`.
    let module = reported(diagnostics, || unsafe {
        let raw = mlir_sys::mlirTranslateModuleToLLVMIR(module.as_operation().to_raw(), llvm.raw().cast());
        (!raw.is_null()).then(|| LlvmModule::new(raw.cast()))
    })?;
    let target = machine.target_machine()?;
    module.set_triple(&TargetTriple::create(&machine.triple));
    module.set_data_layout(&target.get_target_data().get_data_layout());
    let llvm_error = |e: inkwell::support::LLVMString| CompileError::Other(format!("LLVM: {}", e.to_string_lossy()));
    info_span!("optimise")
        .in_scope(|| module.run_passes("default<O3>", &target, PassBuilderOptions::create()))
        .map_err(llvm_error)?;
    crate::one_lane_stores::rewrite(&module).map_err(|e| CompileError::Other(format!("LLVM: {e}")))?;
    let file = match output {
        Output::LlvmIr => return Ok(module.print_to_string().to_bytes().to_vec()),
        Output::Object => FileType::Object,
        Output::Assembly => FileType::Assembly,
    };
    let buffer: MemoryBuffer =
        info_span!("code").in_scope(|| target.write_to_memory_buffer(&module, file)).map_err(llvm_error)?;
    Ok(buffer.as_slice().to_vec())
}
