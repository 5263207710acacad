//! Model families as data, and the module of a model as text. No MLIR, and no files.
//!
//! | module | part |
//! |---|---|
//! | `arch` | one row for each family: its names in GGUF and Hugging Face, biases, norms, RoPE, windows |
//! | `tensors` | one row for each tensor: its name in both formats, its shape, and when a model has it |
//! | `config` | the sizes of one model, validated |
//! | [`layer`] | the ops of one layer of a decoder, for the module and for `--decompose-decoder-block` |
//! | `module` | the module of a model: `@prefill` and `@decode` over shared weights and caches |
//!
//! Readers, writers, random weights and tests iterate these tables: a family is one row of [`Arch::ALL`].

mod arch;
mod config;
pub mod layer;
mod module;
mod tensors;

pub use arch::{Arch, ConfigBiases, ConfigWindow, Fused, Gguf, HuggingFace, Mlp, Norm, Norms, QkNorm, Softcaps};
pub use config::{Biases, Config, LayerKind, LongRope, Rope};
pub use kforge_quant::RopeMode;
pub use module::{Batch, Emission, KvType, Phase, Returns, module};
pub use tensors::{Size, TENSORS, Tensor, TensorOf, When, from_hugging_face, is_buffer, to_hugging_face};
