//! Reading weights, whatever their type and layout, as columns of sixteen rows in f32 registers.
//!
//! A GEMM or GEMV asks for column k of row group g and gets a `vector<16xf32>`, lane = row. For the packed layouts that
//! is one aligned load, plus a shift, a mask, a conversion and an FMA where the weight is quantised; no horizontal
//! operation anywhere. A row-major weight (one that was computed, not loaded) is gathered, slow but legal.

use crate::emit::{Emitter, LANES, V, memref_element};
use kforge_passes::tuner::product::AHEAD;
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

/// Reads columns one after another. Each is emitted where it is asked for, next to its use: columns that all come first
/// would all be alive at once, and an AVX2 machine would spill most of a block.
pub enum Reader<'c, 'a> {
    Packed { memref: V<'c, 'a>, group: V<'c, 'a>, k: V<'c, 'a> },
    Gathered { memref: V<'c, 'a>, rows: Vec<V<'c, 'a>>, k: V<'c, 'a> },
    Block(Block<'c, 'a>),
}

impl<'c, 'a> Reader<'c, 'a> {
    /// Column `k + i`; of a block, `i` grows from one call to the next and stays below 32.
    pub fn column(&mut self, e: &Emitter<'c, 'a>, i: usize) -> V<'c, 'a> {
        match self {
            Reader::Packed { memref, group, k } => e.widen(e.vload(*memref, &[*group, e.add_c(*k, i), e.ci(0)], LANES)),
            Reader::Gathered { memref, rows, k } => {
                let column = e.add_c(*k, i);
                let lanes: Vec<V> = rows.iter().map(|r| e.load(*memref, &[*r, column])).collect();
                e.widen(e.from_elements(&lanes))
            }
            Reader::Block(block) => block.column(e, i),
        }
    }
}

/// A packed block of 16 rows by 32 columns.
pub struct Block<'c, 'a> {
    memref: V<'c, 'a>,
    pub format: BlockFormat,
    group: V<'c, 'a>,
    block: V<'c, 'a>,
    /// The scale d, and what is added to d q: the minimum, or -8 d for q4_0.
    pub scale: V<'c, 'a>,
    pub offset: Option<V<'c, 'a>>,
    /// The fifth bits of all columns.
    pub fifth: Option<V<'c, 'a>>,
    /// The vector of quants in use, and its number.
    word: Option<(usize, V<'c, 'a>)>,
    /// d / 2^s, where it has been used.
    scales: Vec<(usize, V<'c, 'a>)>,
}

impl<'c, 'a> Block<'c, 'a> {
    /// Block `block` of row group `group`; asks for the one `ahead` blocks further on, unless that is 0.
    pub fn new(
        e: &Emitter<'c, 'a>,
        memref: V<'c, 'a>,
        format: BlockFormat,
        group: V<'c, 'a>,
        block: V<'c, 'a>,
        ahead: usize,
    ) -> Self {
        let mut new = Block {
            memref,
            format,
            group,
            block,
            scale: e.vf(0.0),
            offset: None,
            fifth: None,
            word: None,
            scales: vec![],
        };
        if ahead > 0 {
            new.prefetch(e, ahead);
        }
        new.scale = new.halves(e, 0);
        new.offset = match format {
            BlockFormat::Q4_0 => Some(e.mulf(new.scale, e.vf(-8.0))),
            BlockFormat::Q5_0 => Some(e.mulf(new.scale, e.vf(-16.0))),
            _ if format.has_min() => Some(new.halves(e, 2 * LANES)),
            _ => None,
        };
        if matches!(format, BlockFormat::Q5_0 | BlockFormat::Q5_1) {
            new.fifth = Some(new.words(e, 4));
        }
        new
    }

    fn bytes(&self, e: &Emitter<'c, 'a>, offset: usize, count: usize) -> V<'c, 'a> {
        e.vload(self.memref, &[self.group, self.block, e.ci(offset)], count)
    }

    /// Asks for a block further on: rows end and pages change before a hardware prefetcher has caught on.
    fn prefetch(&self, e: &Emitter<'c, 'a>, ahead: usize) {
        for line in (0..packed_block_bytes(self.format)).step_by(64) {
            e.prefetch(self.memref, &[self.group, e.add_c(self.block, ahead), e.ci(line)]);
        }
    }

    /// Sixteen f16 at a byte offset, widened.
    fn halves(&self, e: &Emitter<'c, 'a>, offset: usize) -> V<'c, 'a> {
        e.widen(e.bitcast(self.bytes(e, offset, 2 * LANES), e.vector(LANES, e.f16())))
    }

    /// Vector `index` of the quants.
    pub fn words(&self, e: &Emitter<'c, 'a>, index: usize) -> V<'c, 'a> {
        let quants = if self.format.has_min() { 4 * LANES } else { 2 * LANES };
        e.bitcast(self.bytes(e, quants + 4 * LANES * index, 4 * LANES), e.vi32())
    }

    /// `d q` or `d q + m`, rounded once.
    fn column(&mut self, e: &Emitter<'c, 'a>, column: usize) -> V<'c, 'a> {
        let per_word = if self.format == BlockFormat::Q8_0 { 4 } else { 8 };
        let (index, part) = (column / per_word, column % per_word);
        let word = match self.word {
            Some((current, word)) if current == index => word,
            _ => self.words(e, index),
        };
        self.word = Some((index, word));
        let c = |value| e.ci_like(value, e.vi32());
        // Where a nibble begins in its word.
        let at = 8 * (part % 4) + part / 4 * 4;
        // q 2^shift as an integer.
        let (q, shift) = match self.fifth {
            _ if self.format == BlockFormat::Q8_0 => {
                let left = e.same("arith.shli", &[word, c(24 - 8 * part as i64)]);
                (e.same("arith.shrsi", &[left, c(24)]), 0)
            }
            Some(high) => {
                let nibble = e.same("arith.andi", &[e.same("arith.shrui", &[word, c(at as i64)]), c(15)]);
                let bit = e.same("arith.andi", &[e.same("arith.shrui", &[high, c(column as i64)]), c(1)]);
                (e.same("arith.ori", &[nibble, e.same("arith.shli", &[bit, c(4)])]), 0)
            }
            // Bits 28 to 31 would be a sign.
            None if part == 7 => (e.same("arith.shrui", &[word, c(28)]), 0),
            // A nibble stays where it is: q 2^s is exact in f32, and so is d / 2^s, so their product rounds as d q does.
            None => (e.same("arith.andi", &[word, c(15 << at)]), at),
        };
        let (q, scale) = (e.cast("arith.sitofp", q, e.vf32()), self.scaled(e, shift));
        match self.offset {
            Some(offset) => e.fma(q, scale, offset),
            None => e.mulf(q, scale),
        }
    }

    /// d / 2^shift.
    fn scaled(&mut self, e: &Emitter<'c, 'a>, shift: usize) -> V<'c, 'a> {
        if shift == 0 {
            return self.scale;
        }
        if let Some((_, scale)) = self.scales.iter().find(|(s, _)| *s == shift) {
            return *scale;
        }
        let scale = e.mulf(self.scale, e.vf(1.0 / (1u32 << shift) as f32));
        self.scales.push((shift, scale));
        scale
    }
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
    /// Columns that a [`Reader`] yields: 32 for a block, any number of plain floats.
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

    /// Columns `k..k + count`, both multiples of [`step`](Self::step), of row group `group`; asks for those that are
    /// `ahead` blocks of 32 further on, if it is not 0.
    pub fn reader(
        &self,
        e: &Emitter<'c, 'a>,
        group: V<'c, 'a>,
        k: V<'c, 'a>,
        count: usize,
        ahead: Option<usize>,
    ) -> Reader<'c, 'a> {
        match self.storage {
            Storage::Float(Layout::Rows16) => {
                // Long rows of floats are what hardware prefetchers are made for.
                let ahead = BlockFormat::BLOCK * ahead.unwrap_or(0);
                let per_line = if memref_element(self.memref) == e.f32() { 1 } else { 2 };
                for i in (0..if ahead > 0 { count } else { 0 }).step_by(per_line) {
                    e.prefetch(self.memref, &[group, e.add_c(k, ahead + i), e.ci(0)]);
                }
                Reader::Packed { memref: self.memref, group, k }
            }
            Storage::Float(_) => {
                let last = e.ci(self.rows.saturating_sub(1));
                let row = |lane| e.min(e.add_c(e.mul_c(group, LANES), lane), last);
                Reader::Gathered { memref: self.memref, rows: (0..LANES).map(row).collect(), k }
            }
            Storage::Quant(format) => {
                let block = e.div_rem_c(k, BlockFormat::BLOCK).0;
                Reader::Block(Block::new(e, self.memref, format, group, block, ahead.unwrap_or(AHEAD)))
            }
        }
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
            let (nibble, in_word) = e.div_rem_c(part, 4);
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
