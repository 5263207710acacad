//! Passes tensors of the reference semantics into an executor, and out of it.

use anyhow::{Context as _, Result, bail};
use kforge_reference::{Element, Tensor};
use kforge_runtime::{Execute, Outputs, View};

/// An element type, if tensors of it can be passed in and out.
///
/// # Errors
/// For the others, which launch programs do not have.
pub fn passed(element: Element) -> Result<Element> {
    match element {
        Element::I64 | Element::Bool => bail!("tensors of {element} are not passed in or out; use i32"),
        element => Ok(element),
    }
}

/// The inputs of a call, in the executor's form.
pub struct Inputs<'t>(Vec<(&'t [usize], Element, Vec<u8>)>);

impl<'t> Inputs<'t> {
    /// # Errors
    /// If a tensor's element type cannot be passed in.
    pub fn new(tensors: impl IntoIterator<Item = &'t Tensor>) -> Result<Inputs<'t>> {
        let input = |t: &'t Tensor| Ok((t.shape(), passed(t.element())?, t.to_bytes()));
        Ok(Inputs(tensors.into_iter().map(input).collect::<Result<_>>()?))
    }

    pub fn views(&self) -> Vec<View<'_>> {
        self.0.iter().map(|(dims, element, bytes)| View { dims, element: *element, bytes }).collect()
    }
}

/// Packs a tensor into a global.
///
/// # Errors
/// If its element type cannot be passed in, or the executor fails.
pub fn set_weight(executor: &mut dyn Execute, name: &str, weight: &Tensor) -> Result<()> {
    Ok(executor.set_weight(name, Inputs::new([weight])?.views()[0])?)
}

/// Calls a function once.
///
/// # Errors
/// If an input's element type cannot be passed in, the executor fails, or a result is a cache in a layout other than
/// row-major.
pub fn call<'t>(
    executor: &mut dyn Execute,
    function: &str,
    inputs: impl IntoIterator<Item = &'t Tensor>,
) -> Result<Vec<Tensor>> {
    results(&executor.call(function, &Inputs::new(inputs)?.views())?)
}

/// The results of a call.
///
/// # Errors
/// If one is a cache in a layout other than row-major.
pub fn results(outputs: &Outputs) -> Result<Vec<Tensor>> {
    let result = |i| {
        let view =
            outputs.get(i).with_context(|| format!("result {i} is a cache in a layout of its own; return a copy"))?;
        Ok(Tensor::from_bytes(view.dims, view.element, view.bytes)?)
    };
    (0..outputs.len()).map(result).collect()
}
