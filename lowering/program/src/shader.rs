//! Kernels of a GPU, as text.

use serde::{Deserialize, Serialize};

/// A kernel in WGSL: a workgroup does one task.
///
/// Bindings of group 0 are the kernel's buffers in their order, then a uniform buffer of i32: the scalars, then the number
/// of tasks. Tasks go along x, then along y, by as many as there are workgroups along x.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shader {
    /// Name of the kernel in the program.
    pub kernel: String,
    /// The function in the text.
    pub entry: String,
    pub text: String,
    /// Threads of a workgroup.
    pub threads: [u32; 3],
    /// Bytes that a workgroup shares.
    pub workgroup_bytes: u64,
    /// For each buffer, whether the text declares it `read_write`.
    pub writable: Vec<bool>,
    pub scalars: usize,
    /// Features beyond the core of WGSL.
    pub f16: bool,
    pub subgroups: bool,
    pub cooperative_matrices: bool,
}
