//! `kforge-run compile`: a module's kernels as an object, for this machine or another.

use crate::{Common, Target as Place, compile};
use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use kforge_lowering::compile::{Output, Target, lower};
use kforge_runtime::cache::write_whole;
use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

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
    let target = match &options.target_triple {
        Some(triple) => Target::of_triple(triple, compile::isa(common)?)?,
        None => compile::target(common)?,
    };
    let output = match options.emit {
        Emit::Obj => Output::Object,
        Emit::Asm => Output::Assembly,
        Emit::Llvm => Output::LlvmIr,
    };
    let name = options.file.display().to_string();
    let compiling = common.options_for(options.target_triple.as_ref());
    let bytes = lower(&read_source(&options.file)?, &name, &target, compiling, output)?;
    match &options.output {
        Some(path) => write_whole(path, &[&bytes]).with_context(|| format!("{} cannot be written", path.display()))?,
        None => io::stdout().lock().write_all(&bytes)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The text of a module; `-` is standard input.
pub fn read_source(file: &PathBuf) -> Result<String> {
    match file.to_str() {
        Some("-") => Ok(io::read_to_string(io::stdin())?),
        _ => fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display())),
    }
}
