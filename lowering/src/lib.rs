//! From fused ops to kernels and launches, and from kernels to objects.

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

use kforge_dialect::pass::{self, OptionInfo, OptionValue, PassInfo, PipelineInfo};
use kforge_passes::isa::Isa;
use std::sync::Once;

/// The passes of this crate.
pub static PASSES: &[&PassInfo] =
    &[&passes::lower_to_launches::INFO, &passes::plan_memory::INFO, &passes::kernel_entries::INFO];

/// Hash of the sources that decide what is generated: part of every cache key.
pub const BUILD_ID: &str = env!("KFORGE_BUILD_ID");

/// The pipelines of this crate.
pub static PIPELINES: &[&PipelineInfo] = &[
    &PipelineInfo {
        name: "kforge-cpu",
        summary: "Fuse, select, tile, and lower to kernels and launches for a CPU",
        options: &[OptionInfo {
            name: "isa",
            summary: "Instruction set: host, avx512vnni, avx512, avx2, sse2 or neon",
            default: OptionValue::Text("host"),
        }],
        passes: |options| {
            let select = format!("isa={}", options.text("isa"));
            Ok(format!("{},{}", kforge_passes::kforge_fuse(Isa::host()), launches(&select)))
        },
    },
    &PipelineInfo {
        name: "kforge-gpu",
        summary: "Fuse, select, tile, and lower to kernels and launches for a GPU",
        options: &[OptionInfo {
            name: "adapter",
            summary: "What a GPU has: f16, subgroups32, 256x16384, joined by +",
            default: OptionValue::Text(""),
        }],
        passes: |options| {
            let select = format!("isa=gpu adapter={}", options.text("adapter"));
            Ok(format!("{},{}", kforge_passes::kforge_fuse(Isa::Gpu), launches(&select)))
        },
    },
    &PipelineInfo {
        name: "kforge-llvm",
        summary: "Lower the kernels of kforge-cpu to the LLVM dialect",
        options: &[],
        passes: |_| Ok(LLVM.to_owned()),
    },
];

/// From fused ops to kernels and launches with memory planned, by the options of `select-kernels`.
pub fn launches(select: &str) -> String {
    format!("select-kernels{{{select}}},func.func(tile),lower-to-launches,canonicalize,cse,func.func(plan-memory)")
}

/// From kernels to the LLVM dialect; launches are dropped, an entry for each kernel is added.
pub const LLVM: &str = "kernel-entries,convert-scf-to-cf,convert-vector-to-llvm,finalize-memref-to-llvm,\
                        convert-math-to-llvm,convert-arith-to-llvm,convert-index-to-llvm,convert-cf-to-llvm,\
                        convert-func-to-llvm,reconcile-unrealized-casts";

/// Registers the passes and pipelines of this crate and of the passes over tensors, once.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        kforge_passes::register();
        PASSES.iter().for_each(|info| pass::register(info));
        PIPELINES.iter().for_each(|info| pass::register_pipeline(info));
    });
}
