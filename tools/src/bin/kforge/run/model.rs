//! From the name of a model to a decoder with its weights packed.

use crate::run::{Common, Target, compile};
use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use kforge_checkpoint::Checkpoint;
use kforge_models::{KvType, Phase, Returns};
use kforge_runtime::{Decoder, Error, Execute, cache};
use kforge_tools::model::{module, set_weights};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tracing::info_span;

/// What `generate` takes without `--model`: the file that `make model` fetches.
pub const DEFAULT: &str = "default";
/// What `llm-inference` takes without `--model`.
pub const RANDOM: &str = "random:tiny";

/// Seed of random weights.
const SEED: u64 = 0;

/// Options of whatever decodes.
#[derive(Args, Clone, Copy, Debug)]
pub struct Cache {
    /// Element type of the KV cache
    #[arg(long, value_enum, default_value_t = KvTypeName::F32, value_name = "TYPE")]
    kv_type: KvTypeName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KvTypeName {
    F32,
    /// Half the memory and half the reading; a row is rounded once, when it enters
    F16,
    /// 36 bytes where f32 takes 128: 8 bits, and an f32 scale for each 32 elements of a head, whose size must be a multiple
    /// of that
    Q8,
}

impl Cache {
    pub fn kv_type(self) -> KvType {
        match self.kv_type {
            KvTypeName::F32 => KvType::F32,
            KvTypeName::F16 => KvType::F16,
            KvTypeName::Q8 => KvType::Q8,
        }
    }
}

/// Opens `default`, `random:NAME`, a path, or a Hugging Face repository. Says which keys of its configuration
/// `--ignore-config` passes over.
pub fn open(common: &Common, name: &OsStr) -> Result<Checkpoint> {
    let checkpoint = find(name, &common.ignore_config)?;
    let ignored: Vec<String> = checkpoint
        .unread()
        .iter()
        .filter(|unread| unread.ignored)
        .map(|unread| format!("{} = {}", unread.key, unread.value))
        .collect();
    if !ignored.is_empty() {
        errln!("kforge-run: warning: ignored, so the answers may be wrong: {}", ignored.join(", "));
    }
    let needless = |key: &&String| !checkpoint.unread().iter().any(|unread| unread.ignored && unread.key == **key);
    if let Some(key) = common.ignore_config.iter().find(needless) {
        errln!("kforge-run: warning: --ignore-config {key} does nothing: the model opens without it");
    }
    Ok(checkpoint)
}

fn find(name: &OsStr, ignore: &[String]) -> Result<Checkpoint> {
    // Names of ours, and of repositories, are text; those of files need not be.
    let text = name.to_str();
    if let Some(kind) = text.and_then(|text| text.strip_prefix("random:")) {
        return Ok(Checkpoint::random(kind, SEED)?);
    }
    if name == DEFAULT {
        let path = default_path().context("the cache directory is not known: set HOME or KFORGE_CACHE")?;
        if !path.exists() {
            bail!(
                "the default model is not at {}; run 'make model' to fetch it, or choose another with --model \
                 (random:tiny needs no file)",
                path.display()
            );
        }
        return Ok(Checkpoint::open_ignoring(&path, ignore)?);
    }
    let path = Path::new(name);
    match text.filter(|text| is_repository(text)) {
        // What is there but cannot be looked at is an error of opening it.
        _ if !matches!(path.try_exists(), Ok(false)) => Ok(Checkpoint::open_ignoring(path, ignore)?),
        Some(repository) => Ok(Checkpoint::open_ignoring(&kforge_checkpoint::hub::fetch(repository)?, ignore)?),
        None => bail!(
            "there is no file or directory '{}'; --model takes a GGUF file, a safetensors file or directory, ORG/NAME or \
             random:tiny",
            path.display()
        ),
    }
}

/// Whether a name that is no file can be meant for a repository, `ORG/NAME` or `ORG/NAME:FILE`.
fn is_repository(name: &str) -> bool {
    let file = Path::new(name).extension().is_some_and(|extension| {
        ["gguf", "safetensors"].iter().any(|known| extension.eq_ignore_ascii_case(known)) && !name.contains(':')
    });
    let repository = name.split_once(':').map_or(name, |(repository, _)| repository);
    !file && !name.starts_with(['.', '/', '~']) && repository.split('/').count() == 2
}

fn default_path() -> Option<PathBuf> {
    Some(cache::directory()?.join("models/SmolLM2-135M-Instruct.Q4_1.gguf"))
}

/// How long it took to get ready.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Mapping, checking and packing.
    pub load: Duration,
    /// Compiling, or reading the cache.
    pub compile: Duration,
}

/// A decoder of a checkpoint, for `context` tokens.
pub fn decoder(
    common: &Common,
    checkpoint: &Checkpoint,
    cache: Cache,
    returns: Returns,
    context: usize,
) -> Result<(Decoder, Timings)> {
    if common.target == Target::Reference {
        bail!("decoding runs on compiled kernels; --target reference is for single functions");
    }
    compile::on_target(common, |common| load(common, checkpoint, cache, returns, context))
}

fn load(
    common: &Common,
    checkpoint: &Checkpoint,
    cache: Cache,
    returns: Returns,
    context: usize,
) -> Result<(Decoder, Timings)> {
    let longest = checkpoint.config().context;
    if context > longest {
        bail!("a context of {context} tokens is more than the {longest} that the model was made for");
    }
    let (executor, timings) = executor(common, checkpoint, cache, returns)?;
    Ok((Decoder::new(executor, context)?, timings))
}

/// A checkpoint's module compiled, its weights packed.
fn executor(
    common: &Common,
    checkpoint: &Checkpoint,
    cache: Cache,
    returns: Returns,
) -> Result<(Box<dyn Execute>, Timings)> {
    let begin = Instant::now();
    let source = module(checkpoint, cache.kv_type(), returns, &[Phase::Prefill, Phase::Decode])?;
    let mut executor = info_span!("compile and load code").in_scope(|| compile::executor(common, (&source).into()))?;
    let compiled = begin.elapsed();
    let progress = bar(checkpoint.names().len() as u64, "packing weights");
    info_span!("pack weights").in_scope(|| set_weights(&mut *executor, checkpoint, |_| progress.inc(1)))?;
    progress.finish_and_clear();
    Ok((executor, Timings { load: begin.elapsed() - compiled, compile: compiled }))
}

/// The decoder of the model `name`; where `--target auto` has taken a GPU that fails later, the CPU goes on.
pub fn with_fallback(common: &Common, name: &OsStr, cache: Cache, returns: Returns, decoder: Decoder) -> Decoder {
    if common.target != Target::Auto || !decoder.executor().is_gpu() {
        return decoder;
    }
    let (common, name) = (Common { target: Target::Cpu, ..common.clone() }, name.to_owned());
    decoder.with_fallback(Box::new(move |error| {
        errln!("kforge-run: warning: {error}; the CPU goes on");
        let executor =
            find(&name, &common.ignore_config).and_then(|checkpoint| executor(&common, &checkpoint, cache, returns));
        executor.map(|(executor, _)| executor).map_err(|e| Error::Context(format!("the CPU cannot go on: {e:#}")))
    }))
}

/// A bar on a terminal, nothing elsewhere.
pub fn bar(length: u64, message: &str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(message.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_repository() {
        for name in ["org/model", "org/model:model.gguf", "org/model:q4/X.GGUF", "org/model:sha256-0123abcd"] {
            assert!(is_repository(name), "{name}");
        }
        for name in ["", "model", "a/b/c", "./model", "/model", "~/model", "models/X.GGUF", "models/x.safetensors"] {
            assert!(!is_repository(name), "{name}");
        }
    }
}
