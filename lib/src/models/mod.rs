//! Modules built from a checkpoint's configuration.

pub mod llama;

pub use llama::{KvType, Llama, RopeMode};
