//! Parts of a matrix product's operands on their way from memory to a workgroup.
//!
//! For a tile of BM rows by BN columns and a part of BK of the depth, a thread has items of either operand: of the
//! activations four columns of a row, of a weight what [`Weight::fetch`] takes. They wait in registers while the part before
//! is multiplied; then the kernel keeps them in the workgroup's memory in its own order.
//!
//! One part lies in that memory at a time. Two would save a barrier for each, but take twice the bytes, and a driver may let
//! as many workgroups run on a multiprocessor as fit into 48 KiB: two workgroups that take turns hide more.

use super::{buffer::Buffer, linear::Kinds, weights::Weight, workgroup::Workgroup};
use crate::{
    emit::{Emitter, V, memref_element},
    group::Result,
    kernels::linear::{Linear, Section},
};
use kforge_program::layout::LANES;
use melior::ir::{Type, ValueLike, operation::OperationRef};

/// What is brought, and by whom.
pub struct Bring<'k, 'c, 'a> {
    pub linear: &'k Linear<'k, 'c, 'a>,
    pub kinds: &'k Kinds,
    pub workgroup: &'k Workgroup<'c, 'a>,
    pub buffers: &'k [Buffer<'c, 'a>],
    /// BM, BN, BK.
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    /// Whether threads side by side take rows four apart, and columns of the depth two apart, which in memory lie at other
    /// banks than neighbours.
    pub spread: bool,
    /// Whether the next part is loaded in front of the barrier that the sums of this one wait for, where a driver cannot
    /// move the loads down to where they are used. That pays if there are registers for them.
    pub early: bool,
}

/// What a thread has loaded of a part: of the activations, and of each weight, item by item.
pub struct Part<'c, 'a> {
    x: Vec<V<'c, 'a>>,
    w: Vec<Vec<Vec<V<'c, 'a>>>>,
    /// Where the part begins.
    k: V<'c, 'a>,
}

impl<'c, 'a> Part<'c, 'a> {
    fn values(&self) -> Vec<V<'c, 'a>> {
        self.x.iter().chain(self.w.iter().flatten().flatten()).copied().collect()
    }

    /// A part of the same items with other values, from `k` of the depth on.
    fn with(&self, values: &[V<'c, 'a>], k: V<'c, 'a>) -> Part<'c, 'a> {
        let mut values = values.iter().copied();
        let mut next = |_: &V<'c, 'a>| values.next().expect("as many values as the part has");
        let x = self.x.iter().map(&mut next).collect();
        let mut item = |item: &Vec<_>| item.iter().map(&mut next).collect();
        let w = self.w.iter().map(|weight| weight.iter().map(&mut item).collect()).collect();
        Part { x, w, k }
    }
}

/// Where an item is: packed rows, unit and thread of the weight.
type Place<'c, 'a> = [V<'c, 'a>; 3];

impl<'c, 'a> Bring<'_, 'c, 'a> {
    /// The weights of a section.
    pub fn weights(&self, section: &Section<'c, 'a>) -> Result<'c, 'a, Vec<Weight<'c, 'a>>> {
        let weight = |root: &OperationRef<'c, 'a>| {
            let (operand, (_, rows, columns)) = self.linear.stored(*root)?;
            let kind = self.kinds.of(operand).expect("every root's weight has a kind");
            Ok(Weight::new(kind, (rows, columns), operand, self.workgroup, self.buffers))
        };
        section.roots.iter().map(weight).collect()
    }

    /// Sums a tile over its depth: for each part `keep` stores it in the workgroup's memory, and `sum` gives the sums after
    /// what lies there, while the next part is loaded.
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
            // All are through with the part before.
            e.barrier();
            keep(e, &first.with(fetched, number * self.depth));
            if !self.early {
                e.barrier();
            }
            // After the last part comes the last again, which is not used.
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

    /// Loads part `number`: columns of the depth past the last are zero in the activations.
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

    /// Gives `keep` each four of the activations of a part with its row of the tile and its four of columns.
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

    /// Row of the tile and four of columns of item `i` of the activations.
    fn activation(&self, i: V<'c, 'a>) -> (V<'c, 'a>, V<'c, 'a>) {
        let (row, four) = i.div_rem(self.depth / 4);
        if !(self.spread && self.rows.is_multiple_of(8)) {
            return (row, four);
        }
        // Of eight rows the first, the fifth, the second, the sixth, and so on.
        let (eight, of_eight) = row.div_rem(8);
        let (half, odd) = of_eight.div_rem(2);
        (eight * 8 + odd * 4 + half, four)
    }

    /// Stores each weight of a part, columns `column..column + BN` of the result, in the memory of its place among `memories`:
    /// for each column of the depth a row of vectors of four of `element`, `pitch` of them from the next.
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
                for (c, fours) in columns.into_iter().enumerate() {
                    let row = (k + c) * pitch;
                    for (r, value) in fours.into_iter().enumerate() {
                        let at = row + four + r;
                        e.store(e.narrow(value, element), *memory, &[at]);
                    }
                }
            });
        }
    }

    /// BK columns, from four `first` of them on, of rows `row..row + BM` of the activations: what this thread loads of them.
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
                    // Halves stay halves until the kernel wants them otherwise.
                    if x.in_fours() { e.load(x.memref, &[at]) } else { x.load_four(e, at) }
                };
                let zero = e.cf_like(0.0, if x.in_fours() { memref_element(x.memref) } else { e.vector(4, e.f32()) });
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

    /// Where a thread's item of columns `k..k + BK` of the depth of weights `column..column + BN` is, then the
    /// item's first column of the depth and four of weights in the tile.
    fn place(
        &self,
        weight: &Weight<'c, 'a>,
        column: V<'c, 'a>,
        k: V<'c, 'a>,
        item: V<'c, 'a>,
    ) -> (Place<'c, 'a>, V<'c, 'a>, V<'c, 'a>) {
        let kind = weight.kind;
        let (count, fours) = (kind.count(), kind.fours());
        let (threads, steps) = (4 / fours, self.depth / count);
        // Threads of a step that take its columns one after another.
        let along = kind.width() / count;
        let last_group = weight.rows.div_ceil(LANES).saturating_sub(1);
        let (rest, thread) = item.div_rem(threads);
        let (group, mut step) = rest.div_rem(steps);
        if self.spread && count == 1 && steps.is_multiple_of(8) {
            // Of eight columns the first, the third, the fifth, the seventh, the second, and so on.
            let (eight, of_eight) = step.div_rem(8);
            let (odd, pair) = of_eight.div_rem(4);
            step = eight * 8 + pair * 2 + odd;
        }
        let (unit, place) = (k / count + step).div_rem(along);
        // Past the end anything will do: x is zero there, or the column is not stored.
        let depth = self.linear.depth;
        let last_step = (depth / kind.width()).saturating_sub(1);
        let unit = if depth.is_multiple_of(self.depth) { unit } else { unit.min(last_step) };
        let packed = (column / LANES + group).min(last_group);
        let four = group * (LANES / 4) + thread * fours;
        ([packed, unit, place * threads + thread], step * count, four)
    }

    /// Items of a part of a weight.
    fn weight_items(&self, weight: &Weight<'c, 'a>) -> usize {
        let kind = weight.kind;
        self.columns / LANES * (self.depth / kind.count()) * (4 / kind.fours())
    }

    /// What this thread loads of a part of a weight, for each of its items.
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

    /// The numbers of this thread's things of `count` to do; one past the last is the last.
    fn items(&self, count: usize) -> Vec<V<'c, 'a>> {
        let (thread, threads) = (self.workgroup.thread, self.workgroup.threads);
        let item = |round: usize| {
            let item = thread + round * threads;
            if (round + 1) * threads > count { item.min(count - 1) } else { item }
        };
        (0..count.div_ceil(threads)).map(item).collect()
    }

    /// Does this thread's things of `count`, each with what was made for it.
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
