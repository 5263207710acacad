//! Modules built from a checkpoint's configuration.

pub mod llama;

pub use llama::{Llama, RopeMode};
