//! From the text of a module to a loaded program, through the cache of compiled objects.

use crate::Common;
use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use kforge_lowering::compile::{self, Compiled, Target};
use kforge_passes::{
    isa::Isa,
    tuner::{self, Mode},
};
use kforge_runtime::{
    Executor,
    cache::{self, Cache},
};
use std::{path::Path, time::Duration};

/// The instruction set that the options name.
pub fn isa(common: &Common) -> Result<Option<Isa>> {
    common.cpu_features.as_deref().map(str::parse).transpose().map_err(anyhow::Error::msg)
}

/// The target that the options name.
pub fn target(common: &Common) -> Result<Target> {
    Ok(Target::host(isa(common)?)?)
}

/// Compiles `source`, or takes what an earlier run compiled.
pub fn compile(common: &Common, source: &str) -> Result<Compiled> {
    compile_as(common, source, common.options())
}

/// The same by other options than the command line's.
pub fn compile_as(common: &Common, source: &str, options: compile::Options) -> Result<Compiled> {
    let target = target(common)?;
    if let Some(directory) = &common.dump_ir {
        dump(directory, source, &target, options)?;
    }
    let cache = if common.no_cache { None } else { cache::directory().map(|d| Cache::new(d.join("objects"))) };
    let tuning = options.tuning;
    let untuned = compile::Options { tuning: compile::Tuning::default(), ..options };
    let pipeline = compile::cpu_pipeline(target.isa, untuned);
    // Tiles that the tuner chose are part of what is compiled; and where it is to measure, it must get to.
    let tiles = || match tuning.mode {
        Mode::Off => String::new(),
        _ => tuner::fingerprint(target.isa, tuning.threads),
    };
    let key = |tiles: &str| {
        Cache::key(&[
            source,
            &pipeline,
            tiles,
            kforge_lowering::LLVM,
            kforge_lowering::BUILD_ID,
            &compile::llvm_version(),
            &target.triple,
            &target.cpu,
            &target.features,
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
    if let Some(cache) = cache
        && let Err(error) = cache.put(&key(&tiles()), &compiled.program, &compiled.object)
    {
        eprintln!("kforge-run: warning: the compiled object is not kept: {error}");
    }
    Ok(compiled)
}

/// The same, loaded.
pub fn executor(common: &Common, source: &str) -> Result<Executor> {
    let compiled = compile(common, source)?;
    Ok(Executor::new(compiled.program, &compiled.object, common.thread_count())?)
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
fn dump(directory: &Path, source: &str, target: &Target, options: compile::Options) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        cache::write_whole(&path, &[text.as_bytes()]).with_context(|| format!("{} cannot be written", path.display()))
    };
    std::fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    let steps = compile::trace(source, target, options)?;
    for (i, (pass, text)) in steps.iter().enumerate() {
        write(&format!("{i:02}-{pass}.mlir"), text)?;
    }
    write("pipeline.txt", &format!("builtin.module({})\n", compile::cpu_pipeline(target.isa, options)))
}
