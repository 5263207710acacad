//! Passes over the transformer dialect, one a file, and the registry that names them.

pub mod fusion;
mod fusions;
pub mod options;
pub mod passes;
pub mod tiles;
pub mod tuner;

pub use fusions::Fusions;
pub use options::{Numerics, Options, Tuning};

use kforge_dialect::pass::{self, PassInfo, PipelineInfo};
use kforge_target::Target;
use std::sync::Once;

/// Every pass of this crate, in the order of the pipeline.
pub static PASSES: &[&PassInfo] = &[
    &passes::decompose_mlp::INFO,
    &passes::decompose_decoder_block::INFO,
    &passes::quantize_activations::INFO,
    &passes::fuse_qkv::INFO,
    &passes::fuse_gate_up::INFO,
    &passes::fuse_norm::INFO,
    &passes::fuse_epilogue::INFO,
    &passes::fuse_rope_kv::INFO,
    &passes::fuse_rope_attention::INFO,
    &passes::outline_constants::INFO,
    &passes::outline_groups::INFO,
    &passes::select_kernels::INFO,
    &passes::tile::INFO,
];

/// The pipelines of this crate.
pub static PIPELINES: &[&PipelineInfo] = &[&PipelineInfo {
    name: "kforge-fuse",
    summary: "Decompose, annotate fusions and outline the groups",
    options: &[],
    passes: |_| Ok(Options::default().fusion(Target::host())),
}];

/// Passes of functions that replace composite ops by the ops that they are made of.
pub const DECOMPOSE: [&str; 4] =
    [passes::decompose_decoder_block::INFO.name, passes::decompose_mlp::INFO.name, "canonicalize", "cse"];

/// Registers the passes and pipelines of this crate, once.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        PASSES.iter().for_each(|info| pass::register(info));
        PIPELINES.iter().for_each(|info| pass::register_pipeline(info));
    });
}
