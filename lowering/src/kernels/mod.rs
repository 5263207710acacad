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

/// Appends the kernel of `group` to the module as `name`.
///
/// # Errors
/// If the selected family cannot compute the group's ops; the error points at the op it does not support.
pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    match group.kernel.as_str() {
        "gemv" | "gemm" => linear::generate(group, module, name),
        "matmul" => matmul::generate(group, module, name),
        "attention" => attention::generate(group, module, name),
        "rope" => rope::generate(group, module, name),
        "embedding" => embedding::generate(group, module, name),
        "rowwise" => norm::generate(group, module, name),
        "top_k" => top_k::generate(group, module, name),
        "elementwise" => elementwise::generate(group, module, name),
        other => Err(group.unsupported(
            None,
            format!(
                "there is no kernel family '{other}'; use gemv, gemm, matmul, attention, rope, embedding, rowwise, top_k or elementwise"
            ),
        )),
    }
}
