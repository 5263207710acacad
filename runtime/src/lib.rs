//! Runs launch programs: memory, threads, compiled objects, and the decoder on top. Links no MLIR.

mod bind;
pub mod cache;
mod check;
pub mod decoder;
pub mod execute;
pub mod executor;
pub mod gpu;
pub mod memory;
pub mod object;
pub mod perf;
pub mod pool;
pub mod roofline;
pub mod sample;

pub use decoder::Decoder;
pub use execute::{Execute, Outputs, View};
pub use executor::{Executor, KernelTime};
pub use object::Object;
pub use pool::Pool;
pub use roofline::Roofline;
pub use sample::Logits;

/// Errors of loading or running a program. Messages are complete: no error has another as its source, as printing the
/// chain of errors would repeat that message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the object does not load: {0}")]
    Object(String),
    #[error("the program is not valid: {0}")]
    Program(String),
    #[error("there is no function '{name}'; the program has {known}")]
    NoFunction { name: String, known: String },
    #[error("{function}: {message}")]
    Call { function: String, message: String },
    #[error("weight '{name}': {message}")]
    Weight { name: String, message: String },
    #[error("{bytes} bytes of memory cannot be had: {error}")]
    Memory { bytes: usize, error: std::io::Error },
    #[error("{threads} threads cannot be had: {error}")]
    Threads { threads: usize, error: std::io::Error },
    #[error("the map for perf, {path}, cannot be written: {error}; unset KFORGE_PERF to do without", path = path.display())]
    Perf { path: std::path::PathBuf, error: std::io::Error },
    #[error("{0}")]
    Context(String),
    #[error("the GPU: {0}")]
    Gpu(String),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
