//! The last step: from a module of launches to code that a runtime loads, an object for a CPU or shaders for a GPU.

mod gpu;
mod machine;

pub use gpu::{translate, translation_error};
pub use machine::{LLVM, Machine, Output, emit, llvm_version, lower};

use crate::compile::Result;
use kforge_dialect::Diagnostics;
use kforge_program::Program;
use kforge_target::Target;
use melior::ir::Module;

/// What makes code of kernels.
pub trait Backend {
    /// What a runtime of this backend loads.
    type Code;

    /// What the passes generate kernels for.
    fn target(&self) -> Target;

    /// All that decides the code, beside the module of launches: part of a cache's key.
    fn identity(&self) -> Vec<String>;

    /// Makes the code of the kernels of `program`, which was read off the module.
    ///
    /// # Errors
    /// What has no code, with its place in the module.
    fn generate(&self, diagnostics: &Diagnostics, module: &mut Module, program: &Program) -> Result<Self::Code>;

    /// The code as bytes, for a cache.
    ///
    /// # Errors
    /// If it has none.
    fn encode(code: &Self::Code) -> Result<Vec<u8>>;

    /// The code that [`encode`](Self::encode) has made bytes of; `None` if they are of something else.
    fn decode(bytes: Vec<u8>) -> Option<Self::Code>;
}
