//! See docs/architecture.md.

pub mod generate;
