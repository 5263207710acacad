//! Where and how models run, and who hears of it.

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
    /// On a GPU that is no software if there is one, else, and where it fails, on the CPU.
    Auto,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub place: Place,
    /// The GPU: its number, or a part of its name.
    pub adapter: Option<String>,
    /// A narrower instruction set than the CPU's own.
    pub isa: Option<Isa>,
    /// Threads of a CPU.
    pub threads: usize,
    /// Fusions, numerics and tuning.
    pub compile: compile::Options,
    /// Elements of the KV cache.
    pub kv_type: KvType,
    /// Whether what is compiled is kept for the next time, and taken from there.
    pub keep: bool,
    /// Keys of a model's configuration that are not supported and passed over.
    pub ignore_config: Vec<String>,
    pub watch: Arc<dyn Watch>,
}

impl Default for Options {
    /// All cores of the CPU, everything fused, exact, tiles by rule, objects kept.
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
    /// Of so many weights.
    Pack(usize),
}

/// Hears what goes on; what it does not override it does not hear.
pub trait Watch: Send + Sync {
    /// A module that is to be compiled by a pipeline, or taken from what was kept.
    ///
    /// # Errors
    /// Why it is not to be.
    fn module(&self, _source: Source, _pipeline: &Pipeline) -> std::result::Result<(), String> {
        Ok(())
    }
    /// Something that a person should know, without a newline.
    fn warn(&self, _message: &str) {}
    fn begin(&self, _work: Work) {}
    /// One more weight is packed.
    fn step(&self) {}
    /// The work that began last is over.
    fn end(&self) {}
}

/// Hears nothing.
pub struct Silent;

impl Watch for Silent {}

impl fmt::Debug for dyn Watch {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Watch")
    }
}
