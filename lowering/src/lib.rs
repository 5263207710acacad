//! From fused ops to kernels and launches, and from kernels to objects.

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

use kforge_dialect::pass::{self, PassInfo};
use kforge_passes::isa::Isa;
use std::sync::Once;

/// The passes of this crate.
pub static PASSES: &[&PassInfo] =
    &[&passes::lower_to_launches::INFO, &passes::plan_memory::INFO, &passes::kernel_entries::INFO];

/// Hash of the sources that decide what is generated: part of every cache key.
pub const BUILD_ID: &str = env!("KFORGE_BUILD_ID");

/// From fused ops to kernels and launches with memory planned; options of `select-kernels` go where `{isa}` stands.
pub const LAUNCHES: &str =
    "select-kernels{isa},func.func(tile),lower-to-launches,canonicalize,cse,func.func(plan-memory)";

/// From kernels to the LLVM dialect; launches are dropped, an entry for each kernel is added.
pub const LLVM: &str = "kernel-entries,convert-scf-to-cf,convert-vector-to-llvm,finalize-memref-to-llvm,\
                        convert-math-to-llvm,convert-arith-to-llvm,convert-index-to-llvm,convert-cf-to-llvm,\
                        convert-func-to-llvm,reconcile-unrealized-casts";

/// Registers the passes and the pipelines `kforge-cpu`, `kforge-gpu` and `kforge-llvm`, once.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        kforge_passes::register();
        PASSES.iter().for_each(|info| pass::register(info));
        for (name, machine, isa, options) in
            [("kforge-cpu", "CPU", Isa::host(), "{isa}"), ("kforge-gpu", "GPU", Isa::Gpu, "{adapter}")]
        {
            let fuse = kforge_passes::kforge_fuse(isa);
            let summary = format!("Fuse, select, tile, and lower to kernels and launches for a {machine}");
            pass::register_pipeline(name, &summary, &format!("{fuse},{}", LAUNCHES.replace("{isa}", options)));
        }
        pass::register_pipeline("kforge-llvm", "Lower the kernels of kforge-cpu to the LLVM dialect", LLVM);
    });
}
