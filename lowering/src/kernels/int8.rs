//! Activations in blocks of 8-bit integers, and their products with quantised weights.
//!
//! The layout `blocks8` of a row of K activations, K a multiple of 32: for each block of 32
//! ```text
//! 32 x i8 q | f32 d | f32 d times the sum of all q
//! ```
//! The products of a block are summed as integers, exactly; scales are applied once a block:
//! `sum += d_w d_x sum(q_w q_x) + m_w d_x sum(q_x)`, blocks ascending, in one chain whatever the tile. So rows do not
//! depend on their neighbours here either, nor on the instruction set's way of multiplying.
//!
//! With AVX2 and AVX-512 four products of unsigned nibbles and signed activations become two 16-bit sums
//! (`vpmaddubsw`), which are added up for as long as they cannot overflow and then paired into 32 bits (`vpmaddwd`).
//! With VNNI the four go into 32 bits at once (`vpdpbusd`).
//! Eight-bit weights are signed and would saturate it; they are widened and go to `vpmaddwd` at once. Elsewhere the
//! products are 32-bit multiplications.

use crate::{
    emit::{Emitter, LANES, V},
    kernels::shared::{Lanes, store_lanes},
    math::CmpF,
    weights::{Block, Weight},
};
use kforge_passes::isa::Isa;
use kforge_quant::BlockFormat;
use melior::ir::{Type, ValueLike};

/// Bytes of a block of 32 activations.
const BLOCK_BYTES: usize = BlockFormat::BLOCK + 8;

/// Bytes of a row of `depth` activations.
pub fn row_bytes(depth: usize) -> usize {
    depth / BlockFormat::BLOCK * BLOCK_BYTES
}

/// Where quantised elements go.
#[derive(Clone, Copy)]
pub enum Target<'c, 'a> {
    /// A row of `blocks8`.
    Blocks { memref: V<'c, 'a>, row: V<'c, 'a> },
    /// A row of floats, each `d q`.
    Floats { memref: V<'c, 'a>, row: V<'c, 'a> },
}

/// Quantises block `block` of a row: `load` reads sixteen elements from a column on.
pub fn quantize<'c, 'a>(
    e: &Emitter<'c, 'a>,
    block: V<'c, 'a>,
    load: &dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>) -> V<'c, 'a>,
    target: Target<'c, 'a>,
) {
    let start = e.mul_c(block, BlockFormat::BLOCK);
    let columns = [start, e.add_c(start, LANES)];
    let x = columns.map(|column| load(e, column));
    // The maximum that a NaN survives.
    let largest = e.same("arith.maximumf", &[e.same("math.absf", &[x[0]]), e.same("math.absf", &[x[1]])]);
    let largest = e.reduce("maximumf", largest);
    let d = e.divf(largest, e.cf(127.0));
    let some = e.cmpf(CmpF::Ogt, largest, e.cf(0.0));
    let scale = e.splat(e.select(some, e.divf(e.cf(127.0), largest), e.cf(0.0)));
    // Adding 1.5 * 2^23 rounds to the nearest even integer, which then stands in the low bits.
    let magic = 12_582_912.0f32;
    let q = x.map(|x| {
        let bits = e.bitcast(e.addf(e.mulf(x, scale), e.vf(magic)), e.vi32());
        e.sub(bits, e.ci_like(i64::from(magic.to_bits()), e.vi32()))
    });
    match target {
        Target::Floats { memref, row } => {
            for (q, column) in q.iter().zip(columns) {
                let value = e.mulf(e.cast("arith.sitofp", *q, e.vf32()), e.splat(d));
                store_lanes(e, value, memref, &[row, column], None);
            }
        }
        Target::Blocks { memref, row } => {
            let at = e.mul_c(block, BLOCK_BYTES);
            for (i, q) in q.iter().enumerate() {
                let bytes = e.cast("arith.trunci", *q, e.vector(LANES, e.int(8)));
                e.vstore(bytes, memref, &[row, e.add_c(at, i * LANES)]);
            }
            let sum = e.cast("arith.sitofp", e.reduce("add", e.add(q[0], q[1])), e.f32());
            for (i, value) in [d, e.mulf(sum, d)].into_iter().enumerate() {
                let bytes = e.bitcast(e.splat_to(value, 1), e.vector(4, e.int(8)));
                e.vstore(bytes, memref, &[row, e.add_c(at, BlockFormat::BLOCK + 4 * i)]);
            }
        }
    }
}

/// Rows of `blocks8`.
#[derive(Clone, Copy)]
struct Rows<'r, 'c, 'a> {
    memref: V<'c, 'a>,
    at: &'r [V<'c, 'a>],
    /// First byte of the block.
    block: V<'c, 'a>,
}

impl<'c, 'a> Rows<'_, 'c, 'a> {
    /// Four bytes of a row's block as a scalar.
    fn word(&self, e: &Emitter<'c, 'a>, r: usize, offset: usize, element: Type<'c>) -> V<'c, 'a> {
        let bytes = e.vload(self.memref, &[self.at[r], e.add_c(self.block, offset)], 4);
        e.extract(e.bitcast(bytes, e.vector(1, element)), 0)
    }
    /// Activations 4 i to 4 i + 3.
    fn quants(&self, e: &Emitter<'c, 'a>, r: usize, i: usize) -> V<'c, 'a> {
        self.word(e, r, 4 * i, e.int(32))
    }
    fn scale(&self, e: &Emitter<'c, 'a>, r: usize) -> V<'c, 'a> {
        self.word(e, r, BlockFormat::BLOCK, e.f32())
    }
    /// The scale times the sum of the block.
    fn sum(&self, e: &Emitter<'c, 'a>, r: usize) -> V<'c, 'a> {
        self.word(e, r, BlockFormat::BLOCK + 4, e.f32())
    }
}

/// How [`accumulate`] goes through a row group.
#[derive(Clone, Copy, PartialEq)]
pub enum Order {
    /// Once, from its first block to its last, asked for so many blocks ahead: memory sees one stream.
    Stream(usize),
    /// Once for each register of columns, so that the sums of more rows stay in registers: for weights in the cache.
    Registers,
}

/// The products of rows `at` of `x` with row groups `indices` of a quantised weight of `depth` columns:
/// `sums[g * at.len() + r]`.
pub fn accumulate<'c, 'a>(
    e: &Emitter<'c, 'a>,
    weight: &Weight<'c, 'a>,
    format: BlockFormat,
    indices: &[V<'c, 'a>],
    x: V<'c, 'a>,
    at: &[V<'c, 'a>],
    order: Order,
) -> Vec<V<'c, 'a>> {
    let lanes = Lanes::of(e.isa);
    let all: Vec<usize> = (0..lanes.parts()).collect();
    let (passes, ahead): (Vec<&[usize]>, usize) = match order {
        Order::Stream(ahead) => (vec![&all], ahead),
        Order::Registers => (all.chunks(1).collect(), 0),
    };
    let blocks = weight.columns / BlockFormat::BLOCK;
    let zero = lanes.split(e, e.vf(0.0))[0];
    let group = |index: &V<'c, 'a>| {
        // parts[p][r]
        let parts: Vec<Vec<V>> = passes
            .iter()
            .flat_map(|parts| {
                let zeros = vec![zero; parts.len() * at.len()];
                let sums = e.for_(e.ci(0), e.ci(blocks), 1, &zeros, |e, block, carried| {
                    let rows = Rows { memref: x, at, block: e.mul_c(block, BLOCK_BYTES) };
                    let block = Block::new(e, weight.memref, format, *index, block, ahead);
                    let sums = parts.iter().zip(carried.chunks_exact(at.len()));
                    sums.flat_map(|(p, sums)| add_block(e, lanes, &block, &rows, *p, sums)).collect()
                });
                sums.chunks_exact(at.len()).map(<[V]>::to_vec).collect::<Vec<_>>()
            })
            .collect();
        (0..at.len()).map(|r| lanes.join(e, &parts.iter().map(|p| p[r]).collect::<Vec<_>>())).collect::<Vec<_>>()
    };
    indices.iter().flat_map(group).collect()
}

/// The sums of register `p` of a block's columns, one for each row, with the block added.
fn add_block<'c, 'a>(
    e: &Emitter<'c, 'a>,
    lanes: Lanes,
    block: &Block<'c, 'a>,
    rows: &Rows<'_, 'c, 'a>,
    p: usize,
    sums: &[V<'c, 'a>],
) -> Vec<V<'c, 'a>> {
    let products = match (e.isa, block.format) {
        (Isa::Sse2 | Isa::Neon, _) => plain(e, lanes, block, rows, p),
        (_, BlockFormat::Q8_0) => bytes(e, lanes, block, rows, p),
        _ => nibbles(e, lanes, block, rows, p),
    };
    let scale = lanes.split(e, block.scale)[p];
    let offset = block.offset.map(|offset| lanes.split(e, offset)[p]);
    let add = |(r, (sum, products)): (usize, (&V<'c, 'a>, V<'c, 'a>))| {
        let scale = e.mulf(scale, lanes.splat(e, rows.scale(e, r)));
        let sum = e.fma(e.cast("arith.sitofp", products, scale.r#type()), scale, *sum);
        offset.map_or(sum, |offset| e.fma(offset, lanes.splat(e, rows.sum(e, r)), sum))
    };
    sums.iter().zip(products).enumerate().map(add).collect()
}

/// Sums of products of a register of a block's columns, one for each row, by `vpmaddubsw` or `vpdpbusd`.
fn nibbles<'c, 'a>(
    e: &Emitter<'c, 'a>,
    lanes: Lanes,
    block: &Block<'c, 'a>,
    rows: &Rows<'_, 'c, 'a>,
    p: usize,
) -> Vec<V<'c, 'a>> {
    // Two products of at most 127 * 15 are in each 16-bit sum; eight such pairs stay below 2^15, of 127 * 31 four.
    let pairs = if block.fifth.is_some() { 4 } else { 8 };
    let words: Vec<V> = (0..4).map(|i| lanes.split(e, block.words(e, i))[p]).collect();
    let c = |value: i64| e.ci_like(value, words[0].r#type());
    let fifth = block.fifth.map(|high| lanes.split(e, high)[p]);
    let mut sums: Vec<Option<V>> = vec![None; rows.at.len()];
    let mut halves = sums.clone();
    for half in 0..8 {
        let low = if half % 2 == 0 { words[half / 2] } else { e.same("arith.shrui", &[words[half / 2], c(4)]) };
        let mut weights = e.same("arith.andi", &[low, c(0x0f0f_0f0f)]);
        if let Some(high) = fifth {
            // Four bits, spread over four bytes.
            let bits = e.same("arith.andi", &[e.same("arith.shrui", &[high, c(4 * half as i64)]), c(15)]);
            let bits = e.same("arith.andi", &[e.mul(bits, c(0x0020_4081)), c(0x0101_0101)]);
            weights = e.same("arith.ori", &[weights, e.same("arith.shli", &[bits, c(4)])]);
        }
        for (r, (sum, so_far)) in sums.iter_mut().zip(&mut halves).enumerate() {
            let x = lanes.splat(e, rows.quants(e, r, half));
            if e.isa == Isa::Avx512Vnni {
                *sum = Some(lanes.dpbusd(e, sum.unwrap_or_else(|| c(0)), weights, x));
                continue;
            }
            let products = lanes.maddubs(e, weights, x);
            let half_sum = so_far.map_or(products, |so_far| e.add(so_far, products));
            *so_far = Some(half_sum);
            if (half + 1) % pairs == 0 {
                let paired = lanes.madd(e, half_sum, e.ci_like(1, half_sum.r#type()));
                *sum = Some(sum.map_or(paired, |sum| e.add(sum, paired)));
                *so_far = None;
            }
        }
    }
    sums.into_iter().flatten().collect()
}

/// The same of signed 8-bit weights: even and odd columns widened to 16 bits, then `vpmaddwd`.
fn bytes<'c, 'a>(
    e: &Emitter<'c, 'a>,
    lanes: Lanes,
    block: &Block<'c, 'a>,
    rows: &Rows<'_, 'c, 'a>,
    p: usize,
) -> Vec<V<'c, 'a>> {
    let widen = |word: V<'c, 'a>| {
        let halves = lanes.halves(e, word);
        let eight = e.ci_like(8, halves.r#type());
        let even = e.same("arith.shrsi", &[e.same("arith.shli", &[halves, eight]), eight]);
        [even, e.same("arith.shrsi", &[halves, eight])]
    };
    let mut sums: Vec<Option<V>> = vec![None; rows.at.len()];
    for i in 0..8 {
        let weights = widen(lanes.split(e, block.words(e, i))[p]);
        for (r, sum) in sums.iter_mut().enumerate() {
            for (w, x) in weights.iter().zip(widen(lanes.splat(e, rows.quants(e, r, i)))) {
                let products = lanes.madd(e, *w, x);
                *sum = Some(sum.map_or(products, |sum| e.add(sum, products)));
            }
        }
    }
    sums.into_iter().flatten().collect()
}

/// The same with 32-bit multiplications, for every format.
fn plain<'c, 'a>(
    e: &Emitter<'c, 'a>,
    lanes: Lanes,
    block: &Block<'c, 'a>,
    rows: &Rows<'_, 'c, 'a>,
    p: usize,
) -> Vec<V<'c, 'a>> {
    let part = |v: V<'c, 'a>| lanes.split(e, v)[p];
    let zero = part(e.ci_like(0, e.vi32()));
    let c = |value: i64| e.ci_like(value, zero.r#type());
    let is_byte = block.format == BlockFormat::Q8_0;
    let fifth = block.fifth.map(part);
    let mut sums = vec![zero; rows.at.len()];
    for i in 0..8 {
        let word = part(block.words(e, if is_byte { i } else { i / 2 }));
        let x: Vec<V> = (0..rows.at.len()).map(|r| rows.quants(e, r, i)).collect();
        for byte in 0..4 {
            let signed = |word: V<'c, 'a>, c: &dyn Fn(i64) -> V<'c, 'a>| {
                e.same("arith.shrsi", &[e.same("arith.shli", &[word, c(24 - 8 * byte)]), c(24)])
            };
            let weight = if is_byte {
                signed(word, &c)
            } else {
                let nibble = e.same("arith.shrui", &[word, c(8 * byte + 4 * (i as i64 % 2))]);
                let nibble = e.same("arith.andi", &[nibble, c(15)]);
                fifth.map_or(nibble, |high| {
                    let bit = e.same("arith.shrui", &[high, c(4 * i as i64 + byte)]);
                    let bit = e.same("arith.shli", &[e.same("arith.andi", &[bit, c(1)]), c(4)]);
                    e.same("arith.ori", &[nibble, bit])
                })
            };
            for (sum, x) in sums.iter_mut().zip(&x) {
                let x = signed(*x, &|value| e.cint(32, value));
                *sum = e.add(*sum, e.mul(weight, lanes.splat(e, x)));
            }
        }
    }
    sums
}
