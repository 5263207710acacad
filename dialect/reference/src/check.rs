//! Operand checks: what every op does before it computes.

use crate::tensor::{type_name, volume};
use crate::{Element, Error, Result, Tensor};

/// The op whose operands are checked.
#[derive(Clone, Copy)]
pub(crate) struct Op<'a>(pub &'a str);

impl Op<'_> {
    pub fn wrong(self, operand: &'static str, expected: impl Into<String>, tensor: &Tensor) -> Error {
        Error::Operand { op: self.0.to_owned(), operand, expected: expected.into(), actual: tensor.type_name() }
    }

    pub fn attribute(self, attribute: &'static str, expected: impl Into<String>, actual: impl ToString) -> Error {
        Error::Attribute { op: self.0.to_owned(), attribute, expected: expected.into(), actual: actual.to_string() }
    }

    /// `operand[index]` has a value that the op cannot take.
    pub fn value(self, operand: &str, index: &[usize], value: i64, expected: impl Into<String>) -> Error {
        Error::Value { op: self.0.to_owned(), place: format!("{operand}{index:?}"), value, expected: expected.into() }
    }

    /// The elements of a float tensor.
    pub fn floats(self, operand: &'static str, tensor: &Tensor) -> Result<Vec<f32>> {
        if !tensor.element().is_float() {
            return Err(self.wrong(operand, "a tensor of floats", tensor));
        }
        Ok(tensor.to_f32())
    }

    /// The elements of an i32 or i64 tensor.
    pub fn integers(self, operand: &'static str, tensor: &Tensor) -> Result<Vec<i64>> {
        match tensor.to_i64() {
            Some(values) if tensor.element() != Element::Bool => Ok(values),
            _ => Err(self.wrong(operand, "a tensor of i32", tensor)),
        }
    }

    /// The sizes of a tensor of rank `N`.
    pub fn dims<const N: usize>(self, operand: &'static str, tensor: &Tensor) -> Result<[usize; N]> {
        tensor.shape().try_into().map_err(|_| self.wrong(operand, format!("of rank {N}"), tensor))
    }

    /// Rows and length of the last axis.
    pub fn rows(self, operand: &'static str, tensor: &Tensor) -> Result<(usize, usize)> {
        match tensor.shape() {
            [leading @ .., last] => Ok((volume(leading, tensor.element())?, *last)),
            [] => Err(self.wrong(operand, "of rank at least 1", tensor)),
        }
    }

    pub fn shape(self, operand: &'static str, tensor: &Tensor, expected: &[usize]) -> Result<()> {
        if tensor.shape() != expected {
            return Err(self.wrong(operand, type_name(expected, tensor.element()), tensor));
        }
        Ok(())
    }

    /// The elements of a float vector of `length`.
    pub fn vector(self, operand: &'static str, tensor: &Tensor, length: usize) -> Result<Vec<f32>> {
        self.shape(operand, tensor, &[length])?;
        self.floats(operand, tensor)
    }

    /// Rows and columns of a float matrix or a quantised weight.
    pub fn weight(self, operand: &'static str, tensor: &Tensor) -> Result<(usize, usize)> {
        if tensor.element().is_integer() {
            return Err(self.wrong(operand, "a matrix of floats or a quantised weight", tensor));
        }
        let [rows, columns] = self.dims(operand, tensor)?;
        Ok((rows, columns))
    }
}

/// The coordinates of element `flat` of a tensor of `shape`.
pub(crate) fn coordinates(shape: &[usize], mut flat: usize) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (i, &dim) in index.iter_mut().zip(shape).rev() {
        *i = flat % dim.max(1);
        flat /= dim.max(1);
    }
    index
}
