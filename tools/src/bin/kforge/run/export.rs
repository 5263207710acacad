//! `kforge-run export`: a checkpoint, or random weights, as a GGUF file or a Hugging Face folder.

use crate::run::{Common, model};
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use kforge_checkpoint::write::{self, Dequantized};
use kforge_dialect::RemovedOnSignal;
use kforge_tools::output::Output;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Args, Debug)]
pub struct Options {
    /// A GGUF file, a safetensors file or directory, a Hugging Face repository ORG/NAME, or random:tiny
    model: OsString,
    /// A file with the ending .gguf, or a folder, new or empty, for config.json, model.safetensors and the tokenizer
    #[arg(value_name = "OUT.gguf|OUT_DIR")]
    out: PathBuf,
    /// What quantised weights become in a folder
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = Float::F16)]
    dequantize: Float,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Float {
    /// Half the size; rounds
    F16,
    /// Exact
    F32,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    let model = model::open(common, &options.model)?;
    let checkpoint = model.checkpoint();
    if options.out.extension().is_some_and(|extension| extension == "gguf") {
        let mut output = Output::create(&options.out)?;
        write::gguf(checkpoint, &mut output).with_context(|| cannot(&options.out))?;
        output.finish()?;
    } else {
        let dequantized = match options.dequantize {
            Float::F16 => Dequantized::F16,
            Float::F32 => Dequantized::F32,
        };
        let mut removed = vec![];
        let begins = |file: &Path| removed.push(RemovedOnSignal::new(file));
        write::hugging_face(checkpoint, &options.out, dequantized, begins).with_context(|| cannot(&options.out))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn cannot(out: &Path) -> String {
    format!("{} cannot be written", out.display())
}
