//! `kforge-run asm`: one generated kernel, to read.

use crate::run::{Common, compile, model};
use anyhow::{Result, bail};
use clap::Args;
use kforge_engine::module::emit;
use kforge_lowering::{
    compile::Machine,
    listing::{self, Level},
};
use kforge_models::{Emission, Phase};
use kforge_tools::{output, source::ModuleFile};
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

#[derive(Args, Debug)]
pub struct Options {
    /// A module in the transformer dialect; - is standard input
    #[arg(required_unless_present = "model", conflicts_with = "model")]
    file: Option<PathBuf>,
    /// The module of a model instead: a GGUF file, a safetensors file or directory, ORG/NAME, or random:tiny
    #[arg(long)]
    model: Option<OsString>,
    #[command(flatten)]
    cache: model::Cache,
    /// The kernel, as kforge_gemv_3; without it, the names of all are printed
    #[arg(long)]
    kernel: Option<String>,
    /// Print LLVM IR, optimised, instead of assembly
    #[arg(long, conflicts_with = "mlir")]
    llvm: bool,
    /// Print the kernel's MLIR, as its generator wrote it, instead of assembly
    #[arg(long)]
    mlir: bool,
    /// Another machine: aarch64-unknown-linux-gnu, arm64-apple-darwin, x86_64-unknown-linux-gnu, ...
    #[arg(long, value_name = "TRIPLE")]
    target_triple: Option<String>,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    if common.target != crate::run::Target::Cpu {
        bail!("asm shows what is compiled for a CPU; leave --target out");
    }
    let machine = match &options.target_triple {
        Some(triple) => Machine::of_triple(triple, compile::isa(common)?)?,
        None => compile::machine(common)?,
    };
    let module = match (&options.model, &options.file) {
        (Some(name), _) => {
            let phases = [Phase::Prefill, Phase::Decode];
            let text = emit(
                model::open(common, name)?.checkpoint(),
                Emission { kv_type: options.cache.kv_type(), ..Emission::default() },
                &phases,
            )?;
            ModuleFile { name: name.to_string_lossy().into_owned(), bytes: text.into() }
        }
        (None, Some(file)) => ModuleFile::read(file)?,
        (None, None) => bail!("no module was given: name a file, or --model"),
    };
    let compiling = common.options_for(options.target_triple.as_ref());
    let Some(kernel) = &options.kernel else {
        for (name, summary) in listing::kernels(module.source(), &machine, compiling)? {
            outln!("{name:<24} {summary}")?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let level = match (options.llvm, options.mlir) {
        (true, _) => Level::LlvmIr,
        (_, true) => Level::Mlir,
        _ => Level::Assembly,
    };
    output::print(&listing::kernel(module.source(), &machine, compiling, kernel, level)?)?;
    Ok(ExitCode::SUCCESS)
}
