//! One pass per file; each file's header shows what it does to the IR. A pass is declared and registered here.

pub mod decompose_decoder_block;
pub mod decompose_mlp;
pub mod fuse_epilogue;
pub mod fuse_gate_up;
pub mod fuse_norm;
pub mod fuse_qkv;
pub mod fuse_rope_attention;
pub mod fuse_rope_kv;
pub mod outline_constants;
pub mod outline_groups;
pub mod quantize_activations;
pub mod select_kernels;
pub mod tile;

use kforge_dialect::pass::PassInfo;

/// Every pass of this crate, in the order of the pipeline.
pub static PASSES: &[&PassInfo] = &[
    &decompose_mlp::INFO,
    &decompose_decoder_block::INFO,
    &quantize_activations::INFO,
    &fuse_qkv::INFO,
    &fuse_gate_up::INFO,
    &fuse_norm::INFO,
    &fuse_epilogue::INFO,
    &fuse_rope_kv::INFO,
    &fuse_rope_attention::INFO,
    &outline_constants::INFO,
    &outline_groups::INFO,
    &select_kernels::INFO,
    &tile::INFO,
];
