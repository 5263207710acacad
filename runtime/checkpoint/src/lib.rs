//! Real checkpoints: GGUF files and Hugging Face directories, read into one representation, and written as either.
//!
//! A [`Checkpoint`] is a validated [`Config`], the model's weights under their GGUF names (whatever file they came
//! from), and a [`Tokenizer`] with the model's chat template. Files are memory-mapped. Nothing in them is trusted: an
//! open checkpoint has every weight that its model uses, of the shape that its config says, inside the file. Families
//! and tensors are rows of kforge-models' tables.
//!
//! | module | part |
//! |---|---|
//! | [`gguf`] | GGUF reader and writer |
//! | [`safetensors`] | safetensors reader: one file, or shards with an index |
//! | `config` | the model's [`Config`], from GGUF metadata or `config.json` |
//! | [`random`] | random models for tests and benches |
//! | [`tokenizer`] | text to tokens and back, chat templates |
//! | [`write`] | an open checkpoint as a GGUF file, or as a Hugging Face folder |
//! | [`hub`] | fetching from the Hugging Face hub |

mod checkpoint;
mod config;
mod describe;
mod error;
pub mod gguf;
pub mod hub;
mod json;
pub mod random;
pub mod safetensors;
mod storage;
pub mod tokenizer;
pub mod write;

pub use checkpoint::{Checkpoint, Weight};
pub use config::unread::Unread;
pub use describe::{Description, MetadataRow, TensorRow};
pub use error::Error;
pub use kforge_models::{Arch, Biases, Config, RopeMode};
pub use kforge_quant::Element;
pub use storage::Storage;
pub use tokenizer::{ChatTemplate, Conversation, Stream, Tokenizer};
