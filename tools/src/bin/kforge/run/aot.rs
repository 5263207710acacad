//! `kforge-run compile`: a module's kernels as an object, for this machine or another.

use crate::run::{Common, Target as Place, compile};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use kforge_lowering::compile::{Machine, Output, lower};
use kforge_tools::{output, source::ModuleFile};
use std::{path::PathBuf, process::ExitCode};

#[derive(Args, Debug)]
pub struct Options {
    /// A module in the transformer dialect; - is standard input
    file: PathBuf,
    /// Another machine: aarch64-unknown-linux-gnu, arm64-apple-darwin, x86_64-unknown-linux-gnu, ...
    #[arg(long, value_name = "TRIPLE")]
    target_triple: Option<String>,
    /// What to make
    #[arg(long, value_enum, default_value_t = Emit::Obj)]
    emit: Emit,
    /// Where to write it; text goes to standard output without one
    #[arg(short, long, required_if_eq("emit", "obj"))]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Emit {
    Obj,
    Asm,
    Llvm,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    if common.target != Place::Cpu {
        bail!(
            "compile makes machine code of a CPU; leave --target out (kforge-opt --kforge-gpu and kforge-translate \
             --mlir-to-wgsl make a GPU's shaders)"
        );
    }
    let machine = match &options.target_triple {
        Some(triple) => Machine::of_triple(triple, compile::isa(common)?)?,
        None => compile::machine(common)?,
    };
    let made = match options.emit {
        Emit::Obj => Output::Object,
        Emit::Asm => Output::Assembly,
        Emit::Llvm => Output::LlvmIr,
    };
    options.output.as_deref().map_or(Ok(()), output::check_place)?;
    let compiling = common.options_for(options.target_triple.as_ref());
    let bytes = lower(ModuleFile::read(&options.file)?.source(), &machine, compiling, made)?;
    match &options.output {
        Some(path) => output::write(path, &bytes)?,
        None => output::print(&bytes)?,
    }
    Ok(ExitCode::SUCCESS)
}
