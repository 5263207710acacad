//! See docs/architecture.md.

pub mod generate;
pub mod run;
