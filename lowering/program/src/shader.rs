//! GPU kernels, as WGSL text.

use serde::{Deserialize, Serialize};

/// A kernel in WGSL: each workgroup does one task.
///
/// Bindings of group 0 are the kernel's buffers in order, then a uniform buffer of i32: the scalars, then the number of
/// tasks. The task index is workgroup x plus workgroup y times the number of workgroups along x.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shader {
    /// Name of the kernel in the program.
    pub kernel: String,
    /// The function in the text.
    pub entry: String,
    pub text: String,
    /// Threads per workgroup.
    pub threads: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u64,
    /// Per buffer, whether the text declares it `read_write`.
    pub writable: Vec<bool>,
    pub scalars: usize,
    /// Features beyond the core of WGSL.
    pub f16: bool,
    pub subgroups: bool,
    pub cooperative_matrices: bool,
}
