//! Reference semantics of every op of the `transformer` dialect, in plain Rust.
//!
//! Operands are converted to f32 (quantised weights dequantised, f16 and bf16 extended), sums and functions are computed in
//! f64, and each result is rounded to f32 and then to its element type. Nothing is blocked, fused or reordered: this is the
//! oracle that compiled code is tested against, so every function is the formula of its op. Operands are checked first;
//! a wrong shape, element type, id, position or block is an [`Error`], never a panic.

pub mod activation;
pub mod attention;
pub mod block;
mod cache;
mod check;
pub mod compare;
pub mod elementwise;
mod error;
pub mod kv_update;
pub mod linear;
pub mod norm;
pub mod random;
pub mod rope;
mod tensor;

pub use activation::{Approximate, gelu, scale, silu, softcap, swiglu};
pub use attention::{AttentionAttributes, attention};
pub use block::{Activation, DecoderBlock, DecoderBlockAttributes, decoder_block, mlp};
pub use cache::Sequences;
pub use compare::{Comparison, Roundings, RowTolerance, Tolerance, compare, compare_rows};
pub use error::{Error, Result};
pub use kforge_quant::Element;
pub use kforge_quant::RopeMode;
pub use kv_update::kv_update;
pub use linear::{embedding, linear, matmul};
pub use norm::{layer_norm, quantize, rms_norm, softmax, top_k};
pub use rope::{RopeAttributes, rope};
pub use tensor::{Data, Tensor};
