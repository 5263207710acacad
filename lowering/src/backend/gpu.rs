//! Shaders in WGSL, for an adapter.

use super::Backend;
use crate::{
    compile::{CompileError, Result},
    to_wgsl,
};
use kforge_dialect::Diagnostics;
use kforge_program::{Program, Shader};
use kforge_target::{Adapter, Target};
use melior::ir::Module;
use tracing::info_span;

impl Backend for Adapter {
    /// A shader for each kernel of the program, in their order.
    type Code = Vec<Shader>;

    fn target(&self) -> Target {
        Target::Gpu(*self)
    }

    fn identity(&self) -> Vec<String> {
        vec![]
    }

    fn generate(&self, diagnostics: &Diagnostics, module: &mut Module, program: &Program) -> Result<Vec<Shader>> {
        Ok(translate(diagnostics, module, program)?.iter().map(to_wgsl::Shader::to_program).collect())
    }

    fn encode(code: &Vec<Shader>) -> Result<Vec<u8>> {
        serde_json::to_vec(code).map_err(|error| CompileError::Other(error.to_string()))
    }

    fn decode(bytes: Vec<u8>) -> Option<Vec<Shader>> {
        serde_json::from_slice(&bytes).ok()
    }
}

/// A shader for each kernel of the program, with all that the translation says of it.
///
/// # Errors
/// What WGSL cannot say, with its place.
pub fn translate(diagnostics: &Diagnostics, module: &Module, program: &Program) -> Result<Vec<to_wgsl::Shader>> {
    let translated = info_span!("WGSL").in_scope(|| to_wgsl::translate(module.as_operation()));
    let translated = translated.map_err(|e| translation_error(diagnostics, &e))?;
    let shader = |kernel: &kforge_program::Kernel| {
        let shader = translated.iter().find(|shader| shader.kernel == kernel.name);
        shader.cloned().ok_or_else(|| format!("there is no kernel @{}", kernel.name).into())
    };
    program.kernels.iter().map(shader).collect()
}

/// Why a module of `diagnostics` has no WGSL.
pub fn translation_error(diagnostics: &Diagnostics, error: &to_wgsl::TranslateError) -> CompileError {
    CompileError::Diagnostics(diagnostics.error_at(error.place.as_ref(), &error.message))
}
