//! Translates `gpu.func` kernels to WGSL, and shows what Metal, Vulkan and DirectX get of it.

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use kforge_lowering::{
    compile::{context, parse},
    to_wgsl::{self, Shader, check},
};
use kforge_runtime::cache::write_whole;
use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

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

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One that says its place reads as a compiler's; what has none names this program.
            match error.downcast_ref::<Located>() {
                Some(Located(message)) => eprintln!("{message}"),
                None => eprintln!("kforge-translate: {error:#}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// A message that begins with its place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Located(String);

fn run(options: &Options) -> Result<()> {
    let name = options.file.display().to_string();
    let source = if name == "-" {
        io::read_to_string(io::stdin()).context("standard input cannot be read")?
    } else {
        fs::read_to_string(&options.file).with_context(|| format!("{name} cannot be read"))?
    };
    let context = context();
    // Diagnostics print a place as loc("file":1:2).
    let module = parse(&context, &source, &name).map_err(|e| {
        Located(e.0.replace(&format!("loc(\"{name}\":"), &format!("{name}:")).replace("): error:", ": error:"))
    })?;
    let shaders = match &options.kernel {
        Some(kernel) => to_wgsl::translate_kernel(module.as_operation(), kernel).map(Vec::from_iter),
        None => to_wgsl::translate(module.as_operation()),
    }
    .map_err(|e| Located(e.in_file(&name).to_string()))?;
    if shaders.is_empty() {
        let names = to_wgsl::kernels(module.as_operation());
        match &options.kernel {
            Some(kernel) if !names.is_empty() => {
                bail!("there is no kernel '{kernel}'; the module has {}", names.join(", "))
            }
            _ => bail!("{name} has no kernel: no gpu.func with 'kernel' inside a gpu.module"),
        }
    }
    let bytes = match options.emit {
        Emit::Spirv => binary(options, &shaders)?,
        _ => text(options.emit, &shaders)?.into_bytes(),
    };
    match &options.output {
        Some(path) => write_whole(path, &[&bytes]).with_context(|| format!("{} cannot be written", path.display())),
        None => io::stdout().write_all(&bytes).context("standard output cannot be written"),
    }
}

/// All shaders as text, a marker between two.
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
