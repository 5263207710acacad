//! From fused ops to kernels and launches, and from kernels to objects.

pub mod backend;
mod codebook;
pub mod compile;
pub mod emit;
pub mod extract;
pub mod group;
pub mod kernels;
pub mod listing;
pub mod math;
pub mod one_lane_stores;
pub mod operations;
pub mod passes;
pub mod to_wgsl;
pub mod weights;

pub use passes::PASSES;

use kforge_dialect::pass::{self, OptionValues, Pipeline, PipelineInfo, PipelineOptions};
use kforge_passes::{Options, options};
use kforge_target::Target;
use std::sync::Once;

/// Hash of the sources that affect generated code; part of every cache key.
pub const BUILD_ID: &str = env!("KFORGE_BUILD_ID");

/// The pipelines of this crate.
pub static PIPELINES: &[&PipelineInfo] = &[
    &PipelineInfo {
        name: "kforge-cpu",
        summary: "Fuse, select, tile, and lower to kernels and launches for a CPU",
        options: options::OF_CPUS,
        passes: |options| compiling(options, false),
    },
    &PipelineInfo {
        name: "kforge-gpu",
        summary: "Fuse, select, tile, and lower to kernels and launches for a GPU",
        options: options::OF_GPUS,
        passes: |options| compiling(options, true),
    },
    &PipelineInfo {
        name: "kforge-llvm",
        summary: "Lower the kernels of kforge-cpu to the LLVM dialect",
        options: &[],
        passes: |_| Ok(Pipeline::default().on_module(backend::LLVM)),
    },
];

fn compiling(values: &PipelineOptions, is_gpu: bool) -> Result<Pipeline, String> {
    let name = values.text(options::TARGET.name);
    let target: Target = name.parse()?;
    if target.is_gpu() != is_gpu {
        let other = if is_gpu { "kforge-cpu" } else { "kforge-gpu" };
        return Err(format!("target={target} is for --{other}"));
    }
    let mut pipeline = pipeline(target, Options::of(values)?);
    // `host` is not resolved, so that the output is the same on every machine.
    let options = pipeline.steps.iter_mut().flat_map(|step| &mut step.options);
    options.filter(|(option, _)| *option == options::TARGET.name).for_each(|(_, value)| value.clone_from(&name));
    Ok(pipeline)
}

/// Pipeline from tensors to kernels and launches, with memory planned.
pub fn pipeline(target: Target, options: Options) -> Pipeline {
    options.fusion(target).then(launches(target, options))
}

/// The part of [`pipeline`] that starts from fused ops.
pub fn launches(target: Target, options: Options) -> Pipeline {
    options
        .selection(target)
        .on_module(&[passes::lower_to_launches::INFO.name, "canonicalize", "cse"])
        .on_functions(&[passes::plan_memory::INFO.name])
}

/// Registers the passes and pipelines of this crate and of the passes over tensors, once.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        kforge_passes::register();
        PASSES.iter().for_each(|info| pass::register(info));
        PIPELINES.iter().for_each(|info| pass::register_pipeline(info));
    });
}
