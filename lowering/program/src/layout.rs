//! How a tensor's elements lie in memory, and packing into it.
//!
//! `rows16`, the layout of every weight, interleaves sixteen rows, so that one vector load yields one column of sixteen
//! rows and a matrix-vector product needs no horizontal sum:
//!
//! ```text
//! floats     [group][column][16 rows]
//! quantised  [group][block of 32 columns]:
//!            16 x f16 d | 16 x f16 m (q4_1, q5_1)
//!            q4, q5: 4 vectors of 16 x u32, byte i of vector j = columns 8 j + i (low) and 8 j + 4 + i (high nibble)
//!            q5:     1 vector of 16 x u32, bit c = fifth bit of column c
//!            q8_0:   8 vectors of 16 x u32, byte i of vector j = column 4 j + i
//! ```
//! Rows past the last are zero.

use crate::{
    expr::Expr,
    types::{Element, TensorType},
};
use kforge_quant::BlockFormat;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Rows or keys interleaved.
pub const LANES: usize = 16;

/// Physical order of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layout {
    /// As the file and the caller have it; the last axis is contiguous.
    RowMajor,
    /// A weight [N, K], sixteen rows interleaved, rows padded with zeros to a multiple of sixteen.
    Rows16,
    /// A key cache [B, T, H, D] stored [B, H, T/16, D, 16]: sixteen keys interleaved; T rounded up to sixteen.
    Keys16,
    /// A value cache [B, T, H, D] stored [B, H, T, D], T rounded up to sixteen.
    HeadMajor,
}

impl Layout {
    const ALL: [Layout; 4] = [Layout::RowMajor, Layout::Rows16, Layout::Keys16, Layout::HeadMajor];

    /// The name in `transformer.layout`.
    pub fn name(self) -> &'static str {
        match self {
            Layout::RowMajor => "row_major",
            Layout::Rows16 => "rows16",
            Layout::Keys16 => "keys16",
            Layout::HeadMajor => "head_major",
        }
    }

    pub fn from_name(name: &str) -> Option<Layout> {
        Self::ALL.into_iter().find(|l| l.name() == name)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bytes of a tensor in a layout.
pub fn bytes(ty: &TensorType, layout: Layout) -> Expr {
    let round = |d: &Expr| Expr::Const(LANES as i64).times(d.clone().ceil_div(Expr::Const(LANES as i64)));
    let rounded_axis = match layout {
        Layout::RowMajor => None,
        Layout::Rows16 => Some(0),
        Layout::Keys16 | Layout::HeadMajor => Some(1),
    };
    let mut dims = ty.dims.clone();
    if let Some(axis) = rounded_axis.filter(|axis| *axis < dims.len()) {
        dims[axis] = round(&dims[axis]);
    }
    let scale = match ty.element {
        Element::Quant(format) => {
            let columns = dims.pop().unwrap_or(Expr::Const(0));
            dims.push(columns.ceil_div(Expr::Const(BlockFormat::BLOCK as i64)));
            format.block_bytes()
        }
        element => element.bytes().unwrap_or(0),
    };
    dims.into_iter().fold(Expr::Const(scale as i64), Expr::times)
}

/// Packs a row-major weight [rows, columns] into `rows16`.
///
/// # Errors
/// If `source` or `target` has not the size that the shape asks for.
pub fn pack_rows16(
    element: Element,
    rows: usize,
    columns: usize,
    source: &[u8],
    target: &mut [u8],
) -> Result<(), String> {
    let row_bytes =
        element.tensor_bytes(&[1, columns]).ok_or_else(|| format!("{columns} columns are no whole blocks"))?;
    let groups = rows.div_ceil(LANES);
    if Some(source.len()) != row_bytes.checked_mul(rows)
        || Some(target.len()) != (row_bytes * LANES).checked_mul(groups)
    {
        return Err(format!("{} bytes are not {rows} x {columns} of {element}", source.len()));
    }
    if row_bytes == 0 || rows == 0 {
        return Ok(());
    }
    target.par_chunks_mut(row_bytes * LANES).zip(source.par_chunks(row_bytes * LANES)).for_each(|(target, source)| {
        match element {
            Element::Quant(format) => pack_blocks(format, row_bytes, source, target),
            element => interleave(element.bytes().unwrap_or(4), row_bytes, source, target),
        }
    });
    Ok(())
}

/// One group of float rows: element by element, columns outside, rows inside.
fn interleave(width: usize, row_bytes: usize, source: &[u8], target: &mut [u8]) {
    target.fill(0);
    for (lane, row) in source.chunks_exact(row_bytes).enumerate() {
        for (column, value) in row.chunks_exact(width).enumerate() {
            let at = (column * LANES + lane) * width;
            target[at..at + width].copy_from_slice(value);
        }
    }
}

/// Bytes of a block's scale and minimum.
fn header_bytes(format: BlockFormat) -> usize {
    if format.has_min() { 4 } else { 2 }
}

/// One group of quantised rows, block by block.
fn pack_blocks(format: BlockFormat, row_bytes: usize, source: &[u8], target: &mut [u8]) {
    let block_bytes = format.block_bytes();
    let packed_bytes = LANES * block_bytes;
    let header = header_bytes(format);
    target.fill(0);
    for (lane, row) in source.chunks_exact(row_bytes).enumerate() {
        for (block, packed) in row.chunks_exact(block_bytes).zip(target.chunks_exact_mut(packed_bytes)) {
            packed[2 * lane..2 * lane + 2].copy_from_slice(&block[..2]);
            if format.has_min() {
                packed[2 * (LANES + lane)..2 * (LANES + lane) + 2].copy_from_slice(&block[2..4]);
            }
            let quants = &mut packed[LANES * header..];
            if format == BlockFormat::Q8_0 {
                for (word, bytes) in block[header..].chunks_exact(4).enumerate() {
                    let at = (word * LANES + lane) * 4;
                    quants[at..at + 4].copy_from_slice(bytes);
                }
                continue;
            }
            let mut nibbles = &block[header..];
            if format.bits() == 5 {
                let at = (4 * LANES + lane) * 4;
                quants[at..at + 4].copy_from_slice(&nibbles[..4]);
                nibbles = &nibbles[4..];
            }
            // Columns 0..16 are low nibbles of the file's bytes, 16..32 high ones; a packed byte has neighbours.
            for word in 0..4 {
                let bytes = &nibbles[8 * (word % 2)..8 * (word % 2) + 8];
                let at = (word * LANES + lane) * 4;
                for (i, (low, high)) in bytes[..4].iter().zip(&bytes[4..]).enumerate() {
                    quants[at + i] = if word < 2 { low & 15 | high << 4 } else { low >> 4 | high & 0xf0 };
                }
            }
        }
    }
}

/// The element at (row, column) of a packed weight, as f32: the inverse of packing, for tests and tools.
pub fn unpack_rows16(element: Element, columns: usize, packed: &[u8], row: usize, column: usize) -> Option<f32> {
    let (group, lane) = (row / LANES, row % LANES);
    match element {
        Element::Quant(format) => {
            let bytes = LANES * format.block_bytes();
            let block = packed.chunks_exact(bytes).nth(group * (columns / 32) + column / 32)?;
            let half = |at: usize| half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
            let quants = &block[LANES * header_bytes(format)..];
            let c = column % 32;
            let q = if format == BlockFormat::Q8_0 {
                i32::from(quants[(c / 4 * LANES + lane) * 4 + c % 4] as i8)
            } else {
                let byte = quants[(c / 8 * LANES + lane) * 4 + c % 4];
                let low = i32::from(byte >> (c % 8 / 4 * 4) & 15);
                let fifth = if format.bits() == 5 {
                    i32::from(quants[(4 * LANES + lane) * 4 + c / 8] >> (c % 8) & 1)
                } else {
                    0
                };
                low + 16 * fifth - i32::from(format.offset())
            };
            let m = if format.has_min() { half(2 * (LANES + lane)) } else { 0.0 };
            Some(half(2 * lane) * q as f32 + m)
        }
        element => {
            let width = element.bytes()?;
            let at = ((group * columns + column) * LANES + lane) * width;
            let bytes = packed.get(at..at + width)?;
            Some(match element {
                Element::F32 => f32::from_le_bytes(bytes.try_into().ok()?),
                Element::F16 => half::f16::from_le_bytes(bytes.try_into().ok()?).to_f32(),
                _ => half::bf16::from_le_bytes(bytes.try_into().ok()?).to_f32(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_keeps_every_weight() {
        for rows in [1, 3, 16, 17, 33] {
            for format in BlockFormat::ALL {
                let columns = 64;
                let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
                let mut source = vec![0; format.bytes(rows, columns).unwrap()];
                format.quantize_row(&values, &mut source).unwrap();
                let element = Element::Quant(format);
                let ty = TensorType { dims: vec![Expr::Const(rows as i64), Expr::Const(columns as i64)], element };
                let mut packed = vec![1; bytes(&ty, Layout::Rows16).as_const().unwrap() as usize];
                pack_rows16(element, rows, columns, &source, &mut packed).unwrap();
                let mut expected = vec![0.0; rows * columns];
                format.dequantize_row(&source, &mut expected).unwrap();
                for (i, value) in expected.iter().enumerate() {
                    let back = unpack_rows16(element, columns, &packed, i / columns, i % columns);
                    assert_eq!(back, Some(*value), "{format}, {rows} rows, element {i}");
                }
            }
        }
    }

    #[test]
    fn wrong_sizes_are_errors() {
        assert!(pack_rows16(Element::F32, 2, 3, &[0; 23], &mut [0; 192]).is_err());
        assert!(pack_rows16(Element::Quant(BlockFormat::Q4_0), 1, 33, &[0; 18], &mut [0; 288]).is_err());
    }
}
