//! From the text of a module to a loaded program, through the cache of compiled objects.

use crate::{
    Error, Options, Place, Result, Work,
    gpu::{self, features},
};
use kforge_lowering::{
    backend::{Backend, LLVM, Machine},
    compile::{self, Compiled, Source},
};
use kforge_passes::tuner;
use kforge_program::Shader;
use kforge_runtime::{
    Execute, Executor,
    cache::{self, Cache},
    gpu as device,
};
use kforge_target::Target;

/// The CPU target given by the options.
///
/// # Errors
/// If this machine does not have that instruction set.
pub fn machine(options: &Options) -> Result<Machine> {
    Ok(Machine::host(options.isa)?)
}

/// Compiles a module for the CPU, or loads it from the cache.
///
/// # Errors
/// The diagnostics of the compiler.
pub fn cpu(options: &Options, source: Source) -> Result<Compiled> {
    compiled(options, source, &machine(options)?)
}

/// Compiles a module for an adapter, or loads it from the cache.
///
/// # Errors
/// The compiler's diagnostics; or if a CPU instruction set is given.
pub fn gpu(options: &Options, source: Source, adapter: &device::Adapter) -> Result<Compiled<Vec<Shader>>> {
    if options.isa.is_some() {
        return Err(Error::request("--cpu-features narrows a CPU; leave it out, or take --target cpu"));
    }
    compiled(options, source, &features(adapter))
}

/// Compiles a module for a backend, or loads it from the cache.
fn compiled<B: Backend>(options: &Options, source: Source, backend: &B) -> Result<Compiled<B::Code>> {
    let (target, tuning) = (backend.target(), options.compile.tuning);
    let pipeline = kforge_lowering::pipeline(target, options.compile);
    options.watch.module(source, &pipeline).map_err(Error::Request)?;
    let cache = objects(options);
    let untuned = compile::Options { tuning: compile::Tuning::default(), ..options.compile };
    let untuned = kforge_lowering::pipeline(target, untuned).to_string();
    // Tiles chosen by the tuner affect the result; and if the tuner is to measure, the cache must not prevent it.
    let key = || {
        let tiles = tiles(target, tuning);
        let of_compiler = [untuned.as_str(), &tiles, &LLVM.join(","), kforge_lowering::BUILD_ID].map(str::to_owned);
        let texts: Vec<String> = of_compiler.into_iter().chain(backend.identity()).collect();
        Cache::key([source.bytes].into_iter().chain(texts.iter().map(String::as_bytes)))
    };
    if !tuning.mode.measures()
        && let Some((program, code)) = cache.as_ref().and_then(|cache| cache.get(&key()))
        && let Some(code) = B::decode(code)
    {
        return Ok(Compiled { program, code });
    }
    options.watch.begin(Work::Compile);
    let compiled = compile::compile_with(source, backend, &pipeline);
    options.watch.end();
    let compiled = compiled?;
    if let Some(cache) = cache
        && let Err(error) = cache.put(&key(), &compiled.program, &B::encode(&compiled.code)?)
    {
        options.watch.warn(&format!("warning: the compiled kernels are not kept: {error}"));
    }
    Ok(compiled)
}

/// Compiles a module for the device given by the options, and loads it.
///
/// # Errors
/// The compiler's diagnostics, or an error of the device.
pub fn executor(options: &Options, source: Source) -> Result<Box<dyn Execute>> {
    match options.place {
        Place::Cpu => {
            let compiled = cpu(options, source)?;
            Ok(Box::new(Executor::new(compiled.program, &compiled.code, options.threads)?))
        }
        Place::Gpu => {
            let device = gpu::open(options.adapter.as_deref())?;
            let compiled = self::gpu(options, source, &device.adapter)?;
            let Some(cache) = objects(options) else {
                return Ok(Box::new(device::Executor::new(device, compiled.program, &compiled.code)?));
            };
            let (executor, kept) = device::Executor::with_cache(device, compiled.program, &compiled.code, &cache)?;
            if let Err(error) = kept {
                options.watch.warn(&format!("warning: the driver's pipelines are not kept: {error}"));
            }
            Ok(Box::new(executor))
        }
        Place::Auto => on_place(options, |options| executor(options, source)),
    }
}

/// Runs `work` on the device given by the options. For [`Place::Auto`] that is a GPU if there is one that is not
/// software, and the CPU otherwise or if that fails.
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

/// The tuner's results, as part of a cache key.
fn tiles(target: Target, tuning: compile::Tuning) -> String {
    tuner::fingerprint(target, tuning)
}

/// The cache of compiled objects, unless the options disable it.
fn objects(options: &Options) -> Option<Cache> {
    if options.keep { cache::directory().map(|d| Cache::new(d.join("objects"))) } else { None }
}
