//! Attention with a streaming softmax: a workgroup is a query row of one head.
//!
//! `#transformer.kernel<"attention", tile = [1, 1, 1]>`. The threads take as many keys at once as they are, one each, and
//! keep of all keys so far the greatest score m, the sum of exponentials l, each of its own keys, and the weighted sum of
//! values, each of its own elements:
//!
//! ```text
//! s = mask(softcap(scale * q k^T))    m' = max(m, s of all threads)
//! p = exp(s - m')    c = exp(m - m')  l = c l + p    acc = c acc + p v
//! ```
//! Where the head has fewer elements than there are threads, several share an element and take every so many-th key.

use super::{
    Target,
    workgroup::{Declaration, Fold},
};
use crate::{
    emit::{Cmp, Emitter, V},
    group::{Result, Signature},
    kernels::{attention::Attention, shared::Scalars},
};
use kforge_program::Access;

/// Threads of a workgroup, and keys of a block.
const THREADS: usize = 128;
/// Loads that are on their way at once.
const UNROLL: usize = 8;

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    if group.tile[..] != [1, 1, 1] {
        return Err(group.unsupported(None, "a GPU's attention has the tile [1, 1, 1]"));
    }
    let mut scalars = Scalars::default();
    let attention = Attention::new(group, &mut scalars)?;
    let depth = attention.depth();
    let threads = THREADS.min(of.adapter.threads);
    let f32 = of.module.f32();
    let shared = vec![(depth.max(1), f32), (threads, f32), (threads, f32)];
    Declaration {
        name: of.name,
        buffers: of.scalars(),
        scalars: scalars.sizes().len(),
        shared,
        threads,
        subgroups: of.adapter.subgroups,
    }
    .build(of.module, |e, workgroup| {
        let buffers = of.buffers(e, &workgroup.buffers);
        let memrefs = &workgroup.buffers;
        let (thread, output) = (workgroup.thread, buffers[group.arguments.len()]);
        let [query, weights, scratch] = workgroup.shared[..] else { unreachable!("three were declared") };
        let rows = attention.rows.value(e, &workgroup.scalars);
        let (rest, head) = e.div_rem_c(workgroup.task, attention.heads);
        let (sequence, row) = e.div_rem(rest, rows);
        let shared_head = e.div_rem_c(head, attention.shared).0;
        let (key, value) = attention.caches(e, &workgroup.scalars, memrefs);
        let seen = attention.visible(e, memrefs, sequence, rows, row, 1, key.capacity(e))[0];
        let base = e.mul_c(workgroup.task, depth);
        e.loop_(thread, e.ci(depth), threads, |e, d| {
            let q = buffers[attention.query].load(e, e.add(base, d));
            e.store(e.mulf(q, e.cf(attention.scale)), query, &[d]);
        });
        e.barrier();
        // Threads of an element, or elements of a thread.
        let parts = (threads / depth.max(1)).max(1);
        let elements = depth.div_ceil(threads).max(1);
        let (part, own) = if parts > 1 { e.div_rem_c(thread, depth) } else { (e.ci(0), thread) };
        let element = |i: usize| e.add_c(own, i * threads);
        // No sum of exponentials may be of a difference of infinities.
        let lowest = e.cf(f32::MIN / 2.0);
        let mut inits = vec![lowest, e.cf(0.0)];
        inits.extend(vec![e.cf(0.0); elements]);
        let totals = e.for_(seen.start, seen.end, threads, &inits, |e, block, carried| {
            let (max, sum) = (carried[0], carried[1]);
            let position = e.add(block, thread);
            let inside = e.cmp(Cmp::Slt, position, seen.end);
            let score = e.if_else(
                inside,
                &[e.f32()],
                |e| {
                    let row = key.row(e, sequence, position, shared_head);
                    let whole = depth.is_multiple_of(UNROLL);
                    let score = unrolled(e, e.ci(0), e.ci(depth), 1, whole, e.cf(0.0), &|e, d| {
                        (e.load(query, &[d]), key.element(e, row, d))
                    });
                    vec![match attention.softcap {
                        Some(cap) => e.mulf(e.tanh(e.mulf(score, e.cf(1.0 / cap))), e.cf(cap)),
                        None => score,
                    }]
                },
                |_| vec![lowest],
            )[0];
            let greatest = workgroup.reduce(e, scratch, score, Fold::Greatest);
            let now = e.maxf(max, greatest);
            let factor = e.exp(e.subf(max, now));
            let weight = e.select(inside, e.exp(e.subf(score, now)), e.cf(0.0));
            e.store(weight, weights, &[thread]);
            e.barrier();
            let count = e.min(e.sub(seen.end, block), e.ci(threads));
            let mut next = vec![now, e.fma(sum, factor, weight)];
            for (i, acc) in carried[2..].iter().enumerate() {
                let d = element(i);
                let is_element = match parts {
                    1 => e.cmp(Cmp::Slt, d, e.ci(depth)),
                    _ => e.cmp(Cmp::Slt, part, e.ci(parts)),
                };
                let acc = e.mulf(*acc, factor);
                let total = e.if_else(
                    is_element,
                    &[e.f32()],
                    |e| {
                        vec![unrolled(e, part, count, parts, false, acc, &|e, j| {
                            let row = value.row(e, sequence, e.add(block, j), shared_head);
                            (e.load(weights, &[j]), value.element(e, row, d))
                        })]
                    },
                    |_| vec![acc],
                );
                next.push(total[0]);
            }
            next
        });
        let sum = workgroup.reduce(e, scratch, totals[1], Fold::Sum);
        let any = e.cmp(Cmp::Slt, seen.start, seen.end);
        let finish = |e: &Emitter<'c, 'a>, value: V<'c, 'a>, d: V<'c, 'a>| {
            let mean = e.select(any, e.divf(value, sum), e.cf(0.0));
            output.store(e, mean, e.add(base, d));
        };
        if parts == 1 {
            for (i, acc) in totals[2..].iter().enumerate() {
                let d = element(i);
                e.if_(e.cmp(Cmp::Slt, d, e.ci(depth)), |e| finish(e, *acc, d));
            }
            return Ok(());
        }
        e.store(totals[2], scratch, &[thread]);
        e.barrier();
        e.if_(e.cmp(Cmp::Slt, thread, e.ci(depth)), |e| {
            let other = |i: usize| e.load(scratch, &[e.add_c(thread, i * depth)]);
            let acc = (1..parts).fold(other(0), |sum, i| e.addf(sum, other(i)));
            finish(e, acc, thread);
        });
        Ok(())
    })?;
    let mut access = vec![Access::Read; group.arguments.len()];
    access.push(Access::Write);
    Ok(Signature {
        access,
        in_place: vec![None],
        tasks: group.size(attention.query, 0..3),
        scalars: scalars.into_sizes(),
        summary: "attention".into(),
        partner: None,
    })
}

/// `sum` and the products of the pairs from `from` to `to`, each `step` after the last, several of them on their way at
/// once. `whole` tells that there are whole sets of them.
fn unrolled<'c, 'a>(
    e: &Emitter<'c, 'a>,
    from: V<'c, 'a>,
    to: V<'c, 'a>,
    step: usize,
    whole: bool,
    sum: V<'c, 'a>,
    pair: &dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>) -> (V<'c, 'a>, V<'c, 'a>),
) -> V<'c, 'a> {
    let bound = e.sub(to, e.ci((UNROLL - 1) * step));
    let sum = e.for_(from, bound, UNROLL * step, &[sum], |e, i, sum| {
        let pairs: Vec<_> = (0..UNROLL).map(|n| pair(e, e.add_c(i, n * step))).collect();
        vec![pairs.iter().fold(sum[0], |sum, (a, b)| e.fma(*a, *b, sum))]
    })[0];
    if whole {
        return sum;
    }
    let sets = e.ceil_div_c(e.max(e.sub(bound, from), e.ci(0)), UNROLL * step);
    let rest = e.add(from, e.mul_c(sets, UNROLL * step));
    e.for_(rest, to, step, &[sum], |e, i, sum| {
        let (a, b) = pair(e, i);
        vec![e.fma(a, b, sum[0])]
    })[0]
}
