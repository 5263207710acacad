//! The kernel families: for each a generator in a file here for a CPU, and one in `gpu` for a GPU. A generator turns a
//! fused group into a function and describes how it is launched.
//!
//! On a GPU a task is a workgroup. The order of sums is fixed by shape and tile, so a kernel gives the same bits each time;
//! it is not the CPU's order.

pub mod attention;
pub mod cache;
pub mod elementwise;
pub mod embedding;
pub mod factored;
pub mod int8;
pub mod linear;
pub mod matmul;
pub mod norm;
pub mod rope;
pub mod shared;
pub mod top_k;

mod gpu {
    pub mod attention;
    pub mod buffer;
    pub mod elementwise;
    pub mod embedding;
    pub mod gemm;
    pub mod linear;
    pub mod matmul;
    pub mod mma;
    pub mod rope;
    pub mod rowwise;
    pub mod target;
    pub mod tile_loader;
    pub mod top_k;
    pub mod weights;
    pub mod workgroup;
}

use crate::{
    emit::Emitter,
    group::{Group, Result, Signature},
};
use kforge_program::Family;
use kforge_target::Adapter;

type OnCpu<'c, 'a> = fn(&Group<'c, 'a>, &Emitter<'c, 'a>, &str) -> Result<'c, 'a, Signature>;
type OnGpu<'c, 'a> = fn(gpu::target::Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature>;

/// The generators of a family for a CPU and for a GPU.
fn generators<'c, 'a>(family: Family) -> (Option<OnCpu<'c, 'a>>, OnGpu<'c, 'a>) {
    match family {
        Family::Gemv => (Some(linear::generate), gpu::linear::generate),
        Family::Gemm => (Some(linear::generate), gpu::gemm::generate),
        Family::Mma => (None, gpu::mma::generate),
        Family::Matmul => (Some(matmul::generate), gpu::matmul::generate),
        Family::Attention => (Some(attention::generate), gpu::attention::generate),
        Family::Rope => (Some(rope::generate), gpu::rope::generate),
        Family::Embedding => (Some(embedding::generate), gpu::embedding::generate),
        Family::Rowwise => (Some(norm::generate), gpu::rowwise::generate),
        Family::TopK => (Some(top_k::generate), gpu::top_k::generate),
        Family::Elementwise => (Some(elementwise::generate), gpu::elementwise::generate),
    }
}

/// Appends the kernel of `group` to the module as `name`, for a GPU if there is an `adapter`.
///
/// # Errors
/// If the selected family cannot compute the group's ops on this target; the error points at the op it does not support.
pub fn generate<'c, 'a>(
    group: &Group<'c, 'a>,
    module: &Emitter<'c, 'a>,
    name: &str,
    adapter: Option<Adapter>,
) -> Result<'c, 'a, Signature> {
    match (generators(group.family), adapter) {
        ((_, on_gpu), Some(adapter)) => {
            let pieces = gpu::target::pieces(group, adapter)?;
            on_gpu(gpu::target::Target { group, module: &module.with_lanes(1), name, adapter, pieces: &pieces })
        }
        ((Some(on_cpu), _), None) => on_cpu(group, module, name),
        ((None, _), None) => Err(group.unsupported(None, "has a kernel of a GPU's matrix units; use gemm")),
    }
}
