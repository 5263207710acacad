//! From the name of a model to a decoder with its weights packed.

use crate::{Common, Target, compile};
use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use kforge_checkpoint::{Checkpoint, Config};
use kforge_passes::models::{
    Llama, RopeMode,
    llama::{self, Phase},
};
use kforge_program::Element;
use kforge_runtime::{Decoder, View, cache};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What `generate` takes without `--model`: the file that `make model` fetches.
pub const DEFAULT: &str = "default";
/// What `llm-inference` takes without `--model`.
pub const RANDOM: &str = "random:tiny";

/// Seed of random weights.
const SEED: u64 = 0;

/// Opens `default`, `random:NAME`, a path, or a Hugging Face repository.
pub fn open(name: &str) -> Result<Checkpoint> {
    if let Some(kind) = name.strip_prefix("random:") {
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
        return Ok(Checkpoint::open(&path)?);
    }
    let path = Path::new(name);
    if path.exists() {
        return Ok(Checkpoint::open(path)?);
    }
    let looks_like_a_path = name.starts_with(['.', '/', '~']) || name.ends_with(".gguf") && !name.contains(':');
    if looks_like_a_path || name.split('/').count() != 2 {
        bail!(
            "there is no file or directory '{name}'; --model takes a GGUF file, a safetensors directory, ORG/NAME or random:tiny"
        );
    }
    let path = kforge_checkpoint::hub::fetch(name)?;
    Ok(Checkpoint::open(&path)?)
}

fn default_path() -> Option<PathBuf> {
    Some(cache::directory()?.join("models/SmolLM2-135M-Instruct.Q4_1.gguf"))
}

/// The program's element of a checkpoint's.
fn element(element: kforge_checkpoint::Element) -> Element {
    match element {
        kforge_checkpoint::Element::F32 => Element::F32,
        kforge_checkpoint::Element::F16 => Element::F16,
        kforge_checkpoint::Element::BF16 => Element::BF16,
        kforge_checkpoint::Element::Quant(format) => Element::Quant(format),
    }
}

/// The type of a weight as MLIR spells it.
fn weight_type(dims: &[usize], element: Element) -> String {
    let dims: Vec<String> = dims.iter().map(usize::to_string).collect();
    match element {
        Element::Quant(format) => format!("!transformer.quant<{format}, {}>", dims.join("x")),
        element => format!("tensor<{}x{element}>", dims.join("x")),
    }
}

/// The sizes that the module is emitted from.
pub fn llama(config: &Config) -> Llama {
    Llama {
        layers: config.layers,
        hidden: config.hidden,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_dim: config.head_dim,
        vocab: config.vocab,
        norm_eps: config.norm_eps,
        rope_mode: match config.rope_mode {
            kforge_checkpoint::RopeMode::Interleaved => RopeMode::Interleaved,
            kforge_checkpoint::RopeMode::Half => RopeMode::Half,
        },
        rope_base: config.rope_base,
        rope_divisors: config.rope_divisors.clone(),
        window: config.window,
    }
}

/// The module of a checkpoint.
pub fn module(checkpoint: &Checkpoint, phases: &[Phase]) -> Result<String> {
    let types = checkpoint
        .names()
        .into_iter()
        .map(|name| {
            let weight = checkpoint.weight(&name)?;
            let ty = weight_type(weight.dims, element(weight.element));
            Ok((name, ty))
        })
        .collect::<Result<Vec<_>>>()?;
    llama::module(&llama(checkpoint.config()), &types, phases).map_err(anyhow::Error::msg)
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
pub fn decoder(common: &Common, checkpoint: &Checkpoint, context: usize) -> Result<(Decoder, Timings)> {
    if common.target == Target::Reference {
        bail!("decoding runs on the CPU target; --target reference is for single functions");
    }
    let longest = checkpoint.config().context;
    if context > longest {
        bail!("--ctx {context} is more than the {longest} tokens that the model was made for");
    }
    let begin = Instant::now();
    let source = module(checkpoint, &[Phase::Prefill, Phase::Decode])?;
    let mut executor = compile::executor(common, &source)?;
    let compiled = begin.elapsed();
    let names = checkpoint.names();
    let progress = bar(names.len() as u64, "packing weights");
    for name in names {
        let weight = checkpoint.weight(&name)?;
        executor
            .set_weight(&name, View { dims: weight.dims, element: element(weight.element), bytes: weight.bytes })?;
        checkpoint.release(&name);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let decoder = Decoder::new(executor, context)?;
    Ok((decoder, Timings { load: begin.elapsed() - compiled, compile: compiled }))
}

fn bar(length: u64, message: &str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(message.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    bar
}
