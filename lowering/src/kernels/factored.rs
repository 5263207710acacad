//! Products of float activations with quantised weights, block by block.
//!
//! The scale and offset that the weights of a block share are factored out of its sum:
//! ```text
//! s = 0;  s = fma(q, x, s)                                k ascending through the block
//! sum = fma(s, d, sum);  sum = fma(m, total of x, sum)     blocks ascending
//! ```
//! In a GEMV a weight then costs a mask, a conversion and one multiply-add; dequantising it first would cost one more.
//! Codes are integers, which f32 represents exactly, so a product is rounded less often, not more. A block here is a
//! format's sub-block, of 32 or 16 columns; d is its scale, and m its minimum, or the offset of its codes
//! times -d. The order is the same in GEMV and GEMM, whatever the tile.
//!
//! A GEMV does not shift a code down within its word: it uses it as `q 2^s` and multiplies by `x 2^-s`. Both are exact,
//! so the sum is rounded as that of `q x` (except that activations below 2^-98 lose their last bits).

use crate::{
    emit::{Emitter, LANES, V},
    kernels::shared::load_lanes,
    weights::{Block, Factors, Weight, unshifted},
};
use kforge_program::layout::UNIT;
use kforge_quant::BlockFormat;

/// A row group of a quantised weight.
pub struct Column<'c, 'a> {
    pub weight: Weight<'c, 'a>,
    pub format: BlockFormat,
    pub index: V<'c, 'a>,
}

/// Adds a block's sum `part`, times its scale, to the sum of the blocks before. `offset` is the block's offset, and the
/// [`total`] of its activations that it is multiplied with.
pub fn fold<'c, 'a>(
    e: &Emitter<'c, 'a>,
    sum: V<'c, 'a>,
    part: V<'c, 'a>,
    scale: V<'c, 'a>,
    offset: Option<(V<'c, 'a>, V<'c, 'a>)>,
) -> V<'c, 'a> {
    let sum = e.fma(part, scale, sum);
    offset.map_or(sum, |(offset, total)| e.fma(offset, e.splat(total), sum))
}

/// Columns that share a scale, at most a unit of 32.
pub fn width(format: BlockFormat) -> usize {
    format.sub_block().min(UNIT)
}

/// Whether a format's blocks need the sum of their activations.
pub fn needs_total(format: BlockFormat) -> bool {
    format.has_min() || format.offset() > 0
}

/// The sum of a block's `width` activations; `load` reads sixteen of them. Vectors are added lane by lane, then halves
/// are added pairwise.
pub fn total<'c, 'a>(e: &Emitter<'c, 'a>, width: usize, load: impl Fn(usize) -> V<'c, 'a>) -> V<'c, 'a> {
    let half = |v, width: i64| {
        let part = |from: i64| e.shuffle(v, v, &(from..from + width).collect::<Vec<_>>());
        part(0) + part(width)
    };
    let lanes = (LANES..width).step_by(LANES).fold(load(0), |sum, at| sum + load(at));
    e.extract([8, 4, 2, 1].into_iter().fold(lanes, half), 0)
}

/// A unit of 32 columns of one row group, while its products are summed.
struct Product<'c, 'a> {
    block: Block<'c, 'a>,
    /// The current block's partial sum for each row.
    parts: Vec<V<'c, 'a>>,
}

/// A GEMV: products of the first `rows` rows of `x` with row groups of weights of equal column counts, as `sums[column
/// * rows + r]`. Weights are prefetched `ahead` units of 32 before their use.
pub fn accumulate<'c, 'a>(
    e: &Emitter<'c, 'a>,
    columns: &[Column<'c, 'a>],
    x: V<'c, 'a>,
    rows: usize,
    ahead: usize,
) -> Vec<V<'c, 'a>> {
    let Some(first) = columns.first() else { return vec![] };
    let units = first.weight.columns / UNIT;
    let zeros = vec![e.vf(0.0); columns.len() * rows];
    e.for_(e.ci(0), e.ci(units), 1, &zeros, |e, unit, carried| {
        let mut sums = carried.to_vec();
        let k = unit * UNIT;
        let mut products: Vec<Product> = columns
            .iter()
            .map(|Column { weight, format, index }| Product {
                block: Block::new(e, weight.memref, *format, *index, unit, ahead),
                parts: vec![e.vf(0.0); rows],
            })
            .collect();
        // Sums of the activations of the current blocks, by width and row.
        let mut totals: Vec<(usize, Vec<V>)> = vec![];
        for i in 0..UNIT {
            let xs: Vec<V> = (0..rows).map(|r| e.widen(e.load(x, &[e.ci(r), k + i]))).collect();
            // Activations broadcast to all lanes, times 2^-shift.
            let mut shifted: Vec<(usize, Vec<V>)> = vec![];
            for (product, sums) in products.iter_mut().zip(sums.chunks_exact_mut(rows)) {
                let (q, shift) = product.block.code(e, i);
                let xs = known(&mut shifted, shift, || xs.iter().map(|x| e.splat(unshifted(*x, shift))).collect());
                product.parts.iter_mut().zip(xs).for_each(|(part, x)| *part = e.fma(q, *x, *part));
                let width = width(product.block.format);
                if !(i + 1).is_multiple_of(width) {
                    continue;
                }
                let Factors { scale, offset } = product.block.factors(e, i / width);
                let totals = match offset {
                    None => &[],
                    Some(_) => known(&mut totals, width, || {
                        let first = k + (i + 1 - width);
                        let load = |r| move |at| load_lanes(e, x, &[e.ci(r), first + at], None);
                        (0..rows).map(|r| total(e, width, load(r))).collect()
                    }),
                };
                for (r, (sum, part)) in sums.iter_mut().zip(&mut product.parts).enumerate() {
                    *sum = fold(e, *sum, *part, scale, offset.map(|offset| (offset, totals[r])));
                    *part = e.vf(0.0);
                }
            }
            totals.retain(|(width, _)| !(i + 1).is_multiple_of(*width));
        }
        sums
    })
}

/// The values of a key, computed at its first use.
fn known<T>(made: &mut Vec<(usize, Vec<T>)>, key: usize, make: impl FnOnce() -> Vec<T>) -> &[T] {
    let at = made.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
        made.push((key, make()));
        made.len() - 1
    });
    &made[at].1
}
