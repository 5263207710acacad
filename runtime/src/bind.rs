//! Computes sizes from the tensors of a call; shared by all executors.

use crate::{Error, View};
use kforge_program::{DimSource, Element, Expr, Function, Layout, Program, layout};

/// Checks that kernels of one program may replace another's.
///
/// # Errors
/// If their globals, or a function's inputs or results, differ.
pub fn check_exchange(a: &Program, b: &Program) -> crate::Result<()> {
    let ports = |program: &Program| -> Vec<_> {
        program.functions.iter().map(|f| (f.name.clone(), f.inputs.clone(), f.outputs.clone())).collect()
    };
    if a.globals == b.globals && ports(a) == ports(b) {
        return Ok(());
    }
    Err(Error::Program("other kernels must have the same globals, inputs and results".into()))
}

/// The index of a global.
///
/// # Errors
/// If there is none with this name.
pub fn global(program: &Program, name: &str) -> crate::Result<usize> {
    let missing = || Error::Weight { name: name.into(), message: "the program has no such global".into() };
    program.globals.iter().position(|g| g.name == name).ok_or_else(missing)
}

/// The index of a function.
///
/// # Errors
/// If there is none with this name; the message lists those that exist.
pub fn function(program: &Program, name: &str) -> crate::Result<usize> {
    program.functions.iter().position(|f| f.name == name).ok_or_else(|| {
        let known: Vec<&str> = program.functions.iter().map(|f| f.name.as_str()).collect();
        Error::NoFunction { name: name.into(), known: known.join(", ") }
    })
}

/// Values of the function's symbols, after checking every input's shape against them; `global` gives the extents of a
/// global that has a value.
///
/// # Errors
/// If an input's shape does not fit; the message says which, and what would fit.
pub fn symbols<'g>(
    program: &Program,
    function: &Function,
    inputs: &[View],
    global: impl Fn(usize) -> Option<&'g [usize]>,
) -> Result<Vec<i64>, String> {
    if inputs.len() != function.inputs.len() {
        return Err(format!("takes {} inputs, but {} were given", function.inputs.len(), inputs.len()));
    }
    for (i, (port, input)) in function.inputs.iter().zip(inputs).enumerate() {
        if port.ty.dims.len() != input.dims.len() || port.ty.element != input.element {
            let given = show(input.dims, input.element);
            return Err(format!("input {i} must be {}, but is {given}", port.ty));
        }
        if input.element.tensor_bytes(input.dims) != Some(input.bytes.len()) {
            return Err(format!("input {i} has {} bytes, which is not its shape's size", input.bytes.len()));
        }
    }
    let value = |symbol: &kforge_program::Symbol| match symbol.source {
        DimSource::Input { input, axis } => Ok(inputs[input].dims[axis] as i64),
        DimSource::Global { global: index, axis } => match global(index) {
            Some(dims) => Ok(dims[axis] as i64),
            None => Err(format!("the global '{}' has no value", program.globals[index].name)),
        },
    };
    let symbols = function.symbols.iter().map(value).collect::<Result<Vec<_>, _>>()?;
    for (i, (port, input)) in function.inputs.iter().zip(inputs).enumerate() {
        let wanted = port.ty.shape(&symbols)?;
        if wanted != input.dims {
            let (given, wanted) = (show(input.dims, input.element), show(&wanted, port.ty.element));
            return Err(format!("input {i} must be {wanted}, but is {given}"));
        }
    }
    Ok(symbols)
}

/// The shapes of a function's results. A returned global has its own extents, which no symbol of the function may name.
///
/// # Errors
/// If a size has no value.
pub fn result_shapes(function: &Function, symbols: &[i64]) -> Result<Vec<Vec<usize>>, String> {
    let shape = |output: &kforge_program::Output| match output.buffer {
        kforge_program::Buffer::Global(_) => Ok(output.ty.shape(symbols).unwrap_or_default()),
        _ => output.ty.shape(symbols),
    };
    function.outputs.iter().map(shape).collect()
}

/// Evaluates a size in bytes.
///
/// # Errors
/// If it has no value, or is negative.
pub fn layout_bytes(bytes: &Expr, symbols: &[i64]) -> Result<usize, String> {
    let value = bytes.eval(symbols)?;
    usize::try_from(value).map_err(|_| format!("the size {bytes} is negative"))
}

/// Copies a row-major tensor into `layout`.
///
/// # Errors
/// If the sizes do not match, or the layout is not for tensors of this kind.
pub fn pack(to: Layout, tensor: View, target: &mut [u8]) -> Result<(), String> {
    match (to, tensor.dims) {
        (Layout::RowMajor, _) if target.len() == tensor.bytes.len() => target.copy_from_slice(tensor.bytes),
        (Layout::RowMajor, _) => return Err(format!("{} bytes do not fit {}", tensor.bytes.len(), target.len())),
        (Layout::Rows16, [rows, columns]) => {
            layout::pack_rows16(tensor.element, *rows, *columns, tensor.bytes, target)?
        }
        (layout, _) => return Err(format!("{} cannot be packed into {layout}", show(tensor.dims, tensor.element))),
    }
    Ok(())
}

/// A constant tensor of the module.
pub struct Constant {
    pub dims: Vec<usize>,
    /// Row-major.
    pub bytes: Vec<u8>,
}

/// The value that the module gives a global; `None` if it gives none.
///
/// # Errors
/// If the value does not match the type.
pub fn constant(global: &kforge_program::Global) -> Result<Option<Constant>, String> {
    let Some(value) = &global.value else { return Ok(None) };
    let dims = static_dims(&global.ty.dims).ok_or("has no static shape")?;
    let length = global.ty.element.tensor_bytes(&dims).ok_or("has a size that overflows")?;
    Ok(Some(Constant { bytes: value.expand(length)?, dims }))
}

/// Checks that a global may be set by the caller.
///
/// # Errors
/// If it is a constant.
pub fn check_settable(global: &kforge_program::Global) -> crate::Result<()> {
    match global.value.is_some() && !global.mutable {
        true => Err(Error::Weight {
            name: global.name.clone(),
            message: "is a constant of the module and cannot be set".into(),
        }),
        false => Ok(()),
    }
}

/// Shape and bytes of a global of the program as a weight, which `weight` must match.
///
/// # Errors
/// If type or size do not match.
pub fn weight_bytes(global: &kforge_program::Global, weight: &View) -> Result<(Vec<usize>, usize), String> {
    let dims = static_dims(&global.ty.dims).ok_or("has no static shape")?;
    if weight.dims != dims || weight.element != global.ty.element {
        let (given, wanted) = (show(weight.dims, weight.element), show(&dims, global.ty.element));
        return Err(format!("the program wants {wanted}, but the checkpoint has {given}"));
    }
    if global.mutable {
        return Err("is state, which begins as zeros".into());
    }
    let bytes = layout_bytes(&global.ty.bytes(global.layout), &[])?;
    Ok((dims, bytes))
}

/// The bytes of a global as state of the given shape.
///
/// # Errors
/// If its type does not match the shape.
pub fn state_bytes(global: &kforge_program::Global, dims: &[usize]) -> Result<usize, String> {
    let fits = |(have, want): (&usize, &Expr)| want.as_const().is_some_and(|w| w < 0 || w == *have as i64);
    if dims.len() != global.ty.dims.len() || !dims.iter().zip(&global.ty.dims).all(fits) {
        return Err(format!("the shape {dims:?} does not fit {}", global.ty));
    }
    let mut ty = global.ty.clone();
    ty.dims = dims.iter().map(|d| Expr::Const(*d as i64)).collect();
    layout_bytes(&ty.bytes(global.layout), &[])
}

pub fn static_dims(dims: &[Expr]) -> Option<Vec<usize>> {
    dims.iter().map(|d| usize::try_from(d.as_const()?).ok()).collect()
}

/// Formats a type: `tensor<1x5xi32>`.
pub fn show(dims: &[usize], element: Element) -> String {
    let dims: String = dims.iter().map(|d| format!("{d}x")).collect();
    format!("tensor<{dims}{element}>")
}

/// The cause of a failed call: a message, or another error.
pub enum CallError {
    Message(String),
    Other(Error),
}

impl From<String> for CallError {
    fn from(message: String) -> Self {
        CallError::Message(message)
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        CallError::Other(error)
    }
}

impl CallError {
    /// Converts to the error of a call of `function`.
    pub fn of(self, function: &str) -> Error {
        match self {
            CallError::Message(message) => Error::Call { function: function.into(), message },
            CallError::Other(error) => error,
        }
    }
}
