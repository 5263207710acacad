//! Whole checkpoints: valid ones are read correctly, malicious ones are rejected with a clear error and never a panic.

mod chat;
mod config;
mod export;
mod hostile_gguf;
mod hostile_safetensors;
mod hostile_vocabularies;
mod mutations;
mod splits;
mod streams;
mod support;
mod tiny;
mod tokenizers;
mod unread;
mod vocabularies;
