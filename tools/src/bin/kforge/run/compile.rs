//! Calls the engine with the options of the command line.

use crate::run::{Common, Target as Place};
use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use kforge_engine::{
    Options, Watch, Work,
    compile::{self, on_place},
};
use kforge_lowering::{
    backend::Machine,
    compile::{Compiled, Pipeline, Source, trace},
};
use kforge_models::KvType;
use kforge_program::Shader;
use kforge_runtime::{Execute, gpu};
use kforge_target::{Isa, Target};
use kforge_tools::{gpu::features, output};
use kforge_tuner::Environment;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

impl Common {
    /// # Errors
    /// If the instruction set is unknown, or the target is the reference, which does not compile.
    pub fn engine(&self) -> Result<Options> {
        Ok(Options {
            place: match self.target {
                Place::Cpu => kforge_engine::Place::Cpu,
                Place::Gpu => kforge_engine::Place::Gpu,
                Place::Auto => kforge_engine::Place::Auto,
                Place::Reference => bail!("--target reference compiles nothing; it is for single functions"),
            },
            adapter: self.adapter.clone(),
            isa: isa(self)?,
            threads: self.thread_count(),
            compile: self.options(),
            kv_type: KvType::default(),
            keep: !self.no_cache,
            ignore_config: self.ignore_config.clone(),
            watch: Arc::new(Terminal { dump: self.dump_ir.clone(), bar: Mutex::default() }),
        })
    }
}

/// Prints warnings to standard error, and a progress bar or spinner if that is a terminal; writes IR to the folder of
/// `--dump-ir`.
struct Terminal {
    dump: Option<PathBuf>,
    bar: Mutex<Option<ProgressBar>>,
}

impl Watch for Terminal {
    fn module(&self, source: Source, pipeline: &Pipeline) -> Result<(), String> {
        self.dump
            .as_deref()
            .map_or(Ok(()), |folder| dump(folder, source, pipeline))
            .map_err(|error| format!("{error:#}"))
    }
    fn warn(&self, message: &str) {
        errln!("kforge-run: {message}");
    }
    fn begin(&self, work: Work) {
        let bar = match work {
            Work::Compile => spinner("compiling kernels"),
            Work::Pack(weights) => super::model::bar(weights as u64, "packing weights"),
        };
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
    }
    fn step(&self) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            bar.inc(1);
        }
    }
    fn end(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

/// The instruction set given by the options.
pub fn isa(common: &Common) -> Result<Option<Isa>> {
    common.cpu_features.as_deref().map(str::parse).transpose().map_err(anyhow::Error::msg)
}

/// The CPU target given by the options.
pub fn machine(common: &Common) -> Result<Machine> {
    Ok(Machine::host(isa(common)?)?)
}

/// Compiles a module for the CPU, or loads it from the cache.
pub fn compile(common: &Common, source: Source) -> Result<Compiled> {
    Ok(compile::cpu(&common.engine()?, source)?)
}

/// Compiles a module for an adapter, or loads it from the cache.
pub fn compile_gpu(common: &Common, source: Source, adapter: &gpu::Adapter) -> Result<Compiled<Vec<Shader>>> {
    Ok(compile::gpu(&common.engine()?, source, adapter)?)
}

/// The GPU given by the options, opened once.
pub fn gpu(common: &Common) -> Result<gpu::Gpu> {
    Ok(kforge_tools::gpu::open(common.adapter.as_deref())?)
}

/// The GPU given by the options, as the key of its measurements.
pub fn gpu_environment(common: &Common) -> Result<Environment> {
    if common.cpu_features.is_some() {
        bail!("--cpu-features narrows a CPU; leave it out, or take --target cpu");
    }
    let adapter = kforge_tools::gpu::adapter(common.adapter.as_deref())?;
    kforge_tools::tuner::machine(Target::Gpu(features(adapter)), 1)
}

/// Compiles a module for the target given by the options, and loads it.
pub fn executor(common: &Common, source: Source) -> Result<Box<dyn Execute>> {
    Ok(compile::executor(&common.engine()?, source)?)
}

/// Runs `work` on the target given by the options. For `--target auto` that is a GPU if there is one that is not
/// software, and the CPU otherwise or if that fails.
pub fn on_target<T>(common: &Common, work: impl Fn(&Common) -> Result<T>) -> Result<T> {
    if common.target != Place::Auto {
        return work(common);
    }
    on_place(&common.engine()?, |options| {
        let target = match options.place {
            kforge_engine::Place::Gpu => Place::Gpu,
            _ => Place::Cpu,
        };
        work(&Common { target, ..common.clone() })
    })
}

/// A spinner on a terminal, nothing elsewhere.
pub fn spinner(message: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(message.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Writes the module before the first pass and after each, and the pipeline that reproduces the last from the first.
fn dump(directory: &Path, source: Source, pipeline: &Pipeline) -> Result<()> {
    let write = |name: &str, text: &str| output::write(&directory.join(name), text.as_bytes());
    std::fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    let steps = trace(source, pipeline.clone())?;
    for (i, (pass, text)) in steps.iter().enumerate() {
        write(&format!("{i:02}-{pass}.mlir"), text)?;
    }
    write("pipeline.txt", &format!("builtin.module({pipeline})\n"))
}
