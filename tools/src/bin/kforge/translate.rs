//! Translates `gpu.func` kernels to WGSL, and prints naga's translation for Metal, Vulkan and DirectX.

// `println!` and `eprintln!` panic if the output is full or closed; `outln!` and `errln!` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use kforge_lowering::{
    compile::{Diagnostics, context, parse_with, translation_error},
    to_wgsl::{self, Shader, check},
};
use kforge_tools::{output, program, source::ModuleFile};
use std::{path::PathBuf, process::ExitCode};

/// Translates the kernels of a module (`gpu.func ... kernel` inside `gpu.module`) to WGSL, and checks them with naga
#[derive(Parser, Debug)]
#[command(name = "kforge-translate", version)]
struct Options {
    /// A module of kernels; - is standard input
    #[arg(long = "mlir-to-wgsl", value_name = "FILE")]
    file: PathBuf,
    /// The kernel; without it, all of them, a line `// -----` between two
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// The language to write
    #[arg(long, value_enum, default_value_t = Emit::Wgsl)]
    emit: Emit,
    /// The file to write; without it, standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Emit {
    /// What the translation makes
    Wgsl,
    /// What naga makes of it for Metal
    Msl,
    /// What naga makes of it for Vulkan: binary, one kernel, needs -o
    Spirv,
    /// What naga makes of it for DirectX
    Hlsl,
}

const NAME: &str = "kforge-translate";

pub fn main() -> ExitCode {
    program::start(c"kforge-translate");
    match program::options(NAME).map(|options| run(&options)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => program::failure(NAME, &error),
        Err(code) => code,
    }
}

fn run(options: &Options) -> Result<()> {
    options.output.as_deref().map_or(Ok(()), output::check_place)?;
    let file = ModuleFile::read(&options.file)?;
    let context = context();
    let diagnostics = Diagnostics::new(&context, file.source());
    let module = parse_with(&diagnostics)?;
    let shaders = match &options.kernel {
        Some(kernel) => to_wgsl::translate_kernel(module.as_operation(), kernel).map(Vec::from_iter),
        None => to_wgsl::translate(module.as_operation()),
    }
    .map_err(|e| translation_error(&diagnostics, &e))?;
    if shaders.is_empty() {
        let names = to_wgsl::kernels(module.as_operation());
        match &options.kernel {
            Some(kernel) if !names.is_empty() => {
                bail!("there is no kernel '{kernel}'; the module has {}", names.join(", "))
            }
            _ => bail!("{} has no kernel: no gpu.func with 'kernel' inside a gpu.module", file.name),
        }
    }
    let bytes = match options.emit {
        Emit::Spirv => binary(options, &shaders)?,
        _ => text(options.emit, &shaders)?.into_bytes(),
    };
    match &options.output {
        Some(path) => output::write(path, &bytes),
        None => output::print(&bytes),
    }
}

/// All shaders as text, with separators.
fn text(emit: Emit, shaders: &[Shader]) -> Result<String> {
    let mut texts = vec![];
    for shader in shaders {
        let valid = check::validate(shader)?;
        texts.push(match emit {
            Emit::Msl => valid.msl()?,
            Emit::Hlsl => valid.hlsl()?,
            Emit::Wgsl | Emit::Spirv => shader.text.clone(),
        });
    }
    Ok(texts.join("// -----\n"))
}

fn binary(options: &Options, shaders: &[Shader]) -> Result<Vec<u8>> {
    let [shader] = shaders else {
        let names: Vec<&str> = shaders.iter().map(|shader| shader.kernel.as_str()).collect();
        bail!("a SPIR-V file holds one kernel; name it with --kernel: {}", names.join(", "));
    };
    if options.output.is_none() {
        bail!("SPIR-V is binary; name a file with -o");
    }
    Ok(check::validate(shader)?.spirv()?.into_iter().flat_map(u32::to_le_bytes).collect())
}
