//! From the text of a module to a loaded program, through the cache of compiled objects.

use crate::{
    Error, Options, Place, Result, Work,
    gpu::{self, features},
};
use kforge_lowering::compile::{self, Compiled, GpuCompiled, Source, Target};
use kforge_passes::{
    adapter::Adapter,
    isa::Isa,
    tuner::{self, Mode},
};
use kforge_program::Program;
use kforge_runtime::{
    Execute, Executor,
    cache::{self, Cache},
    gpu as device,
};

/// The CPU that the options name.
///
/// # Errors
/// If this machine has not that instruction set.
pub fn target(options: &Options) -> Result<Target> {
    Ok(Target::host(options.isa)?)
}

/// Compiles a module for the CPU, or takes what was kept.
///
/// # Errors
/// The diagnostics of the compiler.
pub fn cpu(options: &Options, source: Source) -> Result<Compiled> {
    let target = target(options)?;
    hear(options, source, &compile::cpu_pipeline(target.isa, options.compile))?;
    let cache = objects(options);
    let tuning = options.compile.tuning;
    let untuned = compile::Options { tuning: compile::Tuning::default(), ..options.compile };
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
    let compiled = watched(options, || compile::compile(source, &target, options.compile))?;
    keep(options, cache, &key(&tiles()), &compiled.program, &compiled.object);
    Ok(compiled)
}

/// Compiles a module for an adapter, or takes what was kept.
///
/// # Errors
/// The diagnostics of the compiler; or that a CPU's instruction set was given.
pub fn gpu(options: &Options, source: Source, adapter: &device::Adapter) -> Result<GpuCompiled> {
    if options.isa.is_some() {
        return Err(Error::request("--cpu-features narrows a CPU; leave it out, or take --target cpu"));
    }
    let (features, tuning) = (features(adapter), options.compile.tuning);
    hear(options, source, &compile::gpu_pipeline(features, options.compile))?;
    let cache = objects(options);
    let untuned = compile::Options { tuning: compile::Tuning::default(), ..options.compile };
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
    let compiled = watched(options, || compile::compile_gpu(source, features, options.compile))?;
    let shaders = serde_json::to_vec(&compiled.shaders).map_err(|error| Error::request(error.to_string()))?;
    keep(options, cache, &key(&tiles()), &compiled.program, &shaders);
    Ok(compiled)
}

/// Compiles a module for the place that the options name, and loads it.
///
/// # Errors
/// The diagnostics of the compiler, or what the place says.
pub fn executor(options: &Options, source: Source) -> Result<Box<dyn Execute>> {
    match options.place {
        Place::Cpu => {
            let compiled = cpu(options, source)?;
            Ok(Box::new(Executor::new(compiled.program, &compiled.object, options.threads)?))
        }
        Place::Gpu => {
            let device = gpu::open(options.adapter.as_deref())?;
            let compiled = self::gpu(options, source, &device.adapter)?;
            let Some(cache) = objects(options) else {
                return Ok(Box::new(device::Executor::new(device, compiled.program, &compiled.shaders)?));
            };
            let (executor, kept) = device::Executor::with_cache(device, compiled.program, &compiled.shaders, &cache)?;
            if let Err(error) = kept {
                options.watch.warn(&format!("warning: the driver's pipelines are not kept: {error}"));
            }
            Ok(Box::new(executor))
        }
        Place::Auto => on_place(options, |options| executor(options, source)),
    }
}

/// Does `work` at the place that the options name; for [`Place::Auto`], on a GPU that is one, and where that fails on the
/// CPU.
///
/// # Errors
/// Those of `work`.
pub fn on_place<T, E: std::fmt::Display + From<Error>>(
    options: &Options,
    work: impl Fn(&Options) -> Result<T, E>,
) -> Result<T, E> {
    if options.place != Place::Auto {
        return work(options);
    }
    let on = |place| work(&Options { place, ..options.clone() });
    let say = |message: String| options.watch.warn(&message);
    let found = match device::Adapter::choose(options.adapter.as_deref()) {
        Err(error) if options.adapter.is_none() => {
            say(format!("{error}: the CPU it is"));
            return on(Place::Cpu);
        }
        found => found.map_err(Error::from)?,
    };
    if found.is_software() && options.adapter.is_none() {
        say(format!("this machine has no GPU ({} is software): the CPU it is", found.name()));
        return on(Place::Cpu);
    }
    on(Place::Gpu).or_else(|error| {
        say(format!("warning: {error:#}; the CPU is taken instead"));
        on(Place::Cpu)
    })
}

fn hear(options: &Options, source: Source, pipeline: &str) -> Result<()> {
    options.watch.module(source, pipeline).map_err(Error::Request)
}

fn watched<T>(options: &Options, work: impl FnOnce() -> T) -> T {
    options.watch.begin(Work::Compile);
    let result = work();
    options.watch.end();
    result
}

/// What the tuner knows, as a part of a cache's key.
fn tiles(isa: Isa, adapter: Adapter, tuning: compile::Tuning) -> String {
    match tuning.mode {
        Mode::Off => String::new(),
        _ => tuner::fingerprint(isa, adapter, tuning.threads),
    }
}

/// The cache of what is compiled, unless the options say no.
fn objects(options: &Options) -> Option<Cache> {
    if options.keep { cache::directory().map(|d| Cache::new(d.join("objects"))) } else { None }
}

/// Stores what was compiled, if it can be.
fn keep(options: &Options, cache: Option<Cache>, key: &str, program: &Program, kernels: &[u8]) {
    if let Some(cache) = cache
        && let Err(error) = cache.put(key, program, kernels)
    {
        options.watch.warn(&format!("warning: the compiled kernels are not kept: {error}"));
    }
}
