//! Activations in blocks of 8-bit integers, and their products with quantised weights.
//!
//! The layout `blocks8` of a row of K activations, K a multiple of 32: for each block of 32
//! ```text
//! 32 x i8 q | f32 d | f32 d times the sum of all q | i16 sum of the first 16 q | i16 sum of the last 16
//! ```
//! The products of a block are summed exactly, as integers; scales are applied once per block: `sum += d_w d_x sum(q_w
//! q_x) + m_w d_x sum(q_x)`, blocks ascending, in one chain whatever the tile. So the result of a row depends neither
//! on its neighbours nor on how the instruction set multiplies. A block of 256 weights corresponds to eight blocks of
//! activations; d_w is then d times the sub-block's scale. Where sub-blocks have 16 columns, two
//! scales are integers: the integer sums are multiplied with them before they are added, which fits in 25 bits. So are
//! their two minima, with the sums of sixteen q.
//!
//! With AVX2 and AVX-512 four products of unsigned codes and signed activations become two 16-bit sums (`vpmaddubsw`).
//! These are accumulated for as long as they cannot overflow and then added pairwise into 32 bits (`vpmaddwd`, which
//! also multiplies with a scale). With VNNI the four go into 32 bits at once (`vpdpbusd`). Other targets use 32-bit
//! multiplications.
//! Signed weights: q4_0 and q5_0 subtract 8 or 16 through their `m_w`; q3_k and q6_k subtract 4 or 32 times
//! the sums of sixteen q, as integers. Signed bytes (q8_0, codebook entries) transfer their sign to the activation; with
//! VNNI they are biased by 128, and the sums of q correct for it.

use crate::{
    emit::{Emitter, LANES, V},
    kernels::shared::{Lanes, store_lanes},
    weights::{Block, Weight},
};
use kforge_quant::{ACTIVATIONS, BlockFormat};
use kforge_target::ByteProducts;
use melior::ir::{Type, ValueLike};

/// Byte offsets of the parts of a block of activations after its integers, and the block's size.
const SCALE: usize = ACTIVATIONS;
const SUM: usize = SCALE + 4;
const HALF_SUMS: usize = SUM + 4;
const BLOCK_BYTES: usize = HALF_SUMS + 4;

/// Bytes of a row of `depth` activations.
pub fn row_bytes(depth: usize) -> usize {
    depth / ACTIVATIONS * BLOCK_BYTES
}

/// Where quantised elements are stored.
#[derive(Clone, Copy)]
pub enum Target<'c, 'a> {
    /// A row of `blocks8`.
    Blocks { memref: V<'c, 'a>, row: V<'c, 'a> },
    /// A row of floats, each `d q`.
    Floats { memref: V<'c, 'a>, row: V<'c, 'a> },
}

/// A block of 32 elements as multiples of `d`: one i32 per element, in two halves of sixteen lanes.
pub struct Rounded<'c, 'a> {
    q: [V<'c, 'a>; 2],
    pub d: V<'c, 'a>,
}

impl<'c, 'a> Rounded<'c, 'a> {
    /// Rounds 32 f32, sixteen lanes each, with the semantics of `transformer.quantize`.
    pub fn new(e: &Emitter<'c, 'a>, x: [V<'c, 'a>; 2]) -> Self {
        // `maximumf` propagates NaN.
        let largest = e.same("arith.maximumf", &[e.same("math.absf", &[x[0]]), e.same("math.absf", &[x[1]])]);
        let largest = e.reduce("maximumf", largest);
        let d = largest / 127.0;
        let some = largest.gt(0.0);
        let scale = e.splat(e.select(some, 127.0 / largest, e.cf(0.0)));
        // Adding 1.5 * 2^23 rounds to the nearest even integer, which is then in the low bits.
        let magic = 12_582_912.0f32;
        let q = x.map(|x| {
            let bits = e.bitcast(x * scale + magic, e.vi32());
            bits - e.ci_like(i64::from(magic.to_bits()), e.vi32())
        });
        Self { q, d }
    }

    /// The elements, `d q`.
    pub fn floats(&self, e: &Emitter<'c, 'a>) -> [V<'c, 'a>; 2] {
        self.q.map(|q| e.cast("arith.sitofp", q, e.vf32()) * e.splat(self.d))
    }

    /// The integers in 8 bits each.
    pub fn bytes(&self, e: &Emitter<'c, 'a>) -> [V<'c, 'a>; 2] {
        self.q.map(|q| e.cast("arith.trunci", q, e.vector(LANES, e.int(8))))
    }
}

/// Stores a value of 32 bits into a buffer of bytes.
pub fn store_word<'c, 'a>(e: &Emitter<'c, 'a>, value: V<'c, 'a>, memref: V<'c, 'a>, at: &[V<'c, 'a>]) {
    e.vstore(e.bitcast(e.splat_to(value, 1), e.vector(4, e.int(8))), memref, at);
}

/// Loads a value of 32 bits from a buffer of bytes.
pub fn load_word<'c, 'a>(e: &Emitter<'c, 'a>, memref: V<'c, 'a>, at: &[V<'c, 'a>], element: Type<'c>) -> V<'c, 'a> {
    e.extract(e.bitcast(e.vload(memref, at, 4), e.vector(1, element)), 0)
}

/// Quantises block `block` of a row; `load` reads sixteen elements starting at a column.
pub fn quantize<'c, 'a>(
    e: &Emitter<'c, 'a>,
    block: V<'c, 'a>,
    load: &dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>) -> V<'c, 'a>,
    target: Target<'c, 'a>,
) {
    let start = block * ACTIVATIONS;
    let columns = [start, start + LANES];
    let rounded = Rounded::new(e, columns.map(|column| load(e, column)));
    match target {
        Target::Floats { memref, row } => {
            for (value, column) in rounded.floats(e).into_iter().zip(columns) {
                store_lanes(e, value, memref, &[row, column], None);
            }
        }
        Target::Blocks { memref, row } => {
            let at = block * BLOCK_BYTES;
            for (i, bytes) in rounded.bytes(e).into_iter().enumerate() {
                e.vstore(bytes, memref, &[row, at + i * LANES]);
            }
            let (d, sums) = (rounded.d, rounded.q.map(|q| e.reduce("add", q)));
            let sum = e.cast("arith.sitofp", sums[0] + sums[1], e.f32());
            let low = sums[0] & 0xffff;
            let halves = low | (sums[1] << 16);
            for (part, value) in [(SCALE, d), (SUM, sum * d), (HALF_SUMS, halves)] {
                store_word(e, value, memref, &[row, at + part]);
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
        load_word(e, self.memref, &[self.at[r], self.block + offset], element)
    }
    /// Activations 4 i to 4 i + 3.
    fn quants(&self, e: &Emitter<'c, 'a>, r: usize, i: usize) -> V<'c, 'a> {
        self.word(e, r, 4 * i, e.int(32))
    }
    fn scale(&self, e: &Emitter<'c, 'a>, r: usize) -> V<'c, 'a> {
        self.word(e, r, SCALE, e.f32())
    }
    /// The scale times the sum of the block.
    fn sum(&self, e: &Emitter<'c, 'a>, r: usize) -> V<'c, 'a> {
        self.word(e, r, SUM, e.f32())
    }
    /// The sums of both halves of the block, as two 16-bit integers in one of 32.
    fn half_sums(&self, e: &Emitter<'c, 'a>, r: usize) -> V<'c, 'a> {
        self.word(e, r, HALF_SUMS, e.int(32))
    }
}

/// How [`accumulate`] iterates over a row group.
#[derive(Clone, Copy, PartialEq)]
pub enum Order {
    /// One pass over all blocks, prefetched this many blocks ahead: a single memory stream.
    Stream(usize),
    /// One pass per register of lanes, so that the sums of more rows stay in registers: for weights in the cache.
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
    let lanes = Lanes::of(e.target);
    let all: Vec<usize> = (0..lanes.parts()).collect();
    let (passes, ahead): (Vec<&[usize]>, usize) = match order {
        Order::Stream(ahead) => (vec![&all], ahead),
        Order::Registers => (all.chunks(1).collect(), 0),
    };
    let blocks = weight.columns / ACTIVATIONS;
    let zero = lanes.split(e, e.vf(0.0))[0];
    let group = |index: &V<'c, 'a>| {
        // parts[p][r]
        let parts: Vec<Vec<V>> = passes
            .iter()
            .flat_map(|parts| {
                let zeros = vec![zero; parts.len() * at.len()];
                let sums = e.for_(e.ci(0), e.ci(blocks), 1, &zeros, |e, block, carried| {
                    let rows = Rows { memref: x, at, block: block * BLOCK_BYTES };
                    let mut block = Block::new(e, weight.memref, format, *index, block, ahead);
                    let sums = parts.iter().zip(carried.chunks_exact(at.len()));
                    sums.flat_map(|(p, sums)| Product { e, lanes, block: &mut block, rows, part: *p }.add(sums))
                        .collect()
                });
                sums.chunks_exact(at.len()).map(<[V]>::to_vec).collect::<Vec<_>>()
            })
            .collect();
        (0..at.len()).map(|r| lanes.join(e, &parts.iter().map(|p| p[r]).collect::<Vec<_>>())).collect::<Vec<_>>()
    };
    indices.iter().flat_map(group).collect()
}

/// The product of one register of a unit's lanes with the rows of a block of activations.
struct Product<'r, 'c, 'a> {
    e: &'r Emitter<'c, 'a>,
    lanes: Lanes,
    block: &'r mut Block<'c, 'a>,
    rows: Rows<'r, 'c, 'a>,
    /// Index of the register.
    part: usize,
}

impl<'c, 'a> Product<'_, 'c, 'a> {
    /// Adds the product to `sums`, one per row.
    fn add(mut self, sums: &[V<'c, 'a>]) -> Vec<V<'c, 'a>> {
        let products = match (self.e.target.byte_products(), self.block.format) {
            (ByteProducts::Widened, _) => self.plain(),
            (ByteProducts::Quads, _) => self.quads(),
            (ByteProducts::Pairs, format) if format.has_signed_bytes() => self.signed(),
            (ByteProducts::Pairs, _) => self.pairs(),
        };
        let Product { e, lanes, rows, .. } = self;
        let scale = self.part(self.block.scale);
        let offset = self.block.offset.map(|offset| self.part(offset));
        let minima = self.minima();
        let add = |(r, (sum, products)): (usize, (&V<'c, 'a>, V<'c, 'a>))| {
            let scale = scale * lanes.splat(e, rows.scale(e, r));
            let sum = e.fma(e.cast("arith.sitofp", products, scale.r#type()), scale, *sum);
            if let Some((m, minima)) = &minima {
                let m = *m * lanes.splat(e, rows.scale(e, r));
                return e.fma(e.cast("arith.sitofp", minima[r], m.r#type()), -m, sum);
            }
            offset.map_or(sum, |offset| e.fma(offset, lanes.splat(e, rows.sum(e, r)), sum))
        };
        sums.iter().zip(products).enumerate().map(add).collect()
    }

    fn part(&self, v: V<'c, 'a>) -> V<'c, 'a> {
        self.lanes.split(self.e, v)[self.part]
    }

    /// Codes of columns 4 h to 4 h + 3.
    fn codes(&mut self, h: usize) -> V<'c, 'a> {
        let (e, lanes, part) = (self.e, self.lanes, self.part);
        self.block.codes(e, h, &|v| lanes.split(e, v)[part])
    }

    /// A 32-bit constant in each lane.
    fn c(&self, value: i64) -> V<'c, 'a> {
        self.e.ci_like(value, self.lanes.ty(self.e, 32))
    }

    /// One zero per row.
    fn zeros(&self) -> Vec<V<'c, 'a>> {
        vec![self.c(0); self.rows.at.len()]
    }

    /// Activations 4 h to 4 h + 3 of a row in each lane.
    fn x(&self, r: usize, h: usize) -> V<'c, 'a> {
        self.lanes.splat(self.e, self.rows.quants(self.e, r, h))
    }

    /// Ranges of column quads that share a scale, one per sub-block; and whether there are two, with integer scales.
    fn halves(&self) -> (Vec<std::ops::Range<usize>>, bool) {
        match self.block.format.has_short_sub_blocks() {
            true => (vec![0..4, 4..8], true),
            false => (std::iter::once(0..8).collect(), false),
        }
    }

    /// The integer scales of a half of a unit, as 32-bit integers.
    fn scales(&self, half: usize) -> V<'c, 'a> {
        let scales = self.e.cast("arith.extsi", self.block.integer_scales(self.e, half), self.e.vi32());
        self.part(scales)
    }

    /// Interleaves the bytes of two vectors of sixteen, takes this register's lanes, and widens them to 16 bits.
    fn interleaved(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        let (e, lanes) = (self.e, LANES / self.lanes.parts());
        let first = self.part * lanes;
        let mask: Vec<i64> = (first..first + lanes).flat_map(|i| [i as i64, (LANES + i) as i64]).collect();
        e.cast("arith.extsi", e.shuffle(a, b, &mask), self.lanes.ty(e, 16))
    }

    /// Of two sub-blocks with minima: what scales the minima, and for each row the sum of the integer minima, each times
    /// the sum of its activations.
    fn minima(&self) -> Option<(V<'c, 'a>, Vec<V<'c, 'a>>)> {
        let (e, lanes) = (self.e, self.lanes);
        let min = self.block.min.filter(|_| self.block.format.has_short_sub_blocks())?;
        let mins = [0, 1].map(|half| self.block.integer_mins(e, half));
        let rows = 0..self.rows.at.len();
        let sums = if e.target.byte_products() == ByteProducts::Widened {
            let mins = mins.map(|mins| self.part(e.cast("arith.extsi", mins, e.vi32())));
            let product = |r, half: usize| mins[half] * lanes.splat(e, self.half_sum(r, half));
            rows.map(|r| product(r, 0) + product(r, 1)).collect()
        } else {
            let mins = self.interleaved(mins[0], mins[1]);
            rows.map(|r| lanes.madd(e, mins, lanes.halves(e, lanes.splat(e, self.rows.half_sums(e, r))))).collect()
        };
        Some((self.part(min), sums))
    }

    /// The sum of half a row's activations as a scalar.
    fn half_sum(&self, r: usize, half: usize) -> V<'c, 'a> {
        let e = self.e;
        let both = self.rows.half_sums(e, r);
        let shift = |name, v| e.same(name, &[v, e.cint(32, 16)]);
        shift("arith.shrsi", if half == 0 { shift("arith.shli", both) } else { both })
    }

    /// Of two sub-blocks, subtracts the code's offset times the scale.
    fn centred(&self, sums: Vec<V<'c, 'a>>) -> Vec<V<'c, 'a>> {
        let format = self.block.format;
        if !format.has_short_sub_blocks() || format.offset() == 0 {
            return sums;
        }
        let (e, lanes) = (self.e, self.lanes);
        let scales = self.interleaved(self.block.integer_scales(e, 0), self.block.integer_scales(e, 1));
        let scales = scales * e.ci_like(-i64::from(self.block.format.offset()), scales.r#type());
        let add = |(r, sum)| {
            let halves = lanes.halves(e, lanes.splat(e, self.rows.half_sums(e, r)));
            sum + lanes.madd(e, scales, halves)
        };
        sums.into_iter().enumerate().map(add).collect()
    }

    /// Products of unsigned codes by `vpmaddubsw`.
    fn pairs(&mut self) -> Vec<V<'c, 'a>> {
        let (e, lanes) = (self.e, self.lanes);
        // Each 16-bit sum holds two products. Codes of 4 bits give at most 127 * 15 each, so eight such pairs stay
        // below 2^15; of 5 bits (127 * 31) four pairs do, of 6 bits (127 * 63) two.
        let most = 128 >> self.block.format.bits();
        let mut sums = self.zeros();
        let (halves, has_scales) = self.halves();
        for (i, half) in halves.into_iter().enumerate() {
            let factor = if has_scales {
                let scales = self.block.integer_scales(e, i);
                self.interleaved(scales, scales)
            } else {
                e.ci_like(1, lanes.ty(e, 16))
            };
            let zeros = vec![e.ci_like(0, lanes.ty(e, 16)); sums.len()];
            let mut pairs = zeros.clone();
            let most = most.min(half.len());
            for h in half {
                let codes = self.codes(h);
                for (r, pair) in pairs.iter_mut().enumerate() {
                    *pair += lanes.maddubs(e, codes, self.x(r, h));
                }
                if (h + 1) % most == 0 {
                    let add = |(sum, pair): (&mut V<'c, 'a>, &V<'c, 'a>)| *sum += lanes.madd(e, *pair, factor);
                    sums.iter_mut().zip(&pairs).for_each(add);
                    pairs.clone_from(&zeros);
                }
            }
        }
        self.centred(sums)
    }

    /// Products by `vpdpbusd`.
    fn quads(&mut self) -> Vec<V<'c, 'a>> {
        let (e, lanes) = (self.e, self.lanes);
        let mut sums = self.zeros();
        let signed = self.block.format.has_signed_bytes();
        if signed {
            // Corrects for the bias: each weight is 128 too large.
            let excess = e.ci_like(-128, lanes.ty(e, 16));
            for (r, sum) in sums.iter_mut().enumerate() {
                let halves = lanes.halves(e, lanes.splat(e, self.rows.half_sums(e, r)));
                *sum = lanes.madd(e, halves, excess);
            }
        }
        let (halves, has_scales) = self.halves();
        for (i, half) in halves.into_iter().enumerate() {
            let mut of_half = if has_scales { self.zeros() } else { sums.clone() };
            for h in half {
                let codes = self.codes(h);
                let codes = if signed { codes ^ 0x8080_8080 } else { codes };
                for (r, sum) in of_half.iter_mut().enumerate() {
                    *sum = lanes.dpbusd(e, *sum, codes, self.x(r, h));
                }
            }
            if has_scales {
                let scale = self.scales(i);
                sums.iter_mut().zip(of_half).for_each(|(sum, half)| *sum += half * scale);
            } else {
                sums = of_half;
            }
        }
        self.centred(sums)
    }

    /// Products of signed bytes by `vpmaddubsw`: |w| times the activation with the sign of w. A 16-bit sum has room for
    /// just two products of at most 128 * 127.
    fn signed(&mut self) -> Vec<V<'c, 'a>> {
        let (e, lanes) = (self.e, self.lanes);
        let one = e.ci_like(1, lanes.ty(e, 16));
        let mut sums = self.zeros();
        for h in 0..8 {
            let weights = lanes.bytes(e, self.codes(h));
            let zero = e.ci_like(0, weights.r#type());
            let size = weights.max(zero - weights);
            let negative = weights.lt(zero);
            for (r, sum) in sums.iter_mut().enumerate() {
                let x = lanes.bytes(e, self.x(r, h));
                let x = if !e.target.has_masks() {
                    e.intrinsic("llvm.x86.avx2.psign.b", &[x, weights], x.r#type())
                } else {
                    e.select(negative, zero - x, x)
                };
                *sum += lanes.madd(e, lanes.maddubs(e, size, x), one);
            }
        }
        sums
    }

    /// Products by 32-bit multiplications.
    fn plain(&mut self) -> Vec<V<'c, 'a>> {
        let (e, lanes) = (self.e, self.lanes);
        let signed = self.block.format.has_signed_bytes();
        let mut sums = self.zeros();
        let (halves, has_scales) = self.halves();
        let offset = self.block.format.offset();
        for (i, half) in halves.into_iter().enumerate() {
            let mut of_half = self.zeros();
            for h in half {
                let codes = self.codes(h);
                let x: Vec<V> = (0..sums.len()).map(|r| self.rows.quants(e, r, h)).collect();
                for byte in 0..4 {
                    // Shifts the byte to the top, then down with extension.
                    let shift = |name, v, by| e.same(name, &[v, e.ci_like(by, v.r#type())]);
                    let byte_of = |v: V<'c, 'a>, right| shift(right, shift("arith.shli", v, 24 - 8 * byte), 24);
                    let weights = byte_of(codes, if signed { "arith.shrsi" } else { "arith.shrui" });
                    for (sum, x) in of_half.iter_mut().zip(&x) {
                        *sum += weights * lanes.splat(e, byte_of(*x, "arith.shrsi"));
                    }
                }
            }
            if has_scales {
                let scale = self.scales(i);
                for (r, (sum, half)) in sums.iter_mut().zip(of_half).enumerate() {
                    let centred = match offset {
                        0 => half,
                        // A power of two.
                        _ => {
                            let by = e.cint(32, offset.trailing_zeros().into());
                            half - lanes.splat(e, e.same("arith.shli", &[self.half_sum(r, i), by]))
                        }
                    };
                    *sum += centred * scale;
                }
            } else {
                sums = of_half;
            }
        }
        sums
    }
}
