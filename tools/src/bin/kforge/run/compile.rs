//! From the text of a module to a loaded program, through the cache of compiled objects.

use crate::run::{Common, Target as Place};
use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use kforge_lowering::compile::{self, Compiled, GpuCompiled, Source, Target};
use kforge_passes::{
    adapter::Adapter,
    isa::Isa,
    tuner::{self, Environment, Mode},
};
use kforge_program::Program;
use kforge_runtime::{
    Execute, Executor,
    cache::{self, Cache},
    gpu,
};
use kforge_tools::{gpu::features, output};
use std::{path::Path, time::Duration};

/// The instruction set that the options name.
pub fn isa(common: &Common) -> Result<Option<Isa>> {
    common.cpu_features.as_deref().map(str::parse).transpose().map_err(anyhow::Error::msg)
}

/// The target that the options name.
pub fn target(common: &Common) -> Result<Target> {
    Ok(Target::host(isa(common)?)?)
}

/// Compiles a module, or takes what an earlier run compiled.
pub fn compile(common: &Common, source: Source) -> Result<Compiled> {
    let options = common.options();
    let target = target(common)?;
    if let Some(directory) = &common.dump_ir {
        dump(directory, source, &compile::cpu_pipeline(target.isa, options))?;
    }
    let cache = objects(common);
    let tuning = options.tuning;
    let untuned = compile::Options { tuning: compile::Tuning::default(), ..options };
    let pipeline = compile::cpu_pipeline(target.isa, untuned);
    // Tiles that the tuner chose are part of what is compiled; and where it is to measure, it must get to.
    let tiles = || tiles(target.isa, Adapter::default(), tuning);
    let key = |tiles: &str| {
        Cache::key([
            source.bytes,
            pipeline.as_bytes(),
            tiles.as_bytes(),
            kforge_lowering::LLVM.as_bytes(),
            kforge_lowering::BUILD_ID.as_bytes(),
            compile::llvm_version().as_bytes(),
            target.triple.as_bytes(),
            target.cpu.as_bytes(),
            target.features.as_bytes(),
        ])
    };
    let before = tiles();
    if !tuning.mode.measures()
        && let Some((program, object)) = cache.as_ref().and_then(|c| c.get(&key(&before)))
    {
        return Ok(Compiled { program, object });
    }
    let progress = spinner("compiling kernels");
    let compiled = compile::compile(source, &target, options);
    progress.finish_and_clear();
    let compiled = compiled?;
    keep(cache, &key(&tiles()), &compiled.program, &compiled.object);
    Ok(compiled)
}

/// What the tuner knows, as a part of a cache's key.
fn tiles(isa: Isa, adapter: Adapter, tuning: compile::Tuning) -> String {
    match tuning.mode {
        Mode::Off => String::new(),
        _ => tuner::fingerprint(isa, adapter, tuning.threads),
    }
}

/// The cache of what is compiled, unless the options say no.
fn objects(common: &Common) -> Option<Cache> {
    if common.no_cache { None } else { cache::directory().map(|d| Cache::new(d.join("objects"))) }
}

/// Stores what was compiled, if it can be.
fn keep(cache: Option<Cache>, key: &str, program: &Program, kernels: &[u8]) {
    if let Some(cache) = cache
        && let Err(error) = cache.put(key, program, kernels)
    {
        errln!("kforge-run: warning: the compiled kernels are not kept: {error}");
    }
}

/// Compiles a module for an adapter, or takes what an earlier run compiled.
pub fn compile_gpu(common: &Common, source: Source, adapter: &gpu::Adapter) -> Result<GpuCompiled> {
    let options = common.options();
    if common.cpu_features.is_some() {
        bail!("--cpu-features narrows a CPU; leave it out, or take --target cpu");
    }
    let (features, tuning) = (features(adapter), options.tuning);
    if let Some(directory) = &common.dump_ir {
        dump(directory, source, &compile::gpu_pipeline(features, options))?;
    }
    let cache = objects(common);
    let untuned = compile::Options { tuning: compile::Tuning::default(), ..options };
    let pipeline = compile::gpu_pipeline(features, untuned);
    let tiles = || tiles(Isa::Gpu, features, tuning);
    let key = |tiles: &str| {
        Cache::key([source.bytes, pipeline.as_bytes(), tiles.as_bytes(), kforge_lowering::BUILD_ID.as_bytes()])
    };
    let before = tiles();
    if !tuning.mode.measures()
        && let Some((program, shaders)) = cache.as_ref().and_then(|c| c.get(&key(&before)))
        && let Ok(shaders) = serde_json::from_slice(&shaders)
    {
        return Ok(GpuCompiled { program, shaders });
    }
    let progress = spinner("compiling kernels");
    let compiled = compile::compile_gpu(source, features, options);
    progress.finish_and_clear();
    let compiled = compiled?;
    keep(cache, &key(&tiles()), &compiled.program, &serde_json::to_vec(&compiled.shaders)?);
    Ok(compiled)
}

/// The GPU that the options name, opened once.
pub fn gpu(common: &Common) -> Result<gpu::Gpu> {
    kforge_tools::gpu::open(common.adapter.as_deref())
}

/// The GPU that the options name, as measurements on it are filed.
pub fn gpu_environment(common: &Common) -> Result<Environment> {
    if common.cpu_features.is_some() {
        bail!("--cpu-features narrows a CPU; leave it out, or take --target cpu");
    }
    let adapter = kforge_tools::gpu::adapter(common.adapter.as_deref())?;
    kforge_tools::tuner::machine(Isa::Gpu, features(adapter), 1)
}

/// Compiles a module for what the options name, and loads it.
pub fn executor(common: &Common, source: Source) -> Result<Box<dyn Execute>> {
    match common.target {
        Place::Cpu => {
            let compiled = compile(common, source)?;
            Ok(Box::new(Executor::new(compiled.program, &compiled.object, common.thread_count())?))
        }
        Place::Gpu => {
            let gpu = gpu(common)?;
            let compiled = compile_gpu(common, source, &gpu.adapter)?;
            let Some(cache) = objects(common) else {
                return Ok(Box::new(gpu::Executor::new(gpu, compiled.program, &compiled.shaders)?));
            };
            let (executor, kept) = gpu::Executor::with_cache(gpu, compiled.program, &compiled.shaders, &cache)?;
            if let Err(error) = kept {
                errln!("kforge-run: warning: the driver's pipelines are not kept: {error}");
            }
            Ok(Box::new(executor))
        }
        Place::Auto => on_target(common, |common| executor(common, source)),
        Place::Reference => bail!("--target reference compiles nothing; it is for single functions"),
    }
}

/// Does `work` on the target that the options name; for `--target auto`, on a GPU that is one, and where that fails on the
/// CPU.
pub fn on_target<T>(common: &Common, work: impl Fn(&Common) -> Result<T>) -> Result<T> {
    if common.target != Place::Auto {
        return work(common);
    }
    let on = |target| work(&Common { target, ..common.clone() });
    let found = match gpu::Adapter::choose(common.adapter.as_deref()) {
        Err(error) if common.adapter.is_none() => {
            errln!("kforge-run: {error}: the CPU it is");
            return on(Place::Cpu);
        }
        found => found?,
    };
    if found.is_software() && common.adapter.is_none() {
        errln!("kforge-run: this machine has no GPU ({} is software): the CPU it is", found.name());
        return on(Place::Cpu);
    }
    on(Place::Gpu).or_else(|error| {
        errln!("kforge-run: warning: {error:#}; the CPU is taken instead");
        on(Place::Cpu)
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

/// Writes the module before the first and after each pass, and the pipeline that gives the last from the first.
fn dump(directory: &Path, source: Source, pipeline: &str) -> Result<()> {
    let write = |name: &str, text: &str| output::write(&directory.join(name), text.as_bytes());
    std::fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    let steps = compile::trace(source, pipeline)?;
    for (i, (pass, text)) in steps.iter().enumerate() {
        write(&format!("{i:02}-{pass}.mlir"), text)?;
    }
    write("pipeline.txt", &format!("builtin.module({pipeline})\n"))
}
