//! One pass per file; each file's header shows what it does to the IR.

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
