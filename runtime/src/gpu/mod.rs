//! Runs launch programs on a GPU, through wgpu.

mod device;
mod executor;

pub use device::{Adapter, Gpu, adapters};
pub use executor::{Executor, Kernels};
