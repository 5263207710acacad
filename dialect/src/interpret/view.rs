//! Shapes: `tensor.dim`, reshapes, `tensor.empty` and its like, `linalg.transpose`.

use super::error::Failure;
use super::values::{Operands, check_size, result_type};
use crate::ir::reassociation;
use kforge_reference::{Data, Element, Tensor};
use melior::ir::{
    attribute::DenseI64ArrayAttribute,
    operation::{OperationLike, OperationRef},
};
use std::rc::Rc;

pub(super) fn evaluate(op: OperationRef<'_, '_>, name: &str, x: &Operands) -> Result<Rc<Tensor>, Failure> {
    let result = match name {
        "tensor.dim" => {
            let (shape, axis) = (x.get(0)?.shape(), x.size(1)?);
            let size = *shape.get(axis).ok_or_else(|| format!("asks for dimension {axis} of a shape {shape:?}"))?;
            Tensor::from_i64([], Element::I64, vec![i64::try_from(size).map_err(|_| "meets a size beyond i64")?])?
        }
        "tensor.expand_shape" => expand(op, x)?,
        "tensor.collapse_shape" => collapse(op, x)?,
        // Whether the sizes fit is checked, as for every op, against the type of the result.
        "tensor.cast" => return Ok(Rc::clone(x.get(0)?)),
        "tensor.empty" => Tensor::zeros(sizes(op, x, 0)?, result_type(op, 0)?.element)?,
        "tensor.splat" => splat(x.get(0)?, sizes(op, x, 1)?)?,
        "linalg.transpose" => transpose(x.get(0)?, &integers(op, "permutation")?)?,
        _ => return Err(Failure::unknown()),
    };
    Ok(Rc::new(result))
}

/// Splits each axis of the source into its group's axes of `output_shape`.
fn expand(op: OperationRef<'_, '_>, x: &Operands) -> Result<Tensor, Failure> {
    let source = x.get(0)?;
    let mut next = 1;
    let mut shape = vec![];
    for size in integers(op, "static_output_shape")? {
        // A negative size is MLIR's mark of a dynamic one.
        shape.push(match usize::try_from(size) {
            Ok(size) => size,
            Err(_) => {
                next += 1;
                x.size(next - 1)?
            }
        });
    }
    for (axis, group) in groups(op)?.iter().enumerate() {
        let from = source.shape().get(axis).copied();
        if from.is_none() || product(&shape, group) != from {
            let from = source.type_name();
            return Err(format!("cannot expand dimension {axis} of {from} to a part of {shape:?}").into());
        }
    }
    Ok(Tensor::clone(source).reshape(shape)?)
}

/// Joins the axes of each group.
fn collapse(op: OperationRef<'_, '_>, x: &Operands) -> Result<Tensor, Failure> {
    let source = x.get(0)?;
    let size = |group: &Vec<usize>| product(source.shape(), group);
    let shape = groups(op)?.iter().map(size).collect::<Option<Vec<_>>>();
    let shape = shape.ok_or_else(|| format!("cannot collapse the dimensions of {}", source.type_name()))?;
    Ok(Tensor::clone(source).reshape(shape)?)
}

/// The sizes of a result whose dynamic ones are the operands from `first` on.
fn sizes(op: OperationRef<'_, '_>, x: &Operands, first: usize) -> Result<Vec<usize>, Failure> {
    let mut next = first;
    let mut shape = vec![];
    for dim in result_type(op, 0)?.dims {
        shape.push(match dim {
            Some(size) => size,
            None => {
                next += 1;
                x.size(next - 1)?
            }
        });
    }
    check_size(&shape)?;
    Ok(shape)
}

fn splat(scalar: &Tensor, shape: Vec<usize>) -> Result<Tensor, Failure> {
    let count = if shape.contains(&0) { 0 } else { shape.iter().product() };
    gather(scalar, shape, &vec![0; count])
}

/// `result[i0, i1, ...]` is the element of `source` whose index along axis `permutation[a]` is `ia`.
fn transpose(source: &Tensor, permutation: &[i64]) -> Result<Tensor, Failure> {
    let axes = permutation.iter().map(|&axis| usize::try_from(axis).ok().filter(|&axis| axis < source.rank()));
    let axes = axes.collect::<Option<Vec<_>>>().filter(|axes| axes.len() == source.rank());
    let axes = axes.ok_or_else(|| format!("cannot permute {} by {permutation:?}", source.type_name()))?;
    let mut strides = vec![1; source.rank()];
    for axis in (1..source.rank()).rev() {
        strides[axis - 1] = strides[axis] * source.shape()[axis].max(1);
    }
    let shape: Vec<usize> = axes.iter().map(|&axis| source.shape()[axis]).collect();
    let mut places = vec![0; usize::from(source.elements() > 0)];
    for (&axis, &size) in axes.iter().zip(&shape) {
        let stride = strides[axis];
        places = places.into_iter().flat_map(|place| (0..size).map(move |i| place + i * stride)).collect();
    }
    gather(source, shape, &places)
}

/// A tensor of the elements of `source` at `places`.
fn gather(source: &Tensor, shape: Vec<usize>, places: &[usize]) -> Result<Tensor, Failure> {
    fn pick<T: Copy>(values: &[T], places: &[usize]) -> Vec<T> {
        places.iter().map(|&place| values[place]).collect()
    }
    let data = match source.data() {
        Data::F32(v) => Data::F32(pick(v, places)),
        Data::F16(v) => Data::F16(pick(v, places)),
        Data::BF16(v) => Data::BF16(pick(v, places)),
        Data::I32(v) => Data::I32(pick(v, places)),
        Data::I64(v) => Data::I64(pick(v, places)),
        Data::Bool(v) => Data::Bool(pick(v, places)),
        Data::Quant { .. } => return Err("rearranges a quantised weight, which is stored in blocks".into()),
    };
    Ok(Tensor::new(shape, data)?)
}

/// The axes of each group of a reshape.
fn groups(op: OperationRef<'_, '_>) -> Result<Vec<Vec<usize>>, Failure> {
    reassociation(&op).ok_or_else(|| "has no usable attribute 'reassociation'".into())
}

/// The product of some sizes; none where an axis does not exist or the product overflows.
fn product(shape: &[usize], axes: &[usize]) -> Option<usize> {
    let sizes = axes.iter().map(|&axis| shape.get(axis).copied()).collect::<Option<Vec<_>>>()?;
    if sizes.contains(&0) {
        return Some(0);
    }
    sizes.into_iter().try_fold(1usize, usize::checked_mul)
}

/// The elements of an `array<i64: ...>` attribute.
fn integers(op: OperationRef<'_, '_>, name: &str) -> Result<Vec<i64>, Failure> {
    let values = || {
        let array = DenseI64ArrayAttribute::try_from(op.attribute(name).ok()?).ok()?;
        (0..array.len()).map(|i| array.element(i).ok()).collect::<Option<Vec<_>>>()
    };
    values().ok_or_else(|| format!("has no usable attribute '{name}'").into())
}
