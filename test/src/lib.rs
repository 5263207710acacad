//! See docs/architecture.md.

pub mod browser;
pub mod generate;
pub mod gpu_kernels;
pub mod model;
pub mod need;
pub mod run;
pub mod wgsl;
