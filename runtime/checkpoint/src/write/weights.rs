//! Converts weights to the other format's row order and element types, one row at a time.

use crate::{Checkpoint, Element, Error, Weight};
use half::{bf16, f16};
use kforge_models::{Biases, RopeMode};
use std::io::Write;

/// A weight that will be written.
pub(super) struct Planned {
    /// Its canonical name.
    pub name: String,
    pub dims: Vec<usize>,
    /// Its element in the written file.
    pub element: Element,
    /// Bytes of its data there.
    pub bytes: usize,
    /// A permutation of the rows of a head.
    reorder: Option<Reorder>,
}

/// A conversion between the two orders of a head's rows.
#[derive(Clone, Copy)]
struct Reorder {
    to: RopeMode,
    head_dim: usize,
}

impl Reorder {
    /// Which row of the source is row `row` of the target. Pair `i` of a head of D rows is rows `2 i` and `2 i + 1` in
    /// interleaved order, and rows `i` and `i + D/2` in half order.
    fn source(self, row: usize) -> usize {
        let (head, i, half) = (row / self.head_dim * self.head_dim, row % self.head_dim, self.head_dim / 2);
        match self.to {
            RopeMode::Half => head + 2 * (i % half) + i / half,
            RopeMode::Interleaved => head + i / 2 + half * (i % 2),
        }
    }
}

/// Plans every weight of the checkpoint, with rows in `order` and elements chosen by `element`.
///
/// # Errors
/// If a weight has a type that we do not compute with, or a size overflows.
pub(super) fn plan(
    checkpoint: &Checkpoint,
    order: RopeMode,
    element: impl Fn(&Weight) -> Element,
) -> Result<Vec<Planned>, Error> {
    let config = checkpoint.config();
    let reorder = (config.rope_mode != order).then_some(Reorder { to: order, head_dim: config.head_dim });
    if reorder.is_some() && config.rotary_dims.is_some() {
        let cause = "it is of a part of a head, and the other format's order of rows is not written for that";
        return Err(Error::invalid("the model's rotary embedding", cause));
    }
    let with_zeros = has_biases(checkpoint);
    let mut plan = Vec::new();
    for weight in config.tensors() {
        // A bias that only some projections have is zero in the others: `attention_bias` means all of them.
        let element = match checkpoint.has(&weight.name) {
            true => element(&checkpoint.weight(&weight.name)?),
            false if with_zeros && weight.row.is_bias() => Element::F32,
            false => continue,
        };
        let reorder = reorder.filter(|_| weight.row.rotated);
        plan.push(Planned {
            bytes: size(&weight.name, &weight.dims, element)?,
            name: weight.name,
            dims: weight.dims,
            element,
            reorder,
        });
    }
    Ok(plan)
}

/// Whether a model that need not have biases has one anywhere in its attention.
pub(super) fn has_biases(checkpoint: &Checkpoint) -> bool {
    let config = checkpoint.config();
    matches!(config.biases, Biases::Found | Biases::All)
        && config.tensors().iter().any(|weight| weight.row.is_bias() && checkpoint.has(&weight.name))
}

fn size(name: &str, dims: &[usize], element: Element) -> Result<usize, Error> {
    let (rows, columns) = rows_and_columns(dims);
    let bytes = element.row_bytes(columns).and_then(|row| row.checked_mul(rows));
    bytes.ok_or_else(|| Error::invalid(format!("tensor `{name}`"), "its size overflows"))
}

/// A bias is a column, so that its elements are permuted like the rows of its matrix.
fn rows_and_columns(dims: &[usize]) -> (usize, usize) {
    match dims {
        [rows, columns] => (*rows, *columns),
        other => (other.iter().product(), 1),
    }
}

impl Planned {
    /// Writes its data, and releases the source's pages.
    ///
    /// # Errors
    /// If a weight does not fit its element, or `to` fails.
    pub fn write(&self, checkpoint: &Checkpoint, to: &mut impl Write) -> Result<(), Error> {
        if !checkpoint.has(&self.name) {
            return Ok(std::io::copy(&mut std::io::Read::take(std::io::repeat(0), self.bytes as u64), to).map(drop)?);
        }
        let weight = checkpoint.weight(&self.name)?;
        if self.reorder.is_none() && self.element == weight.element {
            to.write_all(&weight.bytes)?;
        } else {
            self.write_rows(&weight, to)?;
        }
        checkpoint.release(&self.name);
        Ok(())
    }

    fn write_rows(&self, weight: &Weight, to: &mut impl Write) -> Result<(), Error> {
        let place = |cause: String| Error::invalid(format!("tensor `{}`", self.name), cause);
        let (rows, columns) = rows_and_columns(&self.dims);
        let row_bytes = size(&self.name, &[1, columns], weight.element)?;
        let mut buffer = Vec::new();
        for row in 0..rows {
            let start = self.reorder.map_or(row, |reorder| reorder.source(row)) * row_bytes;
            let bytes = weight.bytes.get(start..start + row_bytes);
            let bytes = bytes.ok_or_else(|| place("it has fewer rows than its shape says".to_owned()))?;
            if self.element == weight.element {
                to.write_all(bytes)?;
                continue;
            }
            buffer.clear();
            convert(bytes, columns, weight.element, self.element, &mut buffer).map_err(place)?;
            to.write_all(&buffer)?;
        }
        Ok(())
    }
}

/// Appends a row, converted to another element type.
fn convert(bytes: &[u8], columns: usize, from: Element, to: Element, out: &mut Vec<u8>) -> Result<(), String> {
    let values = to_f32(bytes, columns, from)?;
    match to {
        Element::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Element::F16 => {
            if let Some(value) = values.iter().find(|value| value.is_finite() && f16::from_f32(**value).is_infinite()) {
                return Err(format!("its weight {value} is beyond the range of f16; dequantise to f32"));
            }
            out.extend(values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()));
        }
        other => return Err(format!("{from} is not converted to {other}")),
    }
    Ok(())
}

/// The values of a row.
///
/// # Errors
/// If the bytes are not a row of such elements.
pub(crate) fn to_f32(bytes: &[u8], columns: usize, from: Element) -> Result<Vec<f32>, String> {
    let halves = || bytes.as_chunks::<2>().0.iter();
    Ok(match from {
        Element::F32 => bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect(),
        Element::F16 => halves().map(|value| f16::from_le_bytes(*value).to_f32()).collect(),
        Element::BF16 => halves().map(|value| bf16::from_le_bytes(*value).to_f32()).collect(),
        Element::Quant(format) => {
            let mut values = vec![0.0; columns];
            format.dequantize_row(bytes, &mut values).map_err(|error| error.to_string())?;
            values
        }
        Element::I32 | Element::I64 | Element::Bool => return Err(format!("{from} is no type of a weight")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orders_of_rows_are_inverse() {
        let order = |to| (0..16).map(|row| Reorder { to, head_dim: 8 }.source(row)).collect::<Vec<_>>();
        assert_eq!(order(RopeMode::Half), [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15]);
        assert_eq!(order(RopeMode::Interleaved), [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]);
    }

    #[test]
    fn a_weight_beyond_f16_is_named() {
        let bytes = 70000f32.to_le_bytes();
        let error = convert(&bytes, 1, Element::F32, Element::F16, &mut Vec::new()).unwrap_err();
        assert_eq!(error, "its weight 70000 is beyond the range of f16; dequantise to f32");
    }
}
