//! Memory layouts of tensors, and packing into them.
//!
//! `rows16`, the layout of every weight, interleaves sixteen rows, so that one vector load yields one column of sixteen
//! rows and a matrix-vector product needs no horizontal sum:
//!
//! ```text
//! floats     [group][column][16 rows]
//! quantised  [group][block]:
//!            16 x f16 d, or bf16 where a file has exponents | with a minimum: 16 x f16 m
//!            with sub-blocks:               a vector of 16 x i8 scales for each sub-block
//!            with sub-blocks and a minimum: a vector of 16 x i8 minima for each sub-block
//!            then for each 32 columns (one unit; a block of 256 has eight):
//!            4 to 6 bits: 4 vectors of 16 x u32, byte i of vector j = columns 8 j + i (low) and 8 j + 4 + i (high nibble)
//!            2, 3 bits:   2 vectors of 16 x u32, two bits of columns 16 j + i, 16 j + 4 + i, 16 j + 8 + i, 16 j + 12 + i in
//!                         byte i of vector j, from the lowest up
//!            3, 5, 6 bits:   1, 1 or 2 vectors of 16 x u32, upper bits of columns 4 h + i in byte i (see `upper_bits`)
//!            8 bits:      8 vectors of 16 x u32, byte i of vector j = column 4 j + i
//! ```
//! Caches of keys and values [B, T, H, D] are kept head by head, in groups of sixteen positions:
//!
//! ```text
//! keys16         [D][16 positions]
//! head_major     [16 positions][D]
//! keys16_i8      [D][16 positions] x i8, then [D/32][16 positions] x f32 scale
//! head_major_i8  [16 positions][D] x i8, then [16 positions][D/32] x f32 scale
//! ```
//! The last two hold exactly the f32 rows that `transformer.quantize` returns: an element is its integer times the
//! scale of its block of 32. A group of D = 32 takes 576 bytes, nine cache lines, so that groups begin at cache lines.
//! Zeroed memory represents zeros in all of them.
//!
//! Rows past the last are zero. Scales and minima of sub-blocks become bytes, which one instruction widens to a register:
//! q3_k, q4_k and q5_k take 3 or 4 % more than in the file, q2_k 19 %, iq4_xs 1 %, mxfp4 6 %, formats without scales of four or six bits the same.

use crate::{expr::Expr, types::TensorType};
use kforge_quant::{Block, BlockFormat, Element};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Number of rows or keys that are interleaved.
pub const LANES: usize = 16;

/// Memory layout of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layout {
    /// Row-major, as in files and in the caller's tensors; the last axis is contiguous.
    RowMajor,
    /// A weight [N, K], sixteen rows interleaved, rows padded with zeros to a multiple of sixteen.
    Rows16,
    /// A key cache [B, T, H, D] stored [B, H, T/16, D, 16]: sixteen keys interleaved; T rounded up to sixteen.
    Keys16,
    /// A value cache [B, T, H, D] stored [B, H, T, D], T rounded up to sixteen.
    HeadMajor,
    /// As [`Layout::Keys16`], with 8-bit integers as elements and an f32 scale for each 32 of a row. D is a multiple of
    /// 32; the elements of the type are f32.
    Keys16Int8,
    /// As [`Layout::HeadMajor`], with 8-bit integers and scales likewise.
    HeadMajorInt8,
}

impl Layout {
    const ALL: [Layout; 6] = [
        Layout::RowMajor,
        Layout::Rows16,
        Layout::Keys16,
        Layout::HeadMajor,
        Layout::Keys16Int8,
        Layout::HeadMajorInt8,
    ];

    /// The name in `transformer.layout`.
    pub fn name(self) -> &'static str {
        match self {
            Layout::RowMajor => "row_major",
            Layout::Rows16 => "rows16",
            Layout::Keys16 => "keys16",
            Layout::HeadMajor => "head_major",
            Layout::Keys16Int8 => "keys16_i8",
            Layout::HeadMajorInt8 => "head_major_i8",
        }
    }

    /// Whether a cache is stored as 8-bit integers with scales.
    pub fn is_int8(self) -> bool {
        matches!(self, Layout::Keys16Int8 | Layout::HeadMajorInt8)
    }

    /// Whether sixteen positions of a key cache are interleaved.
    pub fn interleaves_keys(self) -> bool {
        matches!(self, Layout::Keys16 | Layout::Keys16Int8)
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
        Layout::Keys16 | Layout::HeadMajor | Layout::Keys16Int8 | Layout::HeadMajorInt8 => Some(1),
    };
    let mut dims = ty.dims.clone();
    if let Some(axis) = rounded_axis.filter(|axis| *axis < dims.len()) {
        dims[axis] = round(&dims[axis]);
    }
    let scale = match ty.element {
        Element::Quant(format) => {
            let columns = dims.pop().unwrap_or(Expr::Const(0));
            dims.push(columns.ceil_div(Expr::Const(format.block() as i64)));
            match layout {
                Layout::Rows16 => Packed::of(format).bytes / LANES,
                _ => format.block_bytes(),
            }
        }
        _ if layout.is_int8() => {
            let depth = dims.pop().unwrap_or(Expr::Const(0));
            dims.push(depth.ceil_div(Expr::Const(UNIT as i64)));
            UNIT + SCALE_BYTES
        }
        element => element.bytes().unwrap_or(0),
    };
    dims.into_iter().fold(Expr::Const(scale as i64), Expr::times)
}

/// Packs a row-major weight [rows, columns] into `rows16`.
///
/// # Errors
/// If the size of `source` or `target` does not match the shape.
pub fn pack_rows16(
    element: Element,
    rows: usize,
    columns: usize,
    source: &[u8],
    target: &mut [u8],
) -> Result<(), String> {
    let row_bytes =
        element.tensor_bytes(&[1, columns]).ok_or_else(|| format!("{columns} columns are no whole blocks"))?;
    let group_bytes = match element {
        Element::Quant(format) => (columns / format.block()).checked_mul(Packed::of(format).bytes),
        _ => row_bytes.checked_mul(LANES),
    };
    let group_bytes = group_bytes.ok_or_else(|| format!("{columns} columns are too many"))?;
    if Some(source.len()) != row_bytes.checked_mul(rows)
        || Some(target.len()) != group_bytes.checked_mul(rows.div_ceil(LANES))
    {
        return Err(format!("{} bytes are not {rows} x {columns} of {element}", source.len()));
    }
    if row_bytes == 0 || rows == 0 {
        return Ok(());
    }
    target.par_chunks_mut(group_bytes).zip(source.par_chunks(row_bytes * LANES)).for_each(|(target, source)| {
        if source.len() < row_bytes * LANES {
            target.fill(0);
        }
        // The format is a compile-time constant in each instance, so its branches fold.
        match element {
            Element::Quant(format) => {
                kforge_quant::with_format!(format, FORMAT => pack_blocks(FORMAT, row_bytes, source, target));
            }
            Element::F16 | Element::BF16 => interleave::<2>(row_bytes, source, target),
            _ => interleave::<4>(row_bytes, source, target),
        }
    });
    Ok(())
}

/// Bytes of a group that are packed row by row before the next part: they stay in the L1 cache, and each row's part is
/// long enough for prefetching.
const TILE: usize = 16 << 10;

/// Packs one group of float rows: columns in the outer loop, rows in the inner.
fn interleave<const WIDTH: usize>(row_bytes: usize, source: &[u8], target: &mut [u8]) {
    for (tile, target) in target.chunks_mut(TILE).enumerate() {
        let (columns, _) = target.as_chunks_mut::<WIDTH>();
        for (lane, row) in source.chunks_exact(row_bytes).enumerate() {
            let (values, _) = row[tile * TILE / LANES..].as_chunks();
            for (value, column) in values.iter().zip(columns.chunks_exact_mut(LANES)) {
                column[lane] = *value;
            }
        }
    }
}

/// Columns per packed unit, equal to the block of activations that shares a scale, and to that of 8-bit caches.
pub const UNIT: usize = kforge_quant::ACTIVATIONS;

/// Bytes of a scale in an 8-bit cache, an f32.
pub const SCALE_BYTES: usize = 4;

/// Byte offsets of the parts of a packed block: sixteen rows of [`BlockFormat::block`] columns. The scales d are first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Minima, or the scales of the sub-blocks' minima.
    pub min: usize,
    /// Sixteen bytes per sub-block.
    pub scales: usize,
    /// Sixteen bytes per sub-block.
    pub mins: usize,
    pub units: usize,
    /// Bytes per unit.
    pub unit_bytes: usize,
    /// Bytes per block.
    pub bytes: usize,
}

impl Packed {
    pub const fn of(format: BlockFormat) -> Packed {
        let min = 2 * LANES;
        let scales = if format.has_min() { 2 * min } else { min };
        let sub_blocks = if format.has_scales() { LANES * format.block() / format.sub_block() } else { 0 };
        let mins = scales + sub_blocks;
        let units = if format.has_min() { mins + sub_blocks } else { mins };
        let unit_bytes = LANES * UNIT / 8 * format.bits() as usize;
        Packed { min, scales, mins, units, unit_bytes, bytes: units + format.block() / UNIT * unit_bytes }
    }
}

/// Location of the low bits of columns 4 h to 4 h + 3 of a unit: the index of the vector, and the first bit in each byte.
pub const fn low_bits(format: BlockFormat, h: usize) -> (usize, usize) {
    let bits = format.low_bits() as usize;
    (bits * h / 8, bits * h % 8)
}

/// Location of the bits above those: the index of the vector after the low bits', and the first bit in each byte. One
/// shift moves them next to the low bits in four bytes at once.
pub const fn upper_bits(format: BlockFormat, h: usize) -> (usize, usize) {
    let bits = format.high_bits() as usize;
    (bits * h / 8, (format.low_bits() as usize + bits * h) % 8)
}

/// `bits` ones at the bottom of each byte of a word.
pub const fn byte_mask(bits: u32) -> u32 {
    0x0101_0101 * (255 >> (8 - bits))
}

/// Packs one group of quantised rows.
#[inline(always)]
fn pack_blocks(format: BlockFormat, row_bytes: usize, source: &[u8], target: &mut [u8]) {
    let blocks = TILE / Packed::of(format).bytes;
    for (tile, target) in target.chunks_mut(blocks * Packed::of(format).bytes).enumerate() {
        for (lane, row) in source.chunks_exact(row_bytes).enumerate() {
            let row = row[tile * blocks * format.block_bytes()..].chunks_exact(format.block_bytes());
            for (bytes, packed) in row.zip(target.chunks_exact_mut(Packed::of(format).bytes)) {
                pack_block(format, bytes, lane, packed);
            }
        }
    }
}

/// Packs one block of one row.
#[inline(always)]
fn pack_block(format: BlockFormat, bytes: &[u8], lane: usize, packed: &mut [u8]) {
    let at = Packed::of(format);
    packed[2 * lane..2 * lane + 2].copy_from_slice(&format.scale_bits(bytes).to_le_bytes());
    if format.has_min() {
        packed[at.min + 2 * lane..at.min + 2 * lane + 2].copy_from_slice(&format.min(bytes).to_le_bytes());
    }
    if format.has_scales() {
        let (scales, mins) = format.sub_scales(bytes);
        for j in 0..format.block() / format.sub_block() {
            packed[at.scales + LANES * j + lane] = scales[j] as u8;
            if format.has_min() {
                packed[at.mins + LANES * j + lane] = mins[j] as u8;
            }
        }
    }
    for unit in 0..format.block() / UNIT {
        let packed = &mut packed[at.units + unit * at.unit_bytes..][..at.unit_bytes];
        pack_unit(format, format.codes(bytes, unit), lane, packed);
    }
}

/// Packs 32 columns of one row.
#[inline(always)]
fn pack_unit(format: BlockFormat, fours: [u32; UNIT / 4], lane: usize, unit: &mut [u8]) {
    let (vectors, _) = unit.as_chunks_mut::<{ 4 * LANES }>();
    let mut put = |vector: usize, value: u32| {
        vectors[vector][4 * lane..4 * lane + 4].copy_from_slice(&value.to_le_bytes());
    };
    let (mut low, mut upper) = ([0u32; UNIT / 4], [0u32; 2]);
    for (h, four) in fours.into_iter().enumerate() {
        let (vector, bit) = low_bits(format, h);
        low[vector] |= (four & byte_mask(format.low_bits())) << bit;
        if format.high_bits() > 0 {
            let (vector, bit) = upper_bits(format, h);
            upper[vector] |= (four >> format.low_bits() & byte_mask(format.high_bits())) << bit;
        }
    }
    // As many vectors as there are bits.
    let low = low.into_iter().take(format.low_bits() as usize);
    for (vector, value) in low.chain(upper.into_iter().take(format.high_bits() as usize)).enumerate() {
        put(vector, value);
    }
}

/// The element at (row, column) of a packed weight, as f32: the inverse of packing, for tests and tools.
pub fn unpack_rows16(element: Element, columns: usize, packed: &[u8], row: usize, column: usize) -> Option<f32> {
    let (group, lane) = (row / LANES, row % LANES);
    match element {
        Element::Quant(format) => {
            let at = Packed::of(format);
            let index = group * (columns / format.block()) + column / format.block();
            let bytes = packed.chunks_exact(at.bytes).nth(index)?;
            let half = |at: usize| u16::from_le_bytes([bytes[at + 2 * lane], bytes[at + 2 * lane + 1]]);
            let mut block = Block { d: half(0), ..Block::ZERO };
            if format.has_min() {
                block.m = half::f16::from_bits(half(at.min));
            }
            let (j, column) = (column % format.block() / format.sub_block(), column % format.block());
            if format.has_scales() {
                block.scales[j] = bytes[at.scales + LANES * j + lane] as i8;
            }
            if format.has_scales() && format.has_min() {
                block.mins[j] = bytes[at.mins + LANES * j + lane] as i8;
            }
            let unit = &bytes[at.units + column / UNIT * at.unit_bytes..];
            let (h, i) = (column % UNIT / 4, column % 4);
            let byte = |vector: usize| unit[4 * (LANES * vector + lane) + i];
            let bits = |vector: usize, bit, count| byte(vector) >> bit & byte_mask(count) as u8;
            let (vector, bit) = low_bits(format, h);
            let mut code = bits(vector, bit, format.low_bits());
            if format.high_bits() > 0 {
                let (vector, bit) = upper_bits(format, h);
                let upper = bits(format.low_bits() as usize + vector, bit, format.high_bits());
                code |= upper << format.low_bits();
            }
            let (scale, min) = format.factors(&block, j);
            let product = scale * format.integer(code) as f32;
            Some(min.map_or(product, |min| product + min))
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
                let columns = 512;
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
    fn any_number_of_threads_packs_the_same_bytes() {
        let (rows, columns) = (75, 512);
        let elements = BlockFormat::ALL.map(Element::Quant).into_iter().chain([Element::F32, Element::BF16]);
        for element in elements {
            let bytes = element.tensor_bytes(&[rows, columns]).unwrap();
            let source: Vec<u8> = (0..bytes).map(|i| (i * 7919 % 251) as u8).collect();
            let ty = TensorType { dims: [rows, columns].map(|d| Expr::Const(d as i64)).to_vec(), element };
            let size = super::bytes(&ty, Layout::Rows16).as_const().unwrap() as usize;
            let packed = [1, 2, 4].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut packed = vec![1; size];
                pool.install(|| pack_rows16(element, rows, columns, &source, &mut packed)).unwrap();
                packed
            });
            assert!(packed[0] == packed[1] && packed[0] == packed[2], "{element}");
        }
    }

    /// 36 bytes for 32 elements, where f32 takes 128; positions are padded to sixteen.
    #[test]
    fn a_cache_of_8_bits_takes_nine_bytes_for_eight_elements() {
        let cache = |positions, depth| TensorType {
            dims: [2, positions, 3, depth].map(Expr::Const).to_vec(),
            element: Element::F32,
        };
        let size = |ty: &TensorType, layout| bytes(ty, layout).as_const();
        for (int8, float) in [(Layout::Keys16Int8, Layout::Keys16), (Layout::HeadMajorInt8, Layout::HeadMajor)] {
            assert_eq!(size(&cache(17, 64), int8), Some(2 * 32 * 3 * 72));
            assert_eq!(size(&cache(17, 64), float), Some(2 * 32 * 3 * 256));
            assert_eq!(size(&cache(0, 32), int8), Some(0));
            assert_eq!(Layout::from_name(int8.name()), Some(int8));
        }
    }

    #[test]
    fn wrong_sizes_are_errors() {
        assert!(pack_rows16(Element::F32, 2, 3, &[0; 23], &mut [0; 192]).is_err());
        assert!(pack_rows16(Element::Quant(BlockFormat::Q4_0), 1, 33, &[0; 18], &mut [0; 288]).is_err());
    }
}
