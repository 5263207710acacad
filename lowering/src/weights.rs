//! Reads weights of any type and layout as columns of sixteen rows in f32 registers: values of floats, codes of
//! quantised blocks.
//!
//! A GEMM or GEMV requests column k of row group g and gets a `vector<16xf32>`, lane = row. For the packed layouts this
//! is one aligned load, plus a shift, a mask and a conversion where the weight is quantised; there are no horizontal
//! operations. A row-major weight (computed, not loaded) is gathered: supported but slow.

use crate::{
    codebook,
    emit::{Emitter, LANES, V, memref_element},
};
use kforge_program::{
    Layout,
    layout::{Packed, UNIT, upper_bits},
};
use kforge_quant::BlockFormat;
use melior::ir::Type;

/// How a weight [N, K] is stored; determines the type of the kernel's parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Storage {
    /// f32, f16 or bf16 in `layout`.
    Float(Layout),
    /// Blocks in `rows16`.
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

/// Reads columns one after another. Each column's load is emitted next to its use: if all came first, all columns would
/// be live at once, and an AVX2 target would spill most of a block.
pub enum Reader<'c, 'a> {
    Packed { memref: V<'c, 'a>, group: V<'c, 'a>, k: V<'c, 'a> },
    Gathered { memref: V<'c, 'a>, rows: Vec<V<'c, 'a>>, k: V<'c, 'a> },
}

impl<'c, 'a> Reader<'c, 'a> {
    /// Column `k + i`.
    pub fn column(&self, e: &Emitter<'c, 'a>, i: usize) -> V<'c, 'a> {
        match self {
            Reader::Packed { memref, group, k } => e.widen(e.vload(*memref, &[*group, *k + i, e.ci(0)], LANES)),
            Reader::Gathered { memref, rows, k } => {
                let column = *k + i;
                let lanes: Vec<V> = rows.iter().map(|r| e.load(*memref, &[*r, column])).collect();
                e.widen(e.from_elements(&lanes))
            }
        }
    }
}

/// Factors of the codes of a block: the scale, and the offset added per code (the minimum, or the code's offset times
/// the scale).
pub struct Factors<'c, 'a> {
    pub scale: V<'c, 'a>,
    pub offset: Option<V<'c, 'a>>,
}

/// A packed unit of 16 rows by 32 columns: a whole block, or an eighth of a K format's block.
pub struct Block<'c, 'a> {
    memref: V<'c, 'a>,
    pub format: BlockFormat,
    group: V<'c, 'a>,
    block: V<'c, 'a>,
    /// Number of the unit in its block, and its first byte in the block.
    number: V<'c, 'a>,
    unit: V<'c, 'a>,
    /// The scale of the codes: d, times the sub-block's scale for formats with 6-bit scales. A unit has two integer
    /// scales instead in formats that have those ([`integer_scales`](Self::integer_scales)).
    pub scale: V<'c, 'a>,
    /// The offset added per code: the minimum, or -8 d for q4_0. None with integer scales, where `scale` is d alone.
    pub offset: Option<V<'c, 'a>>,
    /// Vectors of the unit that have been loaded.
    words: Vec<(usize, V<'c, 'a>)>,
    /// The codes of the current four columns, and the index of these.
    four: Option<(usize, V<'c, 'a>)>,
}

impl<'c, 'a> Block<'c, 'a> {
    /// Columns `32 index` to `32 index + 31` of row group `group`. Prefetches the unit `ahead` units further on, unless
    /// `ahead` is 0.
    pub fn new(
        e: &Emitter<'c, 'a>,
        memref: V<'c, 'a>,
        format: BlockFormat,
        group: V<'c, 'a>,
        index: V<'c, 'a>,
        ahead: usize,
    ) -> Self {
        let at = Packed::of(format);
        let (block, number) = match format.block() / UNIT {
            1 => (index, e.ci(0)),
            units => index.div_rem(units),
        };
        let unit = number * at.unit_bytes + at.units;
        let mut new = Block {
            memref,
            format,
            group,
            block,
            number,
            unit,
            scale: e.vf(0.0),
            offset: None,
            words: vec![],
            four: None,
        };
        if ahead > 0 {
            new.prefetch(e, ahead);
        }
        new.scale = new.halves(e, 0);
        let min = format.has_min().then(|| new.halves(e, at.min));
        if min.is_some() && format.has_scales() {
            new.scale *= new.small(e, at.scales);
        }
        new.offset = match (format.offset(), min) {
            (_, Some(min)) if format.has_scales() => {
                let scaled = min * new.small(e, at.mins);
                Some(-scaled)
            }
            (_, Some(min)) => Some(min),
            (0, None) => None,
            _ if format.has_scales() => None,
            (offset, None) => Some(new.scale * -f32::from(offset)),
        };
        new
    }

    fn bytes(&self, e: &Emitter<'c, 'a>, offset: V<'c, 'a>, count: usize) -> V<'c, 'a> {
        e.vload(self.memref, &[self.group, self.block, offset], count)
    }

    /// Prefetches the bytes of a later unit: rows end and pages change before a hardware prefetcher has locked on.
    fn prefetch(&self, e: &Emitter<'c, 'a>, ahead: usize) {
        let at = Packed::of(self.format);
        // In a block of several units, each prefetches an equal part of it, including the header.
        let share = at.bytes / (self.format.block() / UNIT);
        for line in (0..share).step_by(64) {
            let offset = self.number * share + (ahead * share + line);
            e.prefetch(self.memref, &[self.group, self.block, offset]);
        }
    }

    /// Loads sixteen f16 at a byte offset, widened.
    fn halves(&self, e: &Emitter<'c, 'a>, offset: usize) -> V<'c, 'a> {
        e.widen(e.bitcast(self.bytes(e, e.ci(offset), 2 * LANES), e.vector(LANES, e.f16())))
    }

    /// Loads the unit's sixteen bytes of a table of u8, as f32.
    fn small(&self, e: &Emitter<'c, 'a>, table: usize) -> V<'c, 'a> {
        let bytes = self.bytes(e, self.number * LANES + table, LANES);
        e.cast("arith.sitofp", e.cast("arith.extui", bytes, e.vi32()), e.vf32())
    }

    /// Sixteen i8: the integer scales of columns 0 to 15, or 16 to 31, of a unit.
    pub fn integer_scales(&self, e: &Emitter<'c, 'a>, half: usize) -> V<'c, 'a> {
        let at = Packed::of(self.format).scales + LANES * half;
        self.bytes(e, self.number * (2 * LANES) + at, LANES)
    }

    /// Vector `index` of the unit.
    fn words(&mut self, e: &Emitter<'c, 'a>, index: usize) -> V<'c, 'a> {
        if let Some((_, words)) = self.words.iter().find(|(i, _)| *i == index) {
            return *words;
        }
        let bytes = self.bytes(e, self.unit + 4 * LANES * index, 4 * LANES);
        let words = e.bitcast(bytes, e.vi32());
        self.words.push((index, words));
        words
    }

    /// The codes of columns 4 h to 4 h + 3, or their codebook entries, as four bytes per lane; `part` selects from the
    /// sixteen lanes those that are wanted.
    pub fn codes(&mut self, e: &Emitter<'c, 'a>, h: usize, part: &dyn Fn(V<'c, 'a>) -> V<'c, 'a>) -> V<'c, 'a> {
        let bits = self.format.bits();
        if bits == 8 {
            return part(self.words(e, h));
        }
        let nibbles = part(self.words(e, h / 2));
        let low = if h.is_multiple_of(2) { nibbles } else { nibbles >> 4 };
        let low = low & 0x0f0f_0f0f;
        if bits == 4 {
            return self.format.codebook().map_or(low, |table| codebook::bytes(e, table, low));
        }
        let (vector, bit) = upper_bits(self.format, h);
        let upper = part(self.words(e, 4 + vector));
        let upper = match bit as isize - 4 {
            0 => upper,
            right @ 1.. => upper >> right.unsigned_abs(),
            left => upper << left.unsigned_abs(),
        };
        let mask = if bits == 5 { 0x1010_1010 } else { 0x3030_3030 };
        low | (upper & mask)
    }

    /// `q 2^s` of a column as f32, and s; columns must be requested in order.
    pub fn code(&mut self, e: &Emitter<'c, 'a>, column: usize) -> (V<'c, 'a>, usize) {
        let (h, i) = (column / 4, column % 4);
        let signed_byte = |word: V<'c, 'a>| e.same("arith.shrsi", &[word << (24 - 8 * i), e.ci_like(24, e.vi32())]);
        // q 2^s as an integer: the code is left at its position in the word, as f32 represents that exactly too.
        let (q, shift) = match self.format.bits() {
            8 => (signed_byte(self.words(e, h)), 0),
            4 if self.format.codebook().is_some() => (signed_byte(self.four(e, h)), 0),
            4 => {
                let (word, at) = (self.words(e, h / 2), 8 * i + 4 * (h % 2));
                match at {
                    // In bits 28 to 31 the code would include the sign bit.
                    28 => (word >> 28, 0),
                    at => (word & (15 << at), at),
                }
            }
            _ => {
                let codes = self.four(e, h);
                match i {
                    3 => (codes >> 24, 0),
                    i => (codes & (255 << (8 * i)), 8 * i),
                }
            }
        };
        (e.cast("arith.sitofp", q, e.vf32()), shift)
    }

    /// The codes of columns 4 h to 4 h + 3, computed once for the four columns.
    fn four(&mut self, e: &Emitter<'c, 'a>, h: usize) -> V<'c, 'a> {
        let codes = match self.four {
            Some((current, codes)) if current == h => codes,
            _ => self.codes(e, h, &|v| v),
        };
        self.four = Some((h, codes));
        codes
    }

    /// The factors of sub-block `number` of the unit: two with integer scales, else one.
    pub fn factors(&self, e: &Emitter<'c, 'a>, number: usize) -> Factors<'c, 'a> {
        if !self.format.has_int8_scales() {
            return Factors { scale: self.scale, offset: self.offset };
        }
        let scales = e.cast("arith.extsi", self.integer_scales(e, number), e.vi32());
        let scale = self.scale * e.cast("arith.sitofp", scales, e.vf32());
        Factors { scale, offset: Some(scale * -f32::from(self.format.offset())) }
    }
}

/// A value times 2^-shift.
pub fn unshifted<'c, 'a>(value: V<'c, 'a>, shift: usize) -> V<'c, 'a> {
    match shift {
        0 => value,
        _ => value * (1.0 / (1u32 << shift) as f32),
    }
}

impl Storage {
    /// The parameter's memref: [groups, K, 16] floats, [groups, blocks of K, bytes] i8, or [N, K] row-major.
    pub fn memref<'c>(self, e: &Emitter<'c, '_>, rows: usize, columns: usize, element: Type<'c>) -> Type<'c> {
        let groups = Some(rows.div_ceil(LANES));
        match self {
            Storage::Float(Layout::Rows16) => e.memref(&[groups, Some(columns), Some(LANES)], element),
            Storage::Float(_) => e.memref(&[Some(rows), Some(columns)], element),
            Storage::Quant(format) => {
                let blocks = columns / format.block();
                e.memref(&[groups, Some(blocks), Some(Packed::of(format).bytes)], e.int(8))
            }
        }
    }
}

impl<'c, 'a> Weight<'c, 'a> {
    /// Whether a column is a plain f32 vector load, so that a GEMM needs no panel.
    pub fn streams_f32(&self, e: &Emitter<'c, 'a>) -> bool {
        self.storage == Storage::Float(Layout::Rows16) && memref_element(self.memref) == e.f32()
    }

    /// Columns `k..k + count` of row group `group` of floats in `layout`. Prefetches those `ahead` times 32 columns
    /// further on, unless `ahead` is 0.
    pub fn reader(
        &self,
        e: &Emitter<'c, 'a>,
        layout: Layout,
        group: V<'c, 'a>,
        k: V<'c, 'a>,
        count: usize,
        ahead: usize,
    ) -> Reader<'c, 'a> {
        match layout {
            Layout::Rows16 => {
                let ahead = UNIT * ahead;
                let per_line = if memref_element(self.memref) == e.f32() { 1 } else { 2 };
                for i in (0..if ahead > 0 { count } else { 0 }).step_by(per_line) {
                    e.prefetch(self.memref, &[group, k + (ahead + i), e.ci(0)]);
                }
                Reader::Packed { memref: self.memref, group, k }
            }
            _ => {
                let last = e.ci(self.rows.saturating_sub(1));
                let row = |lane| (group * LANES + lane).min(last);
                Reader::Gathered { memref: self.memref, rows: (0..LANES).map(row).collect(), k }
            }
        }
    }

    /// One element as an f32 scalar, for a gather of rows (an embedding).
    pub fn element(&self, e: &Emitter<'c, 'a>, row: V<'c, 'a>, column: V<'c, 'a>) -> V<'c, 'a> {
        let Storage::Quant(format) = self.storage else {
            return if self.storage == Storage::Float(Layout::Rows16) {
                let (group, lane) = row.div_rem(LANES);
                e.widen(e.load(self.memref, &[group, column, lane]))
            } else {
                e.widen(e.load(self.memref, &[row, column]))
            };
        };
        let at = Packed::of(format);
        let (group, lane) = row.div_rem(LANES);
        let (block, column) = column.div_rem(format.block());
        let byte = |at| e.load(self.memref, &[group, block, at]);
        let half = |offset: usize| {
            let at = lane * 2 + offset;
            let widened = |v| e.cast("arith.extui", v, e.int(16));
            let high = widened(byte(at + 1)) << 8;
            e.widen(e.bitcast(widened(byte(at)) | high, e.f16()))
        };
        let sub_block = column / format.sub_block();
        // Entry of a table with sixteen bytes per sub-block.
        let small = |table: usize, extend: &str| {
            let at = sub_block * LANES + lane + table;
            e.cast("arith.sitofp", e.cast(extend, byte(at), e.int(32)), e.f32())
        };
        let (unit, column) = column.div_rem(UNIT);
        let unit = unit * at.unit_bytes + at.units;
        let (h, i) = column.div_rem(4);
        // Bits of this row's word of a vector, right-shifted.
        let bits = |vector: V<'c, 'a>, shift: V<'c, 'a>, mask: i64| {
            let word = vector * (4 * LANES) + lane * 4;
            let int = e.cast("arith.extui", byte(unit + word + i), e.int(32));
            let shift = e.cast("arith.index_cast", shift, e.int(32));
            (int >> shift) & e.cint(32, mask)
        };
        let code = if format.bits() == 8 {
            e.cast("arith.extsi", e.cast("arith.trunci", bits(h, e.ci(0), 255), e.int(8)), e.int(32))
        } else {
            let (vector, high) = h.div_rem(2);
            let low = bits(vector, high * 4, 15);
            match format.bits() as usize - 4 {
                0 => low,
                // See `upper_bits`.
                count => {
                    let vector = h * count / 8;
                    let bit = (h * count + 4) % 8;
                    let upper = bits(vector + 4, bit, (1 << count) - 1);
                    low | (upper << 4)
                }
            }
        };
        let integer = match format.codebook() {
            Some(table) => codebook::entry(e, table, code),
            None => code - e.cint(32, format.offset().into()),
        };
        let q = e.cast("arith.sitofp", integer, e.f32());
        let signed = format.has_int8_scales();
        let mut scale = half(0);
        if format.has_scales() {
            scale *= small(at.scales, if signed { "arith.extsi" } else { "arith.extui" });
        }
        let product = q * scale;
        match format.has_min() {
            true if format.has_scales() => product - half(at.min) * small(at.mins, "arith.extui"),
            true => product + half(at.min),
            false => product,
        }
    }
}
