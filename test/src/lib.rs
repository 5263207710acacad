//! See docs/architecture.md.

pub mod browser;
pub mod generate;
pub mod gpu_kernels;
pub mod run;
