//! Types of values, and the values of one activation of a function or region.

use super::error::Failure;
use crate::{QuantType, ir};
use kforge_reference::{Element, Tensor};
use melior::ir::{Type, TypeLike, Value, ValueLike, operation::OperationRef, r#type::RankedTensorType};
use mlir_sys as sys;
use std::{collections::HashMap, ffi::c_void, fmt, rc::Rc};

/// Elements of the largest tensor that is made out of a type: a gibi, 4 GiB of f32. A type costs nothing to write, and
/// running out of memory is no error that could be located.
const MAX_ELEMENTS: usize = 1 << 30;

/// The type of a value: a tensor, a quantised weight, or a scalar, which is a tensor of rank 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueType {
    pub dims: Vec<Option<usize>>,
    pub element: Element,
}

impl ValueType {
    /// Fails for a type that no [`Tensor`] can have.
    pub fn of(ty: Type<'_>) -> Result<ValueType, Failure> {
        if let Some(QuantType { format, rows, columns }) = QuantType::from_type(ty) {
            return Ok(ValueType { dims: vec![Some(rows), Some(columns)], element: Element::Quant(format) });
        }
        let (scalar, dims) = match RankedTensorType::try_from(ty) {
            Ok(_) => (ir::element(ty), ir::dims(ty)),
            Err(_) => (ty, vec![]),
        };
        match element(scalar) {
            Some(element) => Ok(ValueType { dims, element }),
            None => Err(format!("has a value of type {ty}, which the reference does not know").into()),
        }
    }

    /// Whether a tensor can be of this type.
    pub fn accepts(&self, tensor: &Tensor) -> bool {
        self.element == tensor.element()
            && self.dims.len() == tensor.rank()
            && self.dims.iter().zip(tensor.shape()).all(|(dim, size)| dim.is_none_or(|dim| dim == *size))
    }

    /// Its sizes; none where one of them is dynamic.
    pub fn shape(&self) -> Option<Vec<usize>> {
        self.dims.iter().copied().collect()
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.dims.iter().map(|d| d.map_or("?".to_owned(), |d| d.to_string())).collect();
        match self.element {
            Element::Quant(format) => write!(f, "!transformer.quant<{format}, {}>", dims.join("x")),
            element if dims.is_empty() => write!(f, "tensor<{element}>"),
            element => write!(f, "tensor<{}x{element}>", dims.join("x")),
        }
    }
}

fn element(ty: Type<'_>) -> Option<Element> {
    let raw = ty.to_raw();
    // SAFETY: the width is read of an integer type only.
    unsafe {
        Some(match () {
            () if sys::mlirTypeIsAF32(raw) => Element::F32,
            () if sys::mlirTypeIsAF16(raw) => Element::F16,
            () if sys::mlirTypeIsABF16(raw) => Element::BF16,
            () if sys::mlirTypeIsAIndex(raw) => Element::I64,
            () if sys::mlirTypeIsAInteger(raw) && sys::mlirIntegerTypeIsSignless(raw) => {
                match sys::mlirIntegerTypeGetWidth(raw) {
                    1 => Element::Bool,
                    32 => Element::I32,
                    64 => Element::I64,
                    _ => return None,
                }
            }
            () => return None,
        })
    }
}

/// The type of an op's result.
pub(super) fn result_type(op: OperationRef<'_, '_>, index: usize) -> Result<ValueType, Failure> {
    let result = op.result(index).map_err(|_| Failure::from(format!("has no result {index}")))?;
    ValueType::of(result.r#type())
}

/// Fails for a shape too large to make a tensor of.
pub(crate) fn check_size(shape: &[usize]) -> Result<(), Failure> {
    let elements = match shape.contains(&0) {
        true => Some(0),
        false => shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim)),
    };
    match elements {
        Some(elements) if elements <= MAX_ELEMENTS => Ok(()),
        _ => Err(format!("makes a tensor of {shape:?}, more than the reference's {MAX_ELEMENTS} elements").into()),
    }
}

/// The values of one activation, by SSA value. Tensors are shared, so that a weight is never copied.
#[derive(Default)]
pub(super) struct Values(HashMap<*const c_void, Rc<Tensor>>);

impl Values {
    pub fn set<'c>(&mut self, value: impl ValueLike<'c>, tensor: Rc<Tensor>) {
        self.0.insert(value.to_raw().ptr, tensor);
    }

    /// Fails for a value that is not dominated by its definition, which the verifier allows in unreachable code only.
    pub fn get(&self, value: Value<'_, '_>) -> Result<Rc<Tensor>, Failure> {
        self.0.get(&value.to_raw().ptr).cloned().ok_or_else(|| "uses a value that was not computed".into())
    }
}

/// The operands of an op.
pub(super) struct Operands(pub Vec<Rc<Tensor>>);

impl Operands {
    pub fn get(&self, index: usize) -> Result<&Rc<Tensor>, Failure> {
        self.0.get(index).ok_or_else(|| format!("has no operand {index}").into())
    }

    /// The operand of the one optional argument, which comes last.
    pub fn last(&self, index: usize) -> Option<&Tensor> {
        self.0.get(index).map(Rc::as_ref)
    }

    /// The operand of an optional argument of an op with operand segments.
    pub fn optional(&self, op: OperationRef<'_, '_>, argument: usize) -> Option<&Tensor> {
        let segments = ir::segments(&op);
        match segments.get(argument)? {
            0 => None,
            _ => self.last(segments[..argument].iter().sum()),
        }
    }

    /// An operand that is a size: a non-negative scalar.
    pub fn size(&self, index: usize) -> Result<usize, Failure> {
        let tensor = self.get(index)?;
        match tensor.to_i64().as_deref() {
            Some(&[value]) => {
                usize::try_from(value).map_err(|_| format!("takes a size as operand {index}, but got {value}").into())
            }
            _ => Err(format!("takes a size as operand {index}, but got {}", tensor.type_name()).into()),
        }
    }

    pub fn all(&self) -> Vec<&Tensor> {
        self.0.iter().map(Rc::as_ref).collect()
    }
}
