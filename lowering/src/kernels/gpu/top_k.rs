//! The k largest elements of each row, by rank: the number of elements that precede one is its position in the result.
//!
//! A workgroup takes a part of a row. Each thread takes four of its elements, or, if k is 1, the largest of sixteen.
//! Their keys are stored in workgroup memory, and each is compared with all others; those of rank below k are the
//! part's best. A second launch ranks them among the best of all parts, which are sorted:
//!
//! ```text
//! rank = position in its own part + sum over other parts of how many precede it, by binary search
//! ```
//! Several threads share the parts of one element. Comparisons are of integers, so the order is exact, including NaN
//! and infinities, whatever the device does with floats; it does not depend on the order of execution. A row of one
//! part needs no second launch.

use super::{
    buffer::Buffer,
    target::Target,
    workgroup::{Declaration, Workgroup},
};
use crate::{
    emit::{Emitter, V},
    group::{Partner, Result, Signature, Size},
    kernels::top_k::{NONE, TopK, key},
};

/// Threads per workgroup that ranks the elements of a part.
const THREADS: usize = 128;
/// Threads per workgroup that ranks the best of all parts, and how many of them share one element.
const MERGERS: usize = 256;
const SHARE: usize = 16;
/// Other threads whose keys are compared per loop iteration.
const UNROLL: usize = 4;

struct Ranking<'t, 'c, 'a> {
    of: Target<'t, 'c, 'a>,
    op: TopK,
    /// Elements that a thread loads, and how many of them it ranks.
    taken: usize,
    kept: usize,
    parts: usize,
}

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let op = TopK::new(of.group)?;
    let (taken, kept) = if op.k == 1 { (16, 1) } else { (4, 4) };
    let parts = op.length.div_ceil(THREADS * taken);
    let mut signature = op.signature(of.group);
    let ranking = Ranking { of, op, taken, kept, parts };
    ranking.build(of.name, THREADS, THREADS * kept, |e, workgroup| ranking.rank_part(e, workgroup))?;
    if parts == 1 {
        return Ok(signature);
    }
    let TopK { k, rows, .. } = &ranking.op;
    let name = format!("{}_fold", of.name);
    ranking.build(&name, MERGERS, MERGERS, |e, workgroup| ranking.rank_among_parts(e, workgroup))?;
    signature.tasks = rows.clone().times(Size::Const(parts));
    signature.partner = Some(Partner {
        name,
        before: false,
        elements: signature.tasks.clone(),
        width: 2 * k,
        tasks: rows.clone().times(Size::Const(ranking.groups())),
        summary: format!("{} of parts", signature.summary),
    });
    Ok(signature)
}

impl<'c, 'a> Ranking<'_, 'c, 'a> {
    /// Elements per part.
    fn span(&self) -> usize {
        THREADS * self.taken
    }

    /// Workgroups per row that rank the best of its parts.
    fn groups(&self) -> usize {
        (self.parts * self.op.k).div_ceil(MERGERS / SHARE)
    }

    /// Declares a kernel with `words` words of workgroup memory. The last buffer is the intermediate: k keys, then k
    /// indices, per part.
    fn build(
        &self,
        name: &str,
        threads: usize,
        words: usize,
        body: impl FnOnce(&Emitter<'c, 'a>, &Workgroup<'c, 'a>),
    ) -> Result<'c, 'a, ()> {
        let Target { group, module, .. } = self.of;
        let mut buffers = self.of.scalars();
        buffers[self.op.input].0 = self.of.memref(group.arguments[self.op.input], self.lanes() == 4);
        if self.parts > 1 {
            buffers.push((module.memref(&[None], module.int(32)), "best".into()));
        }
        let shared = vec![module.shared(&[words], module.int(32))];
        Declaration { name, buffers, scalars: 0, shared, threads }.build(&self.of, |e, workgroup| {
            body(e, workgroup);
            Ok(())
        })
    }

    /// Elements that are loaded at once.
    fn lanes(&self) -> usize {
        if self.op.length.is_multiple_of(4) { 4 } else { 1 }
    }

    fn rank_part(&self, e: &Emitter<'c, 'a>, workgroup: &Workgroup<'c, 'a>) {
        let (thread, shared) = (workgroup.thread, workgroup.shared[0]);
        let (row, part) = workgroup.task.div_rem(self.parts);
        let first = part * self.span() + thread * self.taken;
        let mut own: Vec<(V, V)> = self.keys(e, workgroup, row, first);
        if self.kept == 1 {
            let greater = |(key, index): (V<'c, 'a>, V<'c, 'a>), (other, at): (V<'c, 'a>, V<'c, 'a>)| {
                let is = other.gt(key);
                (e.select(is, other, key), e.select(is, at, index))
            };
            own = own.into_iter().reduce(greater).into_iter().collect();
        }
        for (i, (key, _)) in own.iter().enumerate() {
            e.store(*key, shared, &[thread * self.kept + i]);
        }
        e.barrier();
        let one = e.cint(32, 1);
        let zeros = vec![e.cint(32, 0); self.kept];
        let ranks = e.for_(e.ci(0), e.ci(THREADS), UNROLL, &zeros, |e, group, ranks| {
            let mut ranks = ranks.to_vec();
            for other in (0..UNROLL).map(|i| group + i) {
                // Of equal keys, those of earlier threads come first.
                let before = other.lt(thread);
                let bounds: Vec<V> = own.iter().map(|(key, _)| e.select(before, *key - one, *key)).collect();
                for i in 0..self.kept {
                    let other = e.load(shared, &[other * self.kept + i]);
                    for (rank, bound) in ranks.iter_mut().zip(&bounds) {
                        *rank = count(e, *rank, other.gt(*bound));
                    }
                }
            }
            ranks
        });
        for (i, (key, index)) in own.iter().enumerate() {
            // Of equal keys of the same thread, earlier ones come first.
            let equal = own[..i].iter().map(|(other, _)| other.eq(*key));
            let rank = equal.fold(ranks[i], |rank, is| count(e, rank, is));
            let rank = e.cast("arith.index_cast", rank, e.index());
            e.if_(rank.lt(self.op.k), |e| {
                if self.parts == 1 {
                    return self.finish(e, workgroup, row, rank, *index);
                }
                let best = workgroup.buffers[workgroup.buffers.len() - 1];
                let at = workgroup.task * (2 * self.op.k) + rank;
                e.store(*key, best, &[at]);
                e.store(e.cast("arith.index_cast", *index, e.int(32)), best, &[at + self.op.k]);
            });
        }
    }

    /// Keys and indices of a thread's elements from `first` on; elements past the row's end get the key [`NONE`].
    fn keys(
        &self,
        e: &Emitter<'c, 'a>,
        workgroup: &Workgroup<'c, 'a>,
        row: V<'c, 'a>,
        first: V<'c, 'a>,
    ) -> Vec<(V<'c, 'a>, V<'c, 'a>)> {
        let (x, lanes) = (self.input(e, workgroup), self.lanes());
        let units = self.op.length / lanes;
        let (start, begin) = (first / lanes, row * units);
        let mut keys = vec![];
        for i in 0..self.taken / lanes {
            let unit = start + i;
            let inside = unit.lt(units);
            let at = begin + unit.min(units - 1);
            let values = match lanes {
                4 => {
                    let four = x.load_four(e, at);
                    (0..4).map(|lane| e.extract(four, lane)).collect()
                }
                _ => vec![x.load(e, at)],
            };
            for (lane, value) in values.into_iter().enumerate() {
                let key = e.select(inside, key(e, value), e.cint(32, NONE));
                keys.push((key, first + (i * lanes + lane)));
            }
        }
        keys
    }

    fn rank_among_parts(&self, e: &Emitter<'c, 'a>, workgroup: &Workgroup<'c, 'a>) {
        let (k, shared) = (self.op.k, workgroup.shared[0]);
        let best = workgroup.buffers[workgroup.buffers.len() - 1];
        let (row, group) = workgroup.task.div_rem(self.groups());
        let (local, share) = workgroup.thread.div_rem(SHARE);
        let number = group * (MERGERS / SHARE) + local;
        let candidates = e.ci(self.parts * k);
        let inside = number.lt(candidates);
        let (part, place) = number.min(candidates - 1).div_rem(k);
        let list = |part: V<'c, 'a>| (row * self.parts + part) * (2 * k);
        let at = list(part) + place;
        let key = e.load(best, &[at]);
        let before = e.for_(share, e.ci(self.parts), SHARE, &[e.ci(0)], |e, other, before| {
            // Of equal keys, those of earlier parts come first.
            let is_before = other.lt(part);
            let bound = e.select(is_before, key - 1, key);
            let list = list(other);
            let mut found = e.ci(0);
            for step in (0..=k.ilog2()).rev().map(|bit| 1 << bit) {
                let next = found + step;
                let last = next.min(k) - 1;
                let is_more = e.load(best, &[list + last]).gt(bound);
                let is_more = is_more & next.le(k);
                found = e.select(is_more, next, found);
            }
            let found = e.select(other.eq(part), place, found);
            vec![before[0] + found]
        })[0];
        e.store(e.cast("arith.index_cast", before, e.int(32)), shared, &[workgroup.thread]);
        e.barrier();
        let is_first = share.eq(0);
        e.if_(inside & is_first, |e| {
            let counts = (0..SHARE).map(|i| e.load(shared, &[workgroup.thread + i]));
            let rank = counts.reduce(|sum, count| sum + count).expect("as many as share it");
            let rank = e.cast("arith.index_cast", rank, e.index());
            e.if_(rank.lt(k), |e| {
                let index = e.cast("arith.index_cast", e.load(best, &[at + k]), e.index());
                self.finish(e, workgroup, row, rank, index);
            });
        });
    }

    fn input(&self, e: &Emitter<'c, 'a>, workgroup: &Workgroup<'c, 'a>) -> Buffer<'c, 'a> {
        self.of.buffers(e, &workgroup.buffers)[self.op.input]
    }

    /// Stores an element of a row and its index at position `rank` of the results.
    fn finish(
        &self,
        e: &Emitter<'c, 'a>,
        workgroup: &Workgroup<'c, 'a>,
        row: V<'c, 'a>,
        rank: V<'c, 'a>,
        index: V<'c, 'a>,
    ) {
        let results = &self.of.buffers(e, &workgroup.buffers)[self.of.group.arguments.len()..];
        let at = row * self.op.k + rank;
        if let Some(values) = self.op.values {
            let value = self.input(e, workgroup).load(e, row * self.op.length + index);
            results[values].store(e, value, at);
        }
        if let Some(indices) = self.op.indices {
            e.store(e.cast("arith.index_cast", index, e.int(32)), results[indices].memref, &[at]);
        }
    }
}

/// Adds one if a condition holds.
fn count<'c, 'a>(e: &Emitter<'c, 'a>, so_far: V<'c, 'a>, condition: V<'c, 'a>) -> V<'c, 'a> {
    so_far + e.cast("arith.extui", condition, e.int(32))
}
