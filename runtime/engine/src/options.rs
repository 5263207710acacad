//! Options: where and how models run, and who receives progress and warnings.

use kforge_lowering::compile::{self, Pipeline, Source};
use kforge_models::KvType;
use kforge_target::Isa;
use std::{fmt, sync::Arc};

/// Where kernels run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Place {
    /// On this machine's CPU, compiled by LLVM.
    #[default]
    Cpu,
    /// On a GPU, as WGSL.
    Gpu,
    /// On a GPU that is not software if there is one; on the CPU otherwise, or if the GPU fails.
    Auto,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub place: Place,
    /// The GPU: its number, or a part of its name.
    pub adapter: Option<String>,
    /// An instruction set narrower than the CPU's own.
    pub isa: Option<Isa>,
    /// CPU threads.
    pub threads: usize,
    /// Fusions, numerics and tuning.
    pub compile: compile::Options,
    /// Element type of the KV cache.
    pub kv_type: KvType,
    /// Whether compiled code is cached, and loaded from the cache.
    pub keep: bool,
    /// Unsupported keys of a model's configuration to ignore.
    pub ignore_config: Vec<String>,
    pub watch: Arc<dyn Watch>,
}

impl Default for Options {
    /// All cores of the CPU, all fusions, exact numerics, tiles by rule, compiled code cached.
    fn default() -> Options {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Options {
            place: Place::Cpu,
            adapter: None,
            isa: None,
            threads,
            compile: compile::Options::default(),
            kv_type: KvType::default(),
            keep: true,
            ignore_config: vec![],
            watch: Arc::new(Silent),
        }
    }
}

/// Work that takes seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Compile,
    /// Packing this many weights.
    Pack(usize),
}

/// Receives progress and warnings; every method has a default that ignores them.
pub trait Watch: Send + Sync {
    /// Called with a module before it is compiled by a pipeline, or loaded from the cache.
    ///
    /// # Errors
    /// A reason not to compile it, which aborts.
    fn module(&self, _source: Source, _pipeline: &Pipeline) -> std::result::Result<(), String> {
        Ok(())
    }
    /// A warning for the user, without a newline.
    fn warn(&self, _message: &str) {}
    fn begin(&self, _work: Work) {}
    /// Another weight has been packed.
    fn step(&self) {}
    /// The work that began last has ended.
    fn end(&self) {}
}

/// Ignores everything.
pub struct Silent;

impl Watch for Silent {}

impl fmt::Debug for dyn Watch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Watch")
    }
}
