//! Constant attributes as tensors.

use super::error::Failure;
use super::values::{ValueType, check_size};
use kforge_reference::{Data, Element, Tensor};
use melior::ir::{
    Attribute, AttributeLike,
    attribute::{DenseElementsAttribute, FloatAttribute, IntegerAttribute},
};
use mlir_sys as sys;

/// A float, integer or dense attribute. Dense resources, sparse and other attributes fail.
pub(super) fn constant(attribute: Attribute<'_>) -> Result<Tensor, Failure> {
    let ValueType { dims, element } = ValueType::of(attribute.r#type())?;
    if let Ok(float) = FloatAttribute::try_from(attribute) {
        return Ok(Tensor::from_f32([], element, vec![float.value() as f32])?);
    }
    if let Ok(integer) = IntegerAttribute::try_from(attribute) {
        return Ok(Tensor::from_i64([], element, vec![integer.value()])?);
    }
    let Ok(dense) = DenseElementsAttribute::try_from(attribute) else {
        return Err("has a value that is no float, integer or dense attribute".into());
    };
    let shape: Vec<usize> = dims.into_iter().collect::<Option<_>>().ok_or("has a constant of dynamic shape")?;
    check_size(&shape)?;
    let count = dense.len();
    let width = match element {
        Element::F32 | Element::I32 => 4,
        Element::F16 | Element::BF16 => 2,
        Element::I64 => 8,
        Element::Bool => {
            // How i1 is stored differs between versions of MLIR.
            // SAFETY: the attribute is of i1, and the positions are below its length.
            let value = |i| unsafe { sys::mlirDenseElementsAttrGetBoolValue(attribute.to_raw(), i as isize) };
            return Ok(Tensor::new(shape, Data::Bool((0..count).map(value).collect()))?);
        }
        Element::Quant(_) => return Err("has a quantised constant".into()),
    };
    if count == 0 {
        return Ok(Tensor::zeros(shape, element)?);
    }
    let stored = if dense.is_splat() { 1 } else { count };
    // SAFETY: a dense attribute keeps its elements, or the one of a splat, as an array that lives as long as the context.
    let bytes = unsafe { std::slice::from_raw_parts(dense.raw_data().cast::<u8>(), stored * width) };
    Ok(Tensor::from_bytes(shape, element, &bytes.repeat(count / stored))?)
}
