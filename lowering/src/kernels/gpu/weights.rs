//! Weights as the threads of a workgroup read them: 16 bytes per thread, coalesced.
//!
//! The layouts are the CPU's. In `rows16` a thread takes a quad of rows, as one vec4 per column: 16 bytes of a
//! quantised unit hold the codes of four rows and eight columns (four of q8_0; the low bits of
//! q2_k's and q3_k's sixteen columns serve two threads); 16 bytes of floats hold four rows of
//! one column (eight rows of f16 or bf16). So every load is a whole vector, all rows share the activations, and threads
//! need no reduction before the last column.

use super::{
    buffer::Buffer,
    workgroup::{Split, Workgroup},
};
use crate::{
    codebook,
    emit::{Emitter, V, memref_element},
    weights::Storage,
};
use kforge_program::{
    Layout,
    layout::{LANES, Packed, UNIT},
};
use kforge_quant::{BlockFormat, Scale};
use kforge_target::Adapter;
use melior::ir::{Type, ValueLike};
use std::cell::RefCell;

/// How a weight [N, K] is stored in its buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Quant(BlockFormat),
    /// f32 in `rows16`, one column per step, so that loads of adjacent threads coalesce. Also f16, in a kernel that
    /// multiplies f16 without conversion.
    Float,
    /// f16, or bf16 if `bf16`, in `rows16`; one column per step.
    Half {
        bf16: bool,
    },
    /// Row-major floats, `count` columns per step.
    RowMajor {
        count: usize,
    },
}

/// A weight seen by a kernel under construction.
pub struct Weight<'c, 'a> {
    pub kind: Kind,
    pub rows: usize,
    pub columns: usize,
    buffer: Buffer<'c, 'a>,
    split: Option<Split<'c, 'a>>,
}

/// Four rows by some columns.
pub struct Slice<'c, 'a> {
    /// Per column, one vec4 of f32 per quad of rows: weights, or codes if there are factors.
    pub columns: Vec<Vec<V<'c, 'a>>>,
    /// Scale and offset of codes, each for the four rows: `weight = scale * code + offset`.
    pub factors: Option<(V<'c, 'a>, Option<V<'c, 'a>>)>,
}

impl Kind {
    /// `element` is the tensor's element type, if it is not quantised.
    pub fn new<'c>(e: &Emitter<'c, '_>, storage: Storage, columns: usize, element: Type<'c>) -> Kind {
        match storage {
            Storage::Quant(format) => Kind::Quant(format),
            Storage::Float(Layout::Rows16) if element == e.f32() => Kind::Float,
            Storage::Float(Layout::Rows16) => Kind::Half { bf16: element == Type::bfloat16(e.context) },
            Storage::Float(_) => Kind::RowMajor { count: if columns.is_multiple_of(4) { 4 } else { 1 } },
        }
    }

    /// The parameter's memref type.
    pub fn memref<'c>(self, e: &Emitter<'c, '_>, adapter: Adapter, element: Type<'c>) -> Type<'c> {
        match self {
            Kind::Quant(_) | Kind::Half { .. } => e.memref(&[None], e.vector(4, e.int(32))),
            Kind::Float => e.memref(&[None], e.vector(4, element)),
            Kind::RowMajor { count } => super::buffer::buffer_type(e, adapter, element, count == 4),
        }
    }

    /// Threads per step.
    pub fn threads(self) -> usize {
        match self {
            Kind::Quant(format) => 4 * UNIT / self.count_of(format),
            Kind::Float | Kind::RowMajor { .. } => 4,
            Kind::Half { .. } => 2,
        }
    }

    fn count_of(self, format: BlockFormat) -> usize {
        8.min(UNIT / format.low_bits() as usize)
    }

    /// Columns per thread and step.
    pub fn count(self) -> usize {
        match self {
            Kind::Quant(format) => self.count_of(format),
            Kind::Float | Kind::Half { .. } => 1,
            Kind::RowMajor { count } => count,
        }
    }

    /// Columns per step, over all its threads.
    pub fn width(self) -> usize {
        match self {
            Kind::Quant(_) => UNIT,
            _ => self.count(),
        }
    }

    /// Quads of rows per thread.
    pub fn quads(self) -> usize {
        if matches!(self, Kind::Half { .. }) { 2 } else { 1 }
    }

    /// The thread's first quad of rows, and its first column in a step.
    pub fn place<'c, 'a>(self, e: &Emitter<'c, 'a>, thread: V<'c, 'a>) -> (V<'c, 'a>, V<'c, 'a>) {
        match self {
            Kind::Quant(_) => {
                let (vector, four) = thread.div_rem(4);
                (four, vector * self.count())
            }
            _ => (thread * self.quads(), e.ci(0)),
        }
    }
}

impl<'c, 'a> Weight<'c, 'a> {
    /// The weight that is operand `operand` of a kernel.
    pub fn new(
        kind: Kind,
        (rows, columns): (usize, usize),
        operand: usize,
        workgroup: &Workgroup<'c, 'a>,
        buffers: &[Buffer<'c, 'a>],
    ) -> Self {
        Weight { kind, rows, columns, buffer: buffers[operand], split: workgroup.splits[operand].clone() }
    }

    /// The slice of thread `thread` in step `step` of row group `group`.
    pub fn slice(&self, e: &Emitter<'c, 'a>, group: V<'c, 'a>, step: V<'c, 'a>, thread: V<'c, 'a>) -> Slice<'c, 'a> {
        if self.split.is_some() {
            return self.decode(e, group, step, thread, &self.fetch(e, group, step, thread));
        }
        self.slice_of(e, group, step, thread, &|at| e.load(self.buffer.memref, &[at]))
    }

    /// The loads of [`slice`](Self::slice) alone, for [`decode`](Self::decode).
    pub fn fetch(&self, e: &Emitter<'c, 'a>, group: V<'c, 'a>, step: V<'c, 'a>, thread: V<'c, 'a>) -> Vec<V<'c, 'a>> {
        let fetched = RefCell::new(vec![]);
        // Values computed from the loads here are unused and removed as dead code.
        let Some(Split { memrefs, rows }) = &self.split else {
            self.slice_of(e, group, step, thread, &|at| {
                let value = e.load(self.buffer.memref, &[at]);
                fetched.borrow_mut().push(value);
                value
            });
            return fetched.into_inner();
        };
        let (piece, group) = group.div_rem(rows / LANES);
        let ty = memref_element(self.buffer.memref);
        let anything = if self.kind == Kind::Float { e.cf_like(0.0, ty) } else { e.ci_like(0, ty) };
        self.slice_of(e, group, step, thread, &|at| {
            fetched.borrow_mut().push(at);
            anything
        });
        // One switch over the pieces covers all of a thread's loads.
        let places = fetched.into_inner();
        let load = |e: &Emitter<'c, 'a>, i: usize| places.iter().map(|at| e.load(memrefs[i], &[*at])).collect();
        e.switch(piece, memrefs.len(), &vec![ty; places.len()], load)
    }

    /// [`slice`](Self::slice) of values fetched with the same arguments.
    pub fn decode(
        &self,
        e: &Emitter<'c, 'a>,
        group: V<'c, 'a>,
        step: V<'c, 'a>,
        thread: V<'c, 'a>,
        fetched: &[V<'c, 'a>],
    ) -> Slice<'c, 'a> {
        let rest = RefCell::new(fetched.iter());
        let next = |_| *rest.borrow_mut().next().expect("as many loads as were fetched");
        self.slice_of(e, group, step, thread, &next)
    }

    fn slice_of(
        &self,
        e: &Emitter<'c, 'a>,
        group: V<'c, 'a>,
        step: V<'c, 'a>,
        thread: V<'c, 'a>,
        load: &dyn Fn(V<'c, 'a>) -> V<'c, 'a>,
    ) -> Slice<'c, 'a> {
        let (four, _) = self.kind.place(e, thread);
        let plain = |columns| Slice { columns, factors: None };
        match self.kind {
            Kind::Quant(format) => self.block(e, format, group, step, thread, load),
            Kind::Float => {
                let column = group * self.columns + step;
                plain(vec![vec![e.widen(load(column * 4 + four))]])
            }
            Kind::Half { bf16 } => {
                let column = group * self.columns + step;
                let words = load(column * 2 + thread);
                plain(vec![(0..2).map(|four| halves(e, words, four, bf16)).collect()])
            }
            Kind::RowMajor { count } => {
                let row = group * LANES + four * 4;
                let last = e.ci(self.rows.saturating_sub(1));
                let first = |i| (row + i).min(last) * self.columns;
                let rows: Vec<Vec<V>> = (0..4)
                    .map(|i| match count {
                        4 => {
                            let at = first(i) / 4 + step;
                            let four = self.buffer.load_four_by(e, at, load);
                            (0..4).map(|lane| e.extract(four, lane)).collect()
                        }
                        _ => vec![self.buffer.load_by(e, first(i) + step, load)],
                    })
                    .collect();
                let column = |i: usize| vec![e.from_elements(&[rows[0][i], rows[1][i], rows[2][i], rows[3][i]])];
                plain((0..count).map(column).collect())
            }
        }
    }

    /// A slice of a quantised unit.
    fn block(
        &self,
        e: &Emitter<'c, 'a>,
        format: BlockFormat,
        group: V<'c, 'a>,
        unit: V<'c, 'a>,
        thread: V<'c, 'a>,
        load: &dyn Fn(V<'c, 'a>) -> V<'c, 'a>,
    ) -> Slice<'c, 'a> {
        let at = Packed::of(format);
        let sixteens = |bytes: usize| bytes / 16;
        let (vector, four) = thread.div_rem(4);
        let (block, number) = match format.block() / UNIT {
            1 => (unit, e.ci(0)),
            units => unit.div_rem(units),
        };
        let block = group * (self.columns / format.block()) + block;
        let base = block * sixteens(at.bytes);
        // The thread's four of sixteen floats of 16 bits, and of sixteen bytes.
        let half_table = |offset: usize, bf16: bool| {
            let (sixteen, pair) = four.div_rem(2);
            let words = load(base + sixteens(offset) + sixteen);
            let two = |i| two_floats(e, pick(e, &[e.extract(words, i), e.extract(words, i + 2)], pair), bf16);
            e.from_elements(&[two(0), two(1)].concat())
        };
        let byte_table = |offset: usize, index: V<'c, 'a>| {
            let words = load(base + sixteens(offset) + index);
            let words: Vec<V> = (0..4).map(|i| e.extract(words, i)).collect();
            e.bytes_of(pick(e, &words, four), "arith.extsi")
        };
        // Of two in a unit, the one that has the thread's columns.
        let sub_block = match format.has_short_sub_blocks() {
            true => number * 2 + vector / (UNIT / 2 / self.kind.count()),
            false => number,
        };
        let scaled = |v: V<'c, 'a>, table| if format.has_scales() { v * byte_table(table, sub_block) } else { v };
        let scale = scaled(half_table(0, format.scale_kind() == Scale::Exponent), at.scales);
        let offset = format.has_min().then(|| {
            let min = scaled(half_table(at.min, false), at.mins);
            if format.has_scales() { -min } else { min }
        });
        let codes = base + sixteens(at.units) + number * sixteens(at.unit_bytes);
        let (low_bits, high_bits) = (format.low_bits() as usize, format.high_bits() as usize);
        // Of a vector with the low bits of more columns than a thread's, each of these threads takes its part.
        let quads = self.kind.count() / 4;
        let words = match UNIT / low_bits / self.kind.count() {
            1 => load(codes + thread),
            _ => {
                let (vector, part) = vector.div_rem(2);
                let bit = e.cast("arith.index_cast", part * (low_bits * quads), e.int(32));
                load(codes + vector * 4 + four) >> e.splat_to(bit, 4)
            }
        };
        let int = words.r#type();
        let constant = |value: i64| e.ci_like(value, int);
        let shifted = |v, right: i64| match right {
            0 => v,
            1.. => v >> constant(right),
            _ => v << constant(-right),
        };
        let and = |v, mask| v & constant(mask);
        // Int-to-float conversion by magic number: the bits, at bit `at` of the mantissa of a float whose exponent
        // gives that bit the value 1, minus the float without them. The code that means zero is subtracted in the same
        // step.
        let float = |bits: V<'c, 'a>, at: u32, zero: f32| {
            let exponent = 150 - at;
            let whole = bits | constant(i64::from(exponent) << 23);
            let value = e.bitcast(whole, e.vector(4, e.f32()));
            value - (f32::from_bits(exponent << 23) + zero)
        };
        let factors = Some((scale, offset));
        if format.bits() == 8 {
            // Signed bytes, biased by 128.
            let words = words ^ constant(0x8080_8080u32 as i32 as i64);
            let column = |i: i64| {
                // A byte must fit in the 23 mantissa bits.
                let at = 8 * (i % 2);
                vec![float(and(shifted(words, 8 * i - at), 255 << at), at as u32, 128.0)]
            };
            return Slice { columns: (0..4).map(column).collect(), factors };
        }
        // Upper bits of each four columns, shifted so that byte i holds those of column i in its low bits (`upper_bits`).
        let uppers: Vec<V> = match high_bits {
            0 => vec![],
            _ => {
                let vectors = if high_bits == 1 { e.ci(0) } else { vector / 2 };
                let place = codes + (vectors + low_bits) * 4;
                let upper = load(place + four);
                let bit = |quad: usize| {
                    let h = vector * quads + quad;
                    let bit = (h * high_bits + low_bits) % 8;
                    e.splat_to(e.cast("arith.index_cast", bit, e.int(32)), 4)
                };
                (0..quads).map(|quad| upper >> bit(quad)).collect()
            }
        };
        let zero = f32::from(format.offset());
        // A code must fit in the 23 mantissa bits.
        let right = 16 + low_bits as i64;
        let far = shifted(words, right);
        let ones = |bits: usize, at: i64| ((1 << bits) - 1) << at;
        let column = |i: usize| {
            let (quad, byte) = (i / 4, i as i64 % 4);
            let from = 8 * byte + (low_bits * quad) as i64;
            let (at, source) = if from > 16 { (from - right, far) } else { (from, words) };
            let low = and(source, ones(low_bits, at));
            if let Some(table) = format.codebook() {
                let entry = codebook::entry(e, table, and(shifted(words, from), 15));
                return vec![e.cast("arith.sitofp", entry, e.vector(4, e.f32()))];
            }
            let code = match uppers.get(quad) {
                None => low,
                Some(upper) => {
                    let above = at + low_bits as i64;
                    low | and(shifted(*upper, 8 * byte - above), ones(high_bits, above))
                }
            };
            vec![float(code, at as u32, zero)]
        };
        Slice { columns: (0..4 * quads).map(column).collect(), factors }
    }
}

/// Selects `values[number]` by a binary tree of selects.
fn pick<'c, 'a>(e: &Emitter<'c, 'a>, values: &[V<'c, 'a>], number: V<'c, 'a>) -> V<'c, 'a> {
    match values {
        [value] => *value,
        _ => {
            let (low, high) = values.split_at(values.len() / 2);
            let is_low = number.lt(low.len());
            let rest = number - low.len();
            e.select(is_low, pick(e, low, number), pick(e, high, rest))
        }
    }
}

/// Rows `4 four` to `4 four + 3` of eight f16 or bf16 in four words, as f32.
fn halves<'c, 'a>(e: &Emitter<'c, 'a>, words: V<'c, 'a>, four: usize, bf16: bool) -> V<'c, 'a> {
    let two = |i: usize| two_floats(e, e.extract(words, 2 * four + i), bf16);
    e.from_elements(&[two(0), two(1)].concat())
}

/// The two f16 or bf16 of a word, as f32.
fn two_floats<'c, 'a>(e: &Emitter<'c, 'a>, word: V<'c, 'a>, bf16: bool) -> [V<'c, 'a>; 2] {
    match bf16 {
        false => {
            let halves = e.halves_of(word);
            [e.extract(halves, 0), e.extract(halves, 1)]
        }
        true => {
            let low = word << 16;
            let high = word & e.cint(32, -65536);
            [low, high].map(|bits| e.bitcast(bits, e.f32()))
        }
    }
}

impl<'c, 'a> Slice<'c, 'a> {
    /// The dequantised weights, per column and quad of rows.
    pub fn weights(&self, e: &Emitter<'c, 'a>) -> Vec<Vec<V<'c, 'a>>> {
        let Some((scale, offset)) = self.factors else { return self.columns.clone() };
        let weight = |code: &V<'c, 'a>| match offset {
            Some(offset) => e.fma(*code, scale, offset),
            None => *code * scale,
        };
        self.columns.iter().map(|quads| quads.iter().map(weight).collect()).collect()
    }
}
