//! `kforge-run emit-mlir`: the module that the decoder compiles.

use crate::run::{Common, model};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum, builder::RangedU64ValueParser};
use kforge_engine::module::{emit, weight_type};
use kforge_models::{Batch, Config, Emission, Phase, Returns};
use kforge_program::Element;
use kforge_tools::{bounds, output};
use std::{ffi::OsString, process::ExitCode};

#[derive(Args, Debug)]
pub struct Options {
    /// A checkpoint; without one, sizes are given and weights are f32
    #[arg(long, conflicts_with_all = ["hidden", "heads", "kv_heads", "layers", "ffn", "vocab"])]
    model: Option<OsString>,
    #[command(flatten)]
    cache: model::Cache,
    /// Give the K greatest logits and their tokens instead of all logits
    #[arg(long, value_name = "K", value_parser = bounds::size())]
    best: Option<usize>,
    /// Take any number of sequences instead of one
    #[arg(long)]
    batch: bool,
    /// Take the number of real rows of each sequence
    #[arg(long)]
    lengths: bool,
    /// Keep the caches in blocks, and take the blocks of each sequence
    #[arg(long)]
    block_table: bool,
    /// One function instead of both
    #[arg(long, value_enum)]
    phase: Option<PhaseName>,
    #[arg(long, default_value_t = 64, value_parser = bounds::size())]
    hidden: usize,
    #[arg(long, default_value_t = 4, value_parser = bounds::size())]
    heads: usize,
    /// Key and value heads; by default --heads
    #[arg(long, value_parser = bounds::size())]
    kv_heads: Option<usize>,
    #[arg(long, default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    layers: usize,
    /// Width inside the feed-forward layer; by default 4 x hidden
    #[arg(long, value_parser = bounds::size())]
    ffn: Option<usize>,
    #[arg(long, default_value_t = 256, value_parser = bounds::size())]
    vocab: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PhaseName {
    Prefill,
    Decode,
}

impl Options {
    fn emission(&self) -> Emission {
        Emission {
            kv_type: self.cache.kv_type(),
            returns: self.best.map_or(Returns::Logits, Returns::Best),
            context: 0,
            batch: if self.batch { Batch::Any } else { Batch::One },
            lengths: self.lengths,
            block_table: self.block_table,
        }
    }
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    let phases: &[Phase] = match options.phase {
        Some(PhaseName::Prefill) => &[Phase::Prefill],
        Some(PhaseName::Decode) => &[Phase::Decode],
        None => &[Phase::Prefill, Phase::Decode],
    };
    let text = match &options.model {
        Some(name) => emit(model::open(common, name)?.checkpoint(), options.emission(), phases)?,
        None => from_sizes(options, phases)?,
    };
    output::print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn from_sizes(options: &Options, phases: &[Phase]) -> Result<String> {
    let Options { hidden, heads, layers, vocab, .. } = *options;
    let kv_heads = options.kv_heads.unwrap_or(heads);
    let ffn = options.ffn.unwrap_or(4 * hidden);
    if heads % kv_heads != 0 {
        bail!("--heads {heads} must be a multiple of --kv-heads {kv_heads}");
    }
    if hidden % heads != 0 || (hidden / heads) % 2 != 0 {
        bail!("--hidden must be --heads times an even head size");
    }
    let config = Config { layers, kv_heads, ..Config::plain(hidden, heads, ffn, vocab) };
    let types: Vec<(String, String)> =
        config.tensors().into_iter().map(|tensor| (tensor.name, weight_type(&tensor.dims, Element::F32))).collect();
    kforge_models::module(&config, &types, options.emission(), phases).map_err(anyhow::Error::msg)
}
