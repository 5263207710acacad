//! Constant attributes as tensors.

use crate::ffi;
use crate::interpret::values::{ValueType, check_size};
use kforge_reference::{Data, Element, Tensor};
use melior::ir::{
    Attribute, AttributeLike,
    attribute::{DenseElementsAttribute, FloatAttribute, IntegerAttribute},
};
use mlir_sys as sys;

/// The value of a float, integer, dense or dense_resource attribute.
///
/// # Errors
/// Says what the attribute is instead, or what is wrong with its data, to follow the name of an op.
pub fn tensor(attribute: Attribute<'_>) -> Result<Tensor, String> {
    let ValueType { dims, element } = ValueType::of(attribute.r#type()).map_err(|failure| failure.to_string())?;
    let fail = |error: kforge_reference::Error| error.to_string();
    if let Ok(float) = FloatAttribute::try_from(attribute) {
        return Tensor::from_f32([], element, vec![float.value() as f32]).map_err(fail);
    }
    if let Ok(integer) = IntegerAttribute::try_from(attribute) {
        return Tensor::from_i64([], element, vec![integer.value()]).map_err(fail);
    }
    let shape: Vec<usize> = dims.into_iter().collect::<Option<_>>().ok_or("has a constant of dynamic shape")?;
    check_size(&shape).map_err(|failure| failure.to_string())?;
    let count: usize = shape.iter().product();
    let width = element.bytes().ok_or("has a quantised constant")?;
    if let Some(bytes) = resource(attribute)? {
        if bytes.len() != count * width {
            let wanted = count * width;
            return Err(format!("has a dense_resource of {} bytes, but its type takes {wanted}", bytes.len()));
        }
        if element == Element::Bool {
            return Tensor::new(shape, Data::Bool(bytes.iter().map(|byte| *byte != 0).collect())).map_err(fail);
        }
        return Tensor::from_bytes(shape, element, bytes).map_err(fail);
    }
    let Ok(dense) = DenseElementsAttribute::try_from(attribute) else {
        return Err("has a value that is no float, integer, dense or dense_resource attribute".into());
    };
    if element == Element::Bool {
        // How i1 is stored differs between versions of MLIR.
        // SAFETY: the attribute is of i1, and the positions are below its length.
        let value = |i| unsafe { sys::mlirDenseElementsAttrGetBoolValue(attribute.to_raw(), i as isize) };
        return Tensor::new(shape, Data::Bool((0..count).map(value).collect())).map_err(fail);
    }
    if count == 0 {
        return Tensor::zeros(shape, element).map_err(fail);
    }
    let stored = if dense.is_splat() { 1 } else { count };
    // SAFETY: a dense attribute keeps its elements, or the one of a splat, as an array that lives as long as the context.
    let bytes = unsafe { std::slice::from_raw_parts(dense.raw_data().cast::<u8>(), stored * width) };
    Tensor::from_bytes(shape, element, &bytes.repeat(count / stored)).map_err(fail)
}

/// Whether an attribute is `#ml_program.extern<T>`: the value comes from outside the module.
pub fn is_extern(attribute: Attribute<'_>) -> bool {
    // SAFETY: the attribute is alive.
    unsafe { ffi::kforgeAttributeIsExtern(attribute.to_raw()) }
}

/// The bytes of a dense_resource attribute; `None` of any other attribute.
///
/// # Errors
/// If the module names the resource but has no data for it.
fn resource<'c>(attribute: Attribute<'c>) -> Result<Option<&'c [u8]>, String> {
    // SAFETY: the blob's bytes live in the context, which outlives the attribute.
    unsafe {
        if !sys::mlirAttributeIsADenseResourceElements(attribute.to_raw()) {
            return Ok(None);
        }
        let mut length = 0;
        let data = ffi::kforgeResourceData(attribute.to_raw(), &raw mut length);
        if data.is_null() {
            return Err("has a dense_resource without data in the module's dialect_resources".into());
        }
        Ok(Some(std::slice::from_raw_parts(data, length)))
    }
}
