//! Passes over the transformer dialect, one a file, and the registry that names them.

pub mod fusion;
mod fusions;
pub mod options;
pub mod passes;
pub mod tiles;
pub mod tuner;

pub use fusions::Fusions;
pub use options::{Numerics, Options, Tuning};
pub use passes::PASSES;

use kforge_dialect::pass::{self, PipelineInfo};
use kforge_target::Target;
use std::sync::Once;

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
