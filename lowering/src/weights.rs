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
    layout::{Packed, UNIT, byte_mask, low_bits, upper_bits},
};
use kforge_quant::{BlockFormat, Scale};
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

/// A packed unit of 16 rows by 32 columns: a whole block, or an eighth of a block of 256.
pub struct Block<'c, 'a> {
    memref: V<'c, 'a>,
    pub format: BlockFormat,
    group: V<'c, 'a>,
    block: V<'c, 'a>,
    /// Number of the unit in its block, and its first byte in the block.
    number: V<'c, 'a>,
    unit: V<'c, 'a>,
    /// The scale of the codes: d, times the sub-block's scale if there is one. d alone if a unit has two sub-blocks, whose
    /// integers are then [`integer_scales`](Self::integer_scales) and [`integer_mins`](Self::integer_mins).
    pub scale: V<'c, 'a>,
    /// The minimum, or what scales the minima of the sub-blocks.
    pub min: Option<V<'c, 'a>>,
    /// The offset added per code: the minimum, or -8 d for q4_0. None if a unit has two sub-blocks.
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
            min: None,
            offset: None,
            words: vec![],
            four: None,
        };
        if ahead > 0 {
            new.prefetch(e, ahead);
        }
        new.scale = new.halves(e, 0, scale_type(e, format));
        new.min = format.has_min().then(|| new.halves(e, at.min, e.f16()));
        if !format.has_short_sub_blocks() {
            let small = |table| format.has_scales().then(|| new.integers(e, table, new.number));
            let (scale, min) = (small(at.scales), small(at.mins).filter(|_| format.has_min()));
            Factors { scale: new.scale, offset: new.offset } = new.scaled(e, scale, min);
        }
        new
    }

    /// The factors of a sub-block, of its integers if it has some.
    fn scaled(&self, e: &Emitter<'c, 'a>, scale: Option<V<'c, 'a>>, min: Option<V<'c, 'a>>) -> Factors<'c, 'a> {
        let times = |v: V<'c, 'a>, integers: V<'c, 'a>| {
            v * e.cast("arith.sitofp", e.cast("arith.extsi", integers, e.vi32()), e.vf32())
        };
        let scale = scale.map_or(self.scale, |scale| times(self.scale, scale));
        let offset = match (self.min, min) {
            (Some(m), Some(min)) => Some(-times(m, min)),
            (Some(m), None) => Some(m),
            (None, _) => (self.format.offset() > 0).then(|| scale * -f32::from(self.format.offset())),
        };
        Factors { scale, offset }
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

    /// Loads sixteen floats of 16 bits at a byte offset, widened.
    fn halves(&self, e: &Emitter<'c, 'a>, offset: usize, element: Type<'c>) -> V<'c, 'a> {
        e.widen(e.bitcast(self.bytes(e, e.ci(offset), 2 * LANES), e.vector(LANES, element)))
    }

    /// Entry `index` of a table of sixteen i8 per sub-block.
    fn integers(&self, e: &Emitter<'c, 'a>, table: usize, index: V<'c, 'a>) -> V<'c, 'a> {
        self.bytes(e, index * LANES + table, LANES)
    }

    /// Sixteen i8: the integer scales of columns 0 to 15, or 16 to 31, of a unit of two sub-blocks.
    pub fn integer_scales(&self, e: &Emitter<'c, 'a>, half: usize) -> V<'c, 'a> {
        self.integers(e, Packed::of(self.format).scales, self.number * 2 + half)
    }

    /// The integer minima likewise, of a format that has a minimum.
    pub fn integer_mins(&self, e: &Emitter<'c, 'a>, half: usize) -> V<'c, 'a> {
        self.integers(e, Packed::of(self.format).mins, self.number * 2 + half)
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
        let format = self.format;
        let (vector, bit) = low_bits(format, h);
        let low = part(self.words(e, vector));
        if format.low_bits() == 8 {
            return low;
        }
        let low = if bit == 0 { low } else { low >> bit };
        let low = low & byte_mask(format.low_bits()) as usize;
        if format.high_bits() == 0 {
            return format.codebook().map_or(low, |table| codebook::bytes(e, table, low));
        }
        let (vector, bit) = upper_bits(format, h);
        let upper = part(self.words(e, format.low_bits() as usize + vector));
        let upper = match bit as isize - format.low_bits() as isize {
            0 => upper,
            right @ 1.. => upper >> right.unsigned_abs(),
            left => upper << left.unsigned_abs(),
        };
        low | (upper & (byte_mask(format.high_bits()) << format.low_bits()) as usize)
    }

    /// `q 2^s` of a column as f32, and s; columns must be requested in order.
    pub fn code(&mut self, e: &Emitter<'c, 'a>, column: usize) -> (V<'c, 'a>, usize) {
        let (h, i) = (column / 4, column % 4);
        let signed_byte = |word: V<'c, 'a>| e.same("arith.shrsi", &[word << (24 - 8 * i), e.ci_like(24, e.vi32())]);
        // q 2^s as an integer: the code is left at its position in the word, as f32 represents that exactly too.
        let format = self.format;
        let (q, shift) = if format.low_bits() == 8 {
            (signed_byte(self.words(e, h)), 0)
        } else if format.codebook().is_some() {
            (signed_byte(self.four(e, h)), 0)
        } else if format.high_bits() == 0 {
            let ((vector, bit), bits) = (low_bits(format, h), format.low_bits() as usize);
            let (word, at) = (self.words(e, vector), 8 * i + bit);
            // In the topmost bits the code would include the sign bit.
            if at + bits == 32 { (word >> at, 0) } else { (word & (((1 << bits) - 1) << at), at) }
        } else {
            let codes = self.four(e, h);
            if i == 3 { (codes >> 24, 0) } else { (codes & (255 << (8 * i)), 8 * i) }
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

    /// The factors of sub-block `number` of the unit.
    pub fn factors(&self, e: &Emitter<'c, 'a>, number: usize) -> Factors<'c, 'a> {
        if !self.format.has_short_sub_blocks() {
            return Factors { scale: self.scale, offset: self.offset };
        }
        let min = self.min.map(|_| self.integer_mins(e, number));
        self.scaled(e, Some(self.integer_scales(e, number)), min)
    }
}

/// The type of the scale of a packed block.
fn scale_type<'c>(e: &Emitter<'c, '_>, format: BlockFormat) -> Type<'c> {
    match format.scale_kind() {
        Scale::F16 => e.f16(),
        // bf16, as emitters represent it.
        Scale::Exponent => e.int(16),
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
        let half = |offset: usize, element| {
            let at = lane * 2 + offset;
            let widened = |v| e.cast("arith.extui", v, e.int(16));
            let high = widened(byte(at + 1)) << 8;
            e.widen(e.bitcast(widened(byte(at)) | high, element))
        };
        let sub_block = column / format.sub_block();
        // Entry of a table with sixteen bytes per sub-block.
        let small = |table: usize| {
            let at = sub_block * LANES + lane + table;
            e.cast("arith.sitofp", e.cast("arith.extsi", byte(at), e.int(32)), e.f32())
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
        // `low_bits` and `upper_bits` of any h.
        let place = |first: u32, bits: u32| ((h * bits as usize) / 8, (h * bits as usize + first as usize) % 8);
        let mask = |bits: u32| i64::from(byte_mask(bits) & 255);
        let (low, high) = (format.low_bits(), format.high_bits());
        let (vector, bit) = place(0, low);
        let mut code = bits(vector, bit, mask(low));
        if low == 8 {
            code = e.cast("arith.extsi", e.cast("arith.trunci", code, e.int(8)), e.int(32));
        }
        if high > 0 {
            let (vector, bit) = place(low, high);
            let upper = bits(vector + low as usize, bit, mask(high));
            code = code | (upper << low as usize);
        }
        let integer = match format.codebook() {
            Some(table) => codebook::entry(e, table, code),
            None => code - e.cint(32, format.offset().into()),
        };
        let q = e.cast("arith.sitofp", integer, e.f32());
        let mut scale = half(0, scale_type(e, format));
        if format.has_scales() {
            scale *= small(at.scales);
        }
        let product = q * scale;
        match format.has_min() {
            true if format.has_scales() => product - half(at.min, e.f16()) * small(at.mins),
            true => product + half(at.min, e.f16()),
            false => product,
        }
    }
}
