//! Loads blocks of a matrix product's operands from global into workgroup memory.
//!
//! A tile is BM rows by BN columns; a part is BK columns of K. Each thread owns items of either operand: for
//! activations four columns of a row, for a weight what [`Weight::fetch`] loads. Items wait in registers while the
//! previous part is multiplied; then the kernel stores them in workgroup memory in its own order.
//! Workgroup memory holds one part at a time. Double buffering would save a barrier per part but take twice the bytes,
//! and a driver may run only as many workgroups on a multiprocessor as fit into 48 KiB: two alternating workgroups hide
//! more latency.

use super::{buffer::Buffer, linear::Kinds, weights::Weight, workgroup::Workgroup};
use crate::{
    emit::{Emitter, V, memref_element},
    group::Result,
    kernels::linear::{Linear, Section},
};
use kforge_program::layout::LANES;
use melior::ir::{Type, ValueLike, operation::OperationRef};

/// The tile loader of a kernel: which operands, by which threads, in which parts.
pub struct TileLoader<'k, 'c, 'a> {
    pub linear: &'k Linear<'k, 'c, 'a>,
    pub kinds: &'k Kinds,
    pub workgroup: &'k Workgroup<'c, 'a>,
    pub buffers: &'k [Buffer<'c, 'a>],
    /// BM, BN, BK.
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    /// Whether adjacent threads take rows four apart, and columns of K two apart, which in workgroup memory lie in
    /// different banks than adjacent ones.
    pub spread: bool,
    /// Whether the next part is loaded before the barrier that the multiplication of this part waits for, so that a
    /// driver cannot sink the loads to their uses. That pays if there are registers for them.
    pub early: bool,
}

/// Values that a thread has loaded of a part: of the activations, and of each weight, item by item.
pub struct Part<'c, 'a> {
    x: Vec<V<'c, 'a>>,
    w: Vec<Vec<Vec<V<'c, 'a>>>>,
    /// First column of K.
    k: V<'c, 'a>,
}

impl<'c, 'a> Part<'c, 'a> {
    fn values(&self) -> Vec<V<'c, 'a>> {
        self.x.iter().chain(self.w.iter().flatten().flatten()).copied().collect()
    }

    /// The same items with other values, of the part that starts at column `k`.
    fn with(&self, values: &[V<'c, 'a>], k: V<'c, 'a>) -> Part<'c, 'a> {
        let mut values = values.iter().copied();
        let mut next = |_: &V<'c, 'a>| values.next().expect("as many values as the part has");
        let x = self.x.iter().map(&mut next).collect();
        let mut item = |item: &Vec<_>| item.iter().map(&mut next).collect();
        let w = self.w.iter().map(|weight| weight.iter().map(&mut item).collect()).collect();
        Part { x, w, k }
    }
}

/// Place of an item: row group, step and thread within the step.
type Place<'c, 'a> = [V<'c, 'a>; 3];

impl<'c, 'a> TileLoader<'_, 'c, 'a> {
    /// The weights of a section.
    pub fn weights(&self, section: &Section<'c, 'a>) -> Result<'c, 'a, Vec<Weight<'c, 'a>>> {
        let weight = |root: &OperationRef<'c, 'a>| {
            let (operand, (_, rows, columns)) = self.linear.stored(*root)?;
            let kind = self.kinds.of(operand).expect("every root's weight has a kind");
            Ok(Weight::new(kind, (rows, columns), operand, self.workgroup, self.buffers))
        };
        section.roots.iter().map(weight).collect()
    }

    /// Sums a tile over K. For each part, `keep` stores it in workgroup memory and `sum` returns the sums with that
    /// part added, while the next part is being loaded.
    pub fn each_part(
        &self,
        e: &Emitter<'c, 'a>,
        weights: &[Weight<'c, 'a>],
        tile: (V<'c, 'a>, V<'c, 'a>),
        sums: &[V<'c, 'a>],
        keep: impl Fn(&Emitter<'c, 'a>, &Part<'c, 'a>),
        sum: impl Fn(&Emitter<'c, 'a>, &[V<'c, 'a>]) -> Vec<V<'c, 'a>>,
    ) -> Vec<V<'c, 'a>> {
        let parts = self.linear.depth.div_ceil(self.depth);
        let first = self.fetch(e, weights, tile, e.ci(0));
        let inits = [sums, &first.values()].concat();
        let mut sums_and_part = e.for_(e.ci(0), e.ci(parts), 1, &inits, |e, number, values| {
            let (sums, fetched) = values.split_at(sums.len());
            // All threads have finished reading the previous part.
            e.barrier();
            keep(e, &first.with(fetched, number * self.depth));
            if !self.early {
                e.barrier();
            }
            // The last iteration loads the last part again, unused.
            let next = (number + 1).min(parts.saturating_sub(1));
            let next = self.fetch(e, weights, tile, next);
            if self.early {
                e.barrier();
            }
            [sum(e, sums), next.values()].concat()
        });
        sums_and_part.truncate(sums.len());
        sums_and_part
    }

    /// Loads part `number`; columns past K are zero in the activations.
    fn fetch(
        &self,
        e: &Emitter<'c, 'a>,
        weights: &[Weight<'c, 'a>],
        (row, column): (V<'c, 'a>, V<'c, 'a>),
        number: V<'c, 'a>,
    ) -> Part<'c, 'a> {
        let k = number * self.depth;
        let x = self.fetch_activations(e, row, number * (self.depth / 4));
        let w = weights.iter().map(|weight| self.fetch_weights(e, weight, column, k)).collect();
        Part { x, w, k }
    }

    /// Calls `keep` with the tile row, the column quad and the vec4 value of each activation item of a part.
    pub fn each_activation(
        &self,
        e: &Emitter<'c, 'a>,
        part: &Part<'c, 'a>,
        keep: impl Fn(&Emitter<'c, 'a>, V<'c, 'a>, V<'c, 'a>, V<'c, 'a>),
    ) {
        self.each(e, self.rows * self.depth / 4, &part.x, |e, i, value| {
            let (row, four) = self.activation(i);
            keep(e, row, four, *value);
        });
    }

    /// Tile row and column quad of activation item `i`.
    fn activation(&self, i: V<'c, 'a>) -> (V<'c, 'a>, V<'c, 'a>) {
        let (row, four) = i.div_rem(self.depth / 4);
        if !(self.spread && self.rows.is_multiple_of(8)) {
            return (row, four);
        }
        // Permutes each eight rows to 0, 4, 1, 5, 2, 6, 3, 7.
        let (eight, of_eight) = row.div_rem(8);
        let (half, odd) = of_eight.div_rem(2);
        (eight * 8 + odd * 4 + half, four)
    }

    /// Stores each weight of a part, columns `column..column + BN` of the result, in its memory of `memories`: per
    /// column of K one row of vec4 of `element`; rows are `pitch` vectors apart.
    pub fn keep_weights(
        &self,
        e: &Emitter<'c, 'a>,
        weights: &[Weight<'c, 'a>],
        column: V<'c, 'a>,
        part: &Part<'c, 'a>,
        memories: &[V<'c, 'a>],
        (element, pitch): (Type<'c>, usize),
    ) {
        let kept = e.vector(4, element);
        for ((weight, fetched), memory) in weights.iter().zip(&part.w).zip(memories) {
            self.each(e, self.weight_items(weight), fetched, |e, item, fetched| {
                let ([group, unit, thread], k, four) = self.place(weight, column, part.k, item);
                let columns = match &fetched[..] {
                    [value] if value.r#type() == kept => vec![vec![*value]],
                    _ => weight.decode(e, group, unit, thread, fetched).weights(e),
                };
                for (c, quads) in columns.into_iter().enumerate() {
                    let row = (k + c) * pitch;
                    for (r, value) in quads.into_iter().enumerate() {
                        let at = row + four + r;
                        e.store(e.narrow(value, element), *memory, &[at]);
                    }
                }
            });
        }
    }

    /// Loads this thread's items of rows `row..row + BM` of the activations: BK columns, starting at column quad
    /// `first`.
    fn fetch_activations(&self, e: &Emitter<'c, 'a>, row: V<'c, 'a>, first: V<'c, 'a>) -> Vec<V<'c, 'a>> {
        let depth = self.linear.depth;
        let x = self.buffers[self.linear.input];
        let last = self.workgroup.scalars[0] - 1;
        let value = |i| {
            let (local, four) = self.activation(i);
            let row = (row + local).min(last);
            if depth.is_multiple_of(4) {
                let at = row * (depth / 4) + four + first;
                let load = |e: &Emitter<'c, 'a>| {
                    // f16 is kept as f16 until the kernel converts it.
                    if x.in_quads() { e.load(x.memref, &[at]) } else { x.load_four(e, at) }
                };
                let zero = e.cf_like(0.0, if x.in_quads() { memref_element(x.memref) } else { e.vector(4, e.f32()) });
                if depth.is_multiple_of(self.depth) {
                    return load(e);
                }
                let inside = (four + first).lt(depth / 4);
                return e.if_else(inside, &[zero.r#type()], |e| vec![load(e)], |_| vec![zero])[0];
            }
            let lane = |lane| {
                let column = (four + first) * 4 + lane;
                let inside = column.lt(depth);
                let load = |e: &Emitter<'c, 'a>| vec![x.load(e, row * depth + column)];
                e.if_else(inside, &[e.f32()], load, |e| vec![e.cf(0.0)])[0]
            };
            e.from_elements(&(0..4).map(lane).collect::<Vec<_>>())
        };
        self.items(self.rows * self.depth / 4).into_iter().map(value).collect()
    }

    /// The place of a thread's item in columns `k..k + BK` of K of weight rows `column..column + BN`, then the item's
    /// first column in the part and its quad of weight rows in the tile.
    fn place(
        &self,
        weight: &Weight<'c, 'a>,
        column: V<'c, 'a>,
        k: V<'c, 'a>,
        item: V<'c, 'a>,
    ) -> (Place<'c, 'a>, V<'c, 'a>, V<'c, 'a>) {
        let kind = weight.kind;
        let (count, quads) = (kind.count(), kind.quads());
        let (threads, steps) = (4 / quads, self.depth / count);
        // Thread groups of a step, each with its own columns.
        let along = kind.width() / count;
        let last_group = weight.rows.div_ceil(LANES).saturating_sub(1);
        let (rest, thread) = item.div_rem(threads);
        let (group, mut step) = rest.div_rem(steps);
        if self.spread && count == 1 && steps.is_multiple_of(8) {
            // Permutes each eight columns to 0, 2, 4, 6, 1, 3, 5, 7.
            let (eight, of_eight) = step.div_rem(8);
            let (odd, pair) = of_eight.div_rem(4);
            step = eight * 8 + pair * 2 + odd;
        }
        let (unit, place) = (k / count + step).div_rem(along);
        // Past the end any value will do: x is zero there, or the column is not stored.
        let depth = self.linear.depth;
        let last_step = (depth / kind.width()).saturating_sub(1);
        let unit = if depth.is_multiple_of(self.depth) { unit } else { unit.min(last_step) };
        let packed = (column / LANES + group).min(last_group);
        let four = group * (LANES / 4) + thread * quads;
        ([packed, unit, place * threads + thread], step * count, four)
    }

    /// Number of items in a part of a weight.
    fn weight_items(&self, weight: &Weight<'c, 'a>) -> usize {
        let kind = weight.kind;
        self.columns / LANES * (self.depth / kind.count()) * (4 / kind.quads())
    }

    /// Loads this thread's items of a part of a weight.
    fn fetch_weights(
        &self,
        e: &Emitter<'c, 'a>,
        weight: &Weight<'c, 'a>,
        column: V<'c, 'a>,
        k: V<'c, 'a>,
    ) -> Vec<Vec<V<'c, 'a>>> {
        let fetch = |item| {
            let ([packed, unit, thread], ..) = self.place(weight, column, k, item);
            weight.fetch(e, packed, unit, thread)
        };
        self.items(self.weight_items(weight)).into_iter().map(fetch).collect()
    }

    /// Indices of the `count` items that this thread owns, clamped to the last item.
    fn items(&self, count: usize) -> Vec<V<'c, 'a>> {
        let (thread, threads) = (self.workgroup.thread, self.workgroup.threads);
        let item = |round: usize| {
            let item = thread + round * threads;
            if (round + 1) * threads > count { item.min(count - 1) } else { item }
        };
        (0..count.div_ceil(threads)).map(item).collect()
    }

    /// Emits `body` for each of the `count` items that this thread owns, with the item's value in `made`.
    fn each<T>(&self, e: &Emitter<'c, 'a>, count: usize, made: &[T], body: impl Fn(&Emitter<'c, 'a>, V<'c, 'a>, &T)) {
        let (thread, threads) = (self.workgroup.thread, self.workgroup.threads);
        for (round, made) in made.iter().enumerate() {
            let item = thread + round * threads;
            if (round + 1) * threads > count {
                e.if_(item.lt(count), |e| body(e, item, made));
            } else {
                body(e, item, made);
            }
        }
    }
}
