//! `gpu.func` kernels to WGSL text.
//!
//! ```text
//! gpu.func @scale(%x: memref<?xf32>, %n: i32)     @group(0) @binding(0) var<storage, read_write> arg0: array<f32>;
//!     kernel attributes {known_block_size =       @group(0) @binding(1) var<uniform> arguments: Arguments;
//!     array<i32: 64, 1, 1>} {
//!   %i = gpu.global_id x                          @compute @workgroup_size(64, 1, 1)
//!   %v = memref.load %x[%i] : memref<?xf32>       fn scale(@builtin(global_invocation_id) global_id: vec3<u32>) {
//!   %w = arith.addf %v, %v : f32                    let v0 = i32(global_id.x);
//!   memref.store %w, %x[%i] : memref<?xf32>         let v1 = arg0[v0];
//!   gpu.return                                      let v2 = v1 + v1;
//! }                                                 arg0[v0] = v2;
//!                                                 }
//! ```
//!
//! Each op is translated separately, mostly to one `let`; there are no shader templates. docs/gpu.md has the table of
//! ops and the conventions. Anything else is a [`TranslateError`] at the op: nothing is dropped silently.
//!
//! The files here are groups of ops. [`function`] is what they share: names, values, the text so far. [`kernel`] makes
//! the declarations around a body. [`check`] is naga: it validates a shader, and writes it as MSL, SPIR-V and HLSL.

mod arith;
pub mod check;
mod control;
pub mod error;
mod function;
mod ids;
mod kernel;
mod math;
mod matrix;
mod memory;
mod names;
mod subgroup;
pub mod types;
mod vector;

pub use error::TranslateError;

use error::Result;
use kforge_dialect::ir::{body, op_name, ops, string_attribute};
use melior::ir::operation::{OperationLike, OperationRef};

/// What a shader needs beyond the core of WGSL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// f16 values or memory: `enable f16;`.
    pub f16: bool,
    /// f16 read from or written to 32-bit words, by `unpack2x16float` and `pack2x16float`. Only old OpenGL lacks it.
    pub packed_halves: bool,
    /// Subgroup operations. naga accepts them without `enable subgroups;`, a browser requires it.
    pub subgroups: bool,
    /// `enable wgpu_cooperative_matrix;`: matrix units, in native wgpu only.
    pub cooperative_matrices: bool,
}

impl Features {
    /// Names for the comment at the top of a shader.
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (self.f16, "f16"),
            (self.packed_halves, "packed halves"),
            (self.subgroups, "subgroups"),
            (self.cooperative_matrices, "cooperative matrices"),
        ];
        all.into_iter().filter_map(|(needed, name)| needed.then_some(name)).collect()
    }
}

/// How a kernel uses a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
}

/// How an argument of the `gpu.func` is bound, in argument order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A storage buffer of group 0.
    Buffer {
        binding: u32,
        access: Access,
        /// Bytes of an element of the array, 2 to 16.
        element_bytes: u64,
        /// Elements, if the memref's shape is static.
        elements: Option<u64>,
    },
    /// A member of the uniform buffer, of four bytes.
    Scalar { offset: u64, scalar: types::Scalar },
}

/// The uniform buffer of scalar arguments, in group 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uniform {
    pub binding: u32,
    pub bytes: u64,
}

/// A kernel as WGSL, and what the host needs to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shader {
    /// The symbol of the `gpu.func`.
    pub kernel: String,
    /// The function in the text: the symbol, if that is a valid WGSL name.
    pub entry: String,
    pub text: String,
    pub features: Features,
    /// Threads of a workgroup along x, y and z.
    pub workgroup_size: [u32; 3],
    /// Bytes of all `var<workgroup>`.
    pub workgroup_bytes: u64,
    pub arguments: Vec<Argument>,
    pub uniform: Option<Uniform>,
}

impl Shader {
    /// Converts to the launch program's form, where buffers come first and scalars are integers.
    pub fn to_program(&self) -> kforge_program::Shader {
        let writable = self.arguments.iter().filter_map(|argument| match argument {
            Argument::Buffer { access, .. } => Some(*access == Access::ReadWrite),
            Argument::Scalar { .. } => None,
        });
        let writable: Vec<bool> = writable.collect();
        kforge_program::Shader {
            kernel: self.kernel.clone(),
            entry: self.entry.clone(),
            text: self.text.clone(),
            threads: self.workgroup_size,
            workgroup_bytes: self.workgroup_bytes,
            // The last scalar is the number of tasks.
            scalars: (self.arguments.len() - writable.len()).saturating_sub(1),
            writable,
            f16: self.features.f16,
            subgroups: self.features.subgroups,
            cooperative_matrices: self.features.cooperative_matrices,
        }
    }
}

/// Symbols of the kernels in the `gpu.module`s of a module, in their order.
pub fn kernels(module: OperationRef<'_, '_>) -> Vec<String> {
    functions(module).into_iter().map(|op| string_attribute(&op, "sym_name").unwrap_or_default()).collect()
}

/// Every kernel in the `gpu.module`s of a module, in their order.
///
/// # Errors
/// Points at the first op, type or attribute that has no WGSL.
pub fn translate(module: OperationRef<'_, '_>) -> Result<Vec<Shader>> {
    functions(module).into_iter().map(kernel::translate).collect()
}

/// The kernel with the symbol `name`; none if there is no such kernel.
///
/// # Errors
/// Points at the first op, type or attribute that has no WGSL.
pub fn translate_kernel(module: OperationRef<'_, '_>, name: &str) -> Result<Option<Shader>> {
    let is_wanted = |op: &OperationRef| string_attribute(op, "sym_name").as_deref() == Some(name);
    functions(module).into_iter().find(is_wanted).map(kernel::translate).transpose()
}

fn functions<'c, 'a>(module: OperationRef<'c, 'a>) -> Vec<OperationRef<'c, 'a>> {
    let modules = gpu_modules(module).into_iter();
    let functions = modules.flat_map(|op| body(&op).map(ops).unwrap_or_default());
    functions.filter(|op| op_name(op) == "gpu.func" && op.has_attribute("gpu.kernel")).collect()
}

/// The `gpu.module`s of a module, and of modules in it.
fn gpu_modules<'c, 'a>(module: OperationRef<'c, 'a>) -> Vec<OperationRef<'c, 'a>> {
    match op_name(&module).as_str() {
        "gpu.module" => vec![module],
        "builtin.module" => body(&module).map(ops).unwrap_or_default().into_iter().flat_map(gpu_modules).collect(),
        _ => vec![],
    }
}
