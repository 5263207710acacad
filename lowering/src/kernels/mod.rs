//! Kernel families, one per file. A generator turns a fused group into a `func.func` and describes how it is launched.

pub mod attention;
pub mod cache;
pub mod elementwise;
pub mod embedding;
pub mod factored;
pub mod gpu;
pub mod int8;
pub mod linear;
pub mod matmul;
pub mod norm;
pub mod rope;
pub mod shared;
pub mod top_k;

use crate::{
    emit::Emitter,
    group::{Group, Result, Signature},
};
use kforge_program::Family;

/// Appends the kernel of `group` to the module as `name`.
///
/// # Errors
/// If the selected family cannot compute the group's ops; the error points at the op it does not support.
pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    match group.family {
        Family::Gemv | Family::Gemm => linear::generate(group, module, name),
        Family::Matmul => matmul::generate(group, module, name),
        Family::Attention => attention::generate(group, module, name),
        Family::Rope => rope::generate(group, module, name),
        Family::Embedding => embedding::generate(group, module, name),
        Family::Rowwise => norm::generate(group, module, name),
        Family::TopK => top_k::generate(group, module, name),
        Family::Elementwise => elementwise::generate(group, module, name),
        Family::Mma => Err(group.unsupported(None, "has a kernel of a GPU's matrix units; use gemm")),
    }
}
