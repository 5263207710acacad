//! Reading weights, whatever their type and layout, as columns of sixteen rows in f32 registers.
//!
//! A GEMM or GEMV asks for column k of row group g and gets a `vector<16xf32>`, lane = row. For the packed layouts that
//! is one aligned load, plus a shift, a mask, a conversion and an FMA where the weight is quantised; no horizontal
//! operation anywhere. A row-major weight (one that was computed, not loaded) is gathered, slow but legal.

use crate::emit::{Emitter, LANES, V, memref_element};
use kforge_program::Layout;
use kforge_quant::BlockFormat;
use melior::ir::Type;

/// How a weight [N, K] is stored, which decides the type of the kernel's parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Storage {
    /// f32, f16 or bf16 in `layout`.
    Float(Layout),
    /// Blocks of 32 in `rows16`.
    Quant(BlockFormat),
}

/// A weight seen by a kernel under construction.
#[derive(Clone, Copy)]
pub struct Weight<'c, 'a> {
    pub storage: Storage,
    pub rows: usize,
    pub columns: usize,
    pub memref: V<'c, 'a>,
}

/// Bytes of a packed block: sixteen rows of 32 columns.
pub fn packed_block_bytes(format: BlockFormat) -> usize {
    LANES * format.block_bytes()
}

impl Storage {
    /// The parameter's memref: [groups, K, 16] floats, [groups, K / 32, bytes] i8, or [N, K] row-major.
    pub fn memref<'c>(self, e: &Emitter<'c, '_>, rows: usize, columns: usize, element: Type<'c>) -> Type<'c> {
        let groups = Some(rows.div_ceil(LANES));
        match self {
            Storage::Float(Layout::Rows16) => e.memref(&[groups, Some(columns), Some(LANES)], element),
            Storage::Float(_) => e.memref(&[Some(rows), Some(columns)], element),
            Storage::Quant(format) => {
                let blocks = columns / BlockFormat::BLOCK;
                e.memref(&[groups, Some(blocks), Some(packed_block_bytes(format))], e.int(8))
            }
        }
    }
}

impl<'c, 'a> Weight<'c, 'a> {
    /// Columns that [`columns`](Self::columns) yields best at once: 32 for a block, else 1.
    pub fn step(&self) -> usize {
        match self.storage {
            Storage::Quant(_) => BlockFormat::BLOCK,
            Storage::Float(_) => 1,
        }
    }

    /// Whether a column is a plain f32 vector load, so that a GEMM needs no dequantised panel.
    pub fn streams_f32(&self, e: &Emitter<'c, 'a>) -> bool {
        self.storage == Storage::Float(Layout::Rows16) && memref_element(self.memref) == e.f32()
    }

    /// Columns k..k + count of row group g, k a multiple of [`step`](Self::step).
    pub fn load(&self, e: &Emitter<'c, 'a>, group: V<'c, 'a>, k: V<'c, 'a>, count: usize) -> Vec<V<'c, 'a>> {
        match self.storage {
            Storage::Float(Layout::Rows16) => (0..count)
                .map(|i| e.widen(e.vload(self.memref, &[group, e.add_c(k, i), e.ci(0)], LANES)))
                .collect(),
            Storage::Float(_) => {
                let last = e.ci(self.rows.saturating_sub(1));
                let rows: Vec<V> =
                    (0..LANES).map(|lane| e.min(e.add_c(e.mul_c(group, LANES), lane), last)).collect();
                (0..count)
                    .map(|i| {
                        let column = e.add_c(k, i);
                        let lanes: Vec<V> = rows.iter().map(|r| e.load(self.memref, &[*r, column])).collect();
                        e.widen(e.from_elements(&lanes))
                    })
                    .collect()
            }
            Storage::Quant(format) => self.block(e, format, group, e.div_rem_c(k, BlockFormat::BLOCK).0),
        }
    }

    /// The 32 columns of a packed block: `d * q` or `d * q + m`, rounded once.
    fn block(&self, e: &Emitter<'c, 'a>, format: BlockFormat, group: V<'c, 'a>, block: V<'c, 'a>) -> Vec<V<'c, 'a>> {
        let bytes = |offset: usize, count: usize| e.vload(self.memref, &[group, block, e.ci(offset)], count);
        let halves = |offset| e.widen(e.bitcast(bytes(offset, 2 * LANES), e.vector(LANES, e.f16())));
        let words = |offset| e.bitcast(bytes(offset, 4 * LANES), e.vi32());
        let c = |value| e.ci_like(value, e.vi32());
        let d = halves(0);
        let minimum = format.has_min().then(|| halves(2 * LANES));
        let quants = if format.has_min() { 4 * LANES } else { 2 * LANES };

        let fifth = matches!(format, BlockFormat::Q5_0 | BlockFormat::Q5_1).then(|| words(quants + 16 * LANES));
        let bias = match format {
            BlockFormat::Q4_0 => 8,
            BlockFormat::Q5_0 => 16,
            _ => 0,
        };
        let mut columns = Vec::with_capacity(BlockFormat::BLOCK);
        let per_word = if format == BlockFormat::Q8_0 { 4 } else { 8 };
        let packed: Vec<V> = (0..BlockFormat::BLOCK / per_word).map(|i| words(quants + 4 * LANES * i)).collect();
        for column in 0..BlockFormat::BLOCK {
            let (q, part) = (packed[column / per_word], column % per_word);
            let q = if format == BlockFormat::Q8_0 {
                let left = e.same("arith.shli", &[q, c(24 - 8 * part as i64)]);
                e.same("arith.shrsi", &[left, c(24)])
            } else {
                let nibble = e.same("arith.andi", &[e.same("arith.shrui", &[q, c(4 * part as i64)]), c(15)]);
                match fifth {
                    None => nibble,
                    Some(high) => {
                        let bit = e.same("arith.andi", &[e.same("arith.shrui", &[high, c(column as i64)]), c(1)]);
                        e.same("arith.ori", &[nibble, e.same("arith.shli", &[bit, c(4)])])
                    }
                }
            };
            let q = if bias == 0 { q } else { e.sub(q, c(bias)) };
            let q = e.cast("arith.sitofp", q, e.vf32());
            columns.push(match minimum {
                Some(m) => e.fma(q, d, m),
                None => e.mulf(q, d),
            });
        }
        columns
    }

    /// One element as an f32 scalar, for a gather of rows (an embedding).
    pub fn element(&self, e: &Emitter<'c, 'a>, row: V<'c, 'a>, column: V<'c, 'a>) -> V<'c, 'a> {
        let Storage::Quant(format) = self.storage else {
            return if self.storage == Storage::Float(Layout::Rows16) {
                let (group, lane) = e.div_rem_c(row, LANES);
                e.widen(e.load(self.memref, &[group, column, lane]))
            } else {
                e.widen(e.load(self.memref, &[row, column]))
            };
        };
        let (group, lane) = e.div_rem_c(row, LANES);
        let (block, column) = e.div_rem_c(column, BlockFormat::BLOCK);
        let byte = |offset: V<'c, 'a>| e.load(self.memref, &[group, block, offset]);
        let half = |offset: usize| {
            let at = e.add_c(e.mul_c(lane, 2), offset);
            let widened = |v| e.cast("arith.extui", v, e.int(16));
            let high = e.same("arith.shli", &[widened(byte(e.add_c(at, 1))), e.cint(16, 8)]);
            e.widen(e.bitcast(e.same("arith.ori", &[widened(byte(at)), high]), e.f16()))
        };
        let d = half(0);
        let quants = if format.has_min() { 4 * LANES } else { 2 * LANES };
        let lane_bytes = e.mul_c(lane, 4);
        let int = |v| e.cast("arith.extui", v, e.int(32));
        let q = if format == BlockFormat::Q8_0 {
            let (word, part) = e.div_rem_c(column, 4);
            let at = e.add_c(e.add(e.add(e.mul_c(word, 4 * LANES), lane_bytes), part), quants);
            e.cast("arith.extsi", byte(at), e.int(32))
        } else {
            let (word, part) = e.div_rem_c(column, 8);
            let (in_word, nibble) = e.div_rem_c(part, 2);
            let at = e.add_c(e.add(e.add(e.mul_c(word, 4 * LANES), lane_bytes), in_word), quants);
            let shift = e.cast("arith.index_cast", e.mul_c(nibble, 4), e.int(32));
            let low = e.same("arith.andi", &[e.same("arith.shrui", &[int(byte(at)), shift]), e.cint(32, 15)]);
            if matches!(format, BlockFormat::Q5_0 | BlockFormat::Q5_1) {
                let (in_lane, bit) = e.div_rem_c(column, 8);
                let at = e.add_c(e.add(lane_bytes, in_lane), quants + 16 * LANES);
                let shift = e.cast("arith.index_cast", bit, e.int(32));
                let high = e.same("arith.andi", &[e.same("arith.shrui", &[int(byte(at)), shift]), e.cint(32, 1)]);
                e.same("arith.ori", &[low, e.same("arith.shli", &[high, e.cint(32, 4)])])
            } else {
                low
            }
        };
        let bias = match format {
            BlockFormat::Q4_0 => 8,
            BlockFormat::Q5_0 => 16,
            _ => 0,
        };
        let q = e.cast("arith.sitofp", e.sub(q, e.cint(32, bias)), e.f32());
        let scaled = e.mulf(q, d);
        if format.has_min() { e.addf(scaled, half(2 * LANES)) } else { scaled }
    }
}
