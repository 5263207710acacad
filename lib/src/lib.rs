//! Passes over the transformer dialect, one a file, and the registry that names them.

pub mod adapter;
pub mod fusion;
mod fusions;
pub mod isa;
pub mod passes;
pub mod tuner;

pub use fusions::Fusions;

use kforge_dialect::pass::{self, PassInfo, PipelineInfo};
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
    passes: |_| Ok(kforge_fuse(isa::Isa::host())),
}];

/// Ops that other ops say, spelled out.
pub const DECOMPOSE: &str = "decompose-decoder-block,decompose-mlp,canonicalize,cse";

/// The pipeline of a CPU or a GPU from tensors to `transformer.fused` regions.
pub fn kforge_fuse(isa: isa::Isa) -> String {
    fuse(isa, Fusions::ALL, &[])
}

/// The same with other fusions, and with passes of functions that come before them.
pub fn fuse(isa: isa::Isa, fusions: Fusions, before: &[&str]) -> String {
    let fusions = fusions.passes(isa);
    let fusions: Vec<&str> = before.iter().copied().chain([fusions.as_str()]).collect();
    // Canonicalisation folds what is computed of constants alone, so constants are outlined after it.
    format!("func.func({DECOMPOSE}),outline-constants,func.func({})", fusions.join(","))
}

/// Registers the passes and pipelines of this crate, once.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        PASSES.iter().for_each(|info| pass::register(info));
        PIPELINES.iter().for_each(|info| pass::register_pipeline(info));
    });
}
