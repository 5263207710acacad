//! Generates a checkpoint's module, and sets its weights in an executor.

use crate::{Error, Result};
use kforge_checkpoint::Checkpoint;
use kforge_models::{Emission, Phase};
use kforge_program::Element;
use kforge_runtime::{Execute, View};

/// The type of a weight as MLIR spells it.
pub fn weight_type(dims: &[usize], element: Element) -> String {
    let dims: Vec<String> = dims.iter().map(usize::to_string).collect();
    match element {
        Element::Quant(format) => format!("!transformer.quant<{format}, {}>", dims.join("x")),
        element => format!("tensor<{}x{element}>", dims.join("x")),
    }
}

/// The module of a checkpoint.
///
/// # Errors
/// If a weight has a type that we do not compute with, or the options do not fit the model.
pub fn emit(checkpoint: &Checkpoint, emission: Emission, phases: &[Phase]) -> Result<String> {
    let types = checkpoint
        .names()
        .into_iter()
        .map(|name| {
            let weight = checkpoint.weight(&name)?;
            let ty = weight_type(weight.dims, weight.element);
            Ok((name, ty))
        })
        .collect::<Result<Vec<_>>>()?;
    kforge_models::module(checkpoint.config(), &types, emission, phases).map_err(Error::Request)
}

/// Packs every weight into its global's layout and releases the file's pages; `done` is called with each name.
pub fn set_weights(executor: &mut dyn Execute, checkpoint: &Checkpoint, mut done: impl FnMut(&str)) -> Result<()> {
    for name in checkpoint.names() {
        let weight = checkpoint.weight(&name)?;
        executor.set_weight(&name, View { dims: weight.dims, element: weight.element, bytes: &weight.bytes })?;
        checkpoint.release(&name);
        done(&name);
    }
    Ok(())
}
