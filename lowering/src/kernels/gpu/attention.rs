//! Attention with a streaming softmax: one workgroup per query row and head.
//!
//! `#transformer.kernel<"attention", tile = [1, 1, 1]>`. The last visible key is processed first. It initialises the
//! state: the maximum m is its score, the sum of weights l is 1, and the weighted sum of values acc is its value. The
//! keys before it follow in blocks:
//!
//! ```text
//! s = softcap(scale * q k^T)    m' = max(m, s of the block)
//! p = exp(s - m')    c = exp(m - m')  l = c l + p    acc = c acc + p v
//! ```
//! A few adjacent threads share a key, each with a strided subset of its elements. For values, each thread owns one
//! element of a strided subset of the keys. In a decode step, which has one row, the loads of the next block overlap
//! with the computation of the current one, and the ops that make the new rows may be fused:
//!
//! ```mlir
//! %qr = transformer.rope %q at %pos
//! %kr = transformer.rope %k at %pos
//! %kn = transformer.kv_update %k_cache, %kr at %pos
//! %vn = transformer.kv_update %v_cache, %v at %pos
//! %y = transformer.attention %qr, %kn, %vn at %pos
//! ```
//! Each workgroup then computes the new key and value redundantly, rounded as the cache would round them, and starts
//! with them. The workgroup of the first head that shares them writes them to the caches. This launch reads only
//! earlier rows of the caches, so no workgroup waits for another.

use super::{
    buffer::Buffer,
    rope::{pair_of, table, turned},
    target::Target,
    workgroup::{Declaration, Fold, Workgroup},
};
use crate::{
    emit::{Emitter, V},
    group::{Group, Result, Signature, dims, element},
    kernels::{
        attention::{Attention, Span},
        cache::{Cache, CacheOperand, Sequences},
        rope::{Rotation, results, summary},
        shared::Scalars,
    },
};
use kforge_dialect::{Op, ir::optional_operand};
use melior::ir::{Value, ValueLike, operation::OperationLike};

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    if group.tile[..] != [1, 1, 1] {
        return Err(group.unsupported(None, "a GPU's attention has the tile [1, 1, 1]"));
    }
    let mut scalars = Scalars::default();
    let attention = Attention::new(group, &mut scalars)?;
    let query = Rows::new(&of, &attention, 0)?;
    let (key, value) = (Update::new(&of, &attention, 1)?, Update::new(&of, &attention, 2)?);
    let in_place = in_place(group, &attention, [&key, &value])?;
    let output = output(group, &attention)?;
    let plan = Plan::new(group, &attention, &of);
    let f32 = of.module.f32();
    let shared = [plan.padded, plan.padded, plan.depth, plan.keys, plan.threads, plan.threads];
    Declaration {
        name: of.name,
        buffers: of.separate(&in_place),
        scalars: scalars.sizes().len(),
        shared: shared.map(|count| of.module.shared(&[count.max(1)], f32)).to_vec(),
        threads: plan.threads,
    }
    .build(&of, |e, workgroup| {
        let memrefs = of.shared(&in_place, &workgroup.buffers);
        let buffers = of.buffers(e, &memrefs);
        let task = Task::new(e, group, &attention, plan, workgroup, &memrefs, &buffers);
        task.emit(e, &query, [key.as_ref(), value.as_ref()], output);
        Ok(())
    })?;
    Ok(Signature {
        access: of.access(&in_place),
        in_place,
        tasks: group.size(attention.query, 0..3),
        scalars: scalars.into_sizes(),
        summary: match summary(group).as_str() {
            "" => "attention".into(),
            rows => format!("{rows}+attention"),
        },
        partner: None,
    })
}

/// Rows of a tensor, rotated or not.
struct Rows {
    /// Operand [B, S, H, D].
    input: usize,
    heads: usize,
    /// With the name of its frequency table.
    rotation: Option<(Rotation, String)>,
}

impl Rows {
    /// The rows that operand `i` of the attention is, or that its cache is updated with.
    fn new<'c, 'a>(of: &Target<'_, 'c, 'a>, attention: &Attention<'_, 'c, 'a>, i: usize) -> Result<'c, 'a, Self> {
        let group = of.group;
        let missing = || group.unsupported(Some(attention.op), "misses an operand");
        let mut value = attention.op.operand(i).map_err(|_| missing())?;
        // Keys and values are a cache that the rows are written to; a query is the rows themselves.
        if let Some(update) = group.defining_op(value).filter(|op| i > 0 && Op::KvUpdate.is(op)) {
            value = update.operand(1).map_err(|_| missing())?;
        }
        let Some(rope) = group.defining_op(value) else {
            let heads = heads(group, attention, value)?;
            return Ok(Self { input: group.outside(attention.op, value)?, heads, rotation: None });
        };
        if !Op::Rope.is(&rope) {
            return Err(group.unsupported(Some(rope), "is no part of an attention's kernel; take it out of the group"));
        }
        let (rows, positions) = (rope.operand(0).map_err(|_| missing())?, rope.operand(1).map_err(|_| missing())?);
        let sequences = Sequences::new(group, rope, positions, kforge_dialect::ir::operand(&rope, 2))?;
        let rotation = Rotation::new(group, rope, attention.depth(), sequences)?;
        let table = table(of, i, &rotation);
        let heads = heads(group, attention, rows)?;
        Ok(Self { input: group.outside(rope, rows)?, heads, rotation: Some((rotation, table)) })
    }
}

/// Heads of rows [B, S, H, D].
fn heads<'c, 'a>(
    group: &Group<'c, 'a>,
    attention: &Attention<'_, 'c, 'a>,
    rows: Value<'c, 'a>,
) -> Result<'c, 'a, usize> {
    let heads = dims(rows.r#type()).get(2).copied().flatten();
    heads.ok_or_else(|| group.unsupported(Some(attention.op), "needs static heads and head size to be compiled"))
}

/// A cache update of the group.
struct Update {
    rows: Rows,
    sequences: Sequences,
    /// Number of the result that is the cache, if it is used outside the group.
    result: Option<usize>,
}

impl Update {
    /// The cache update that defines operand `i` of the attention, if any.
    fn new<'c, 'a>(
        of: &Target<'_, 'c, 'a>,
        attention: &Attention<'_, 'c, 'a>,
        i: usize,
    ) -> Result<'c, 'a, Option<Self>> {
        let group = of.group;
        let Some((cache, op)) = attention.op.operand(i).ok().and_then(|v| Some((v, group.defining_op(v)?))) else {
            return Ok(None);
        };
        let positions = optional_operand(&op, 2).filter(|_| Op::KvUpdate.is(&op));
        let sequences = positions.map(|at| Sequences::new(group, op, at, optional_operand(&op, 3))).transpose()?;
        let is_one = op.operand(1).is_ok_and(|rows| dims(rows.r#type()).get(1) == Some(&Some(1)));
        match sequences.filter(|s| is_one && attention.sequences == Some(*s) && optional_operand(&op, 4).is_none()) {
            Some(sequences) => {
                Ok(Some(Self { rows: Rows::new(of, attention, i)?, sequences, result: results(group, cache).next() }))
            }
            None => Err(group.unsupported(
                Some(op),
                "is in the group of its attention, so it must append one row a sequence at the attention's positions, \
                 without a block table; take it out of the group",
            )),
        }
    }
}

/// Number of the attention's result.
fn output<'c, 'a>(group: &Group<'c, 'a>, attention: &Attention<'_, 'c, 'a>) -> Result<'c, 'a, usize> {
    let is_own = |value: Value<'c, 'a>| group.defining_op(value) == Some(attention.op);
    let mut own = group.yields.iter().enumerate().filter(|(_, value)| is_own(**value));
    match (own.next(), own.next()) {
        (Some((result, _)), None) => Ok(result),
        _ => {
            Err(group.unsupported(Some(attention.op), "is stored by its kernel, so it must be one result of its group"))
        }
    }
}

/// Per result, the cache operand whose buffer it overwrites.
fn in_place<'c, 'a>(
    group: &Group<'c, 'a>,
    attention: &Attention<'_, 'c, 'a>,
    [key, value]: [&Option<Update>; 2],
) -> Result<'c, 'a, Vec<Option<usize>>> {
    let is = |update: &Option<Update>, result| update.as_ref().is_some_and(|update| update.result == Some(result));
    let place = |(result, yielded): (usize, &Value<'c, 'a>)| match group.defining_op(*yielded) {
        Some(op) if op == attention.op => Ok(None),
        _ if is(key, result) => Ok(Some(attention.key.operand)),
        _ if is(value, result) => Ok(Some(attention.value.operand)),
        op => Err(group.unsupported(op, "is read by other groups too; take it out of the group of its attention")),
    };
    group.yields.iter().enumerate().map(place).collect()
}

/// How threads share the work.
#[derive(Clone, Copy)]
struct Plan {
    threads: usize,
    depth: usize,
    /// Keys per block.
    keys: usize,
    /// Threads per key, and elements of the key per thread.
    sharers: usize,
    share: usize,
    /// Groups of threads with different keys, if one thread per element leaves some over; elements of the head per
    /// thread; and keys of a block per thread.
    groups: usize,
    elements: usize,
    rounds: usize,
    /// Whether all loads of a block are issued a block ahead; if not, loads are unrolled by these numbers for keys and
    /// values.
    ahead: bool,
    unroll: [usize; 2],
    /// Lanes that reduce a row; and elements of a row in workgroup memory, padded with zeros.
    width: usize,
    padded: usize,
}

impl Plan {
    fn new(group: &Group, attention: &Attention, of: &Target) -> Self {
        let is_step = dims(group.arguments[attention.query].r#type())[1] == Some(1);
        // One row gives few workgroups, which should keep as many loads in flight as possible; with many rows, several
        // workgroups share each multiprocessor.
        let (threads, loads) = if is_step { (512, 16) } else { (128, 64) };
        let unroll = if is_step { loads } else { 8 };
        let threads = of.adapter.threads.min(threads);
        let depth = attention.depth();
        let groups = (threads / depth.max(1)).max(1);
        let keys = (loads * groups).min(threads) / groups * groups;
        let rounds = keys / groups;
        let sharers = 1 << (threads / keys).ilog2();
        let share = depth.div_ceil(sharers);
        let divisor = |count: usize| (1..=unroll).rev().find(|u| count.is_multiple_of(*u)).unwrap_or(1);
        let is_subgroup = of.adapter.subgroups > 1 && threads.is_multiple_of(of.adapter.subgroups);
        let width = if is_subgroup { of.adapter.subgroups } else { threads };
        Self {
            threads,
            depth,
            keys,
            sharers,
            share,
            groups,
            elements: depth.div_ceil(threads),
            rounds,
            // Limit for the registers that two blocks take.
            ahead: is_step && share + rounds * depth.div_ceil(threads) <= 48,
            unroll: [divisor(share), divisor(rounds)],
            width,
            padded: (sharers * share).max(depth.next_multiple_of(width)),
        }
    }
}

/// The kernel under construction.
struct Task<'t, 'c, 'a> {
    group: &'t Group<'c, 'a>,
    attention: &'t Attention<'t, 'c, 'a>,
    plan: Plan,
    workgroup: &'t Workgroup<'c, 'a>,
    memrefs: &'t [V<'c, 'a>],
    buffers: &'t [Buffer<'c, 'a>],
    key: Cache<'c, 'a>,
    value: Cache<'c, 'a>,
    sequence: V<'c, 'a>,
    /// S, and the row.
    rows: V<'c, 'a>,
    row: V<'c, 'a>,
    head: V<'c, 'a>,
    /// Head of keys and values, and whether this task's is the first query head that shares it.
    shared_head: V<'c, 'a>,
    is_first: V<'c, 'a>,
    /// Visible positions, and the last of them.
    seen: Span<'c, 'a>,
    last: V<'c, 'a>,
    /// This thread's key of a block, and its index among that key's threads; for values, its key of a round, and its
    /// element.
    own_key: V<'c, 'a>,
    sharer: V<'c, 'a>,
    round_key: V<'c, 'a>,
    own_element: V<'c, 'a>,
}

impl<'t, 'c, 'a> Task<'t, 'c, 'a> {
    fn new(
        e: &Emitter<'c, 'a>,
        group: &'t Group<'c, 'a>,
        attention: &'t Attention<'t, 'c, 'a>,
        plan: Plan,
        workgroup: &'t Workgroup<'c, 'a>,
        memrefs: &'t [V<'c, 'a>],
        buffers: &'t [Buffer<'c, 'a>],
    ) -> Self {
        let rows = attention.rows.value(e, &workgroup.scalars);
        let (rest, head) = workgroup.task.div_rem(attention.heads);
        let (sequence, row) = rest.div_rem(rows);
        let (shared_head, of_shared) = head.div_rem(attention.shared);
        let (key, value) = attention.caches(e, &workgroup.scalars, memrefs);
        let seen = attention.visible(e, memrefs, sequence, rows, row, 1, key.capacity())[0];
        let (own_key, sharer) = workgroup.thread.div_rem(plan.sharers);
        let (round_key, own_element) = match plan.groups {
            1 => (e.ci(0), workgroup.thread),
            _ => workgroup.thread.div_rem(plan.depth.max(1)),
        };
        Self {
            group,
            attention,
            plan,
            workgroup,
            memrefs,
            buffers,
            key,
            value,
            sequence,
            rows,
            row,
            head,
            shared_head,
            is_first: of_shared.eq(0),
            seen,
            last: seen.end - 1,
            own_key,
            sharer,
            round_key,
            own_element,
        }
    }

    fn emit(&self, e: &Emitter<'c, 'a>, query: &Rows, [key, value]: [Option<&Update>; 2], result: usize) {
        let Self { attention, plan, workgroup, .. } = *self;
        let [query_row, key_row, value_row, weights, scratch, sums] = workgroup.shared[..] else {
            unreachable!("six were declared")
        };
        let count = if plan.ahead { plan.share + plan.rounds * plan.elements } else { 0 };
        let ahead = |e: &Emitter<'c, 'a>, block: V<'c, 'a>| {
            let more = block.lt(self.last);
            e.if_else(more, &vec![e.f32(); count], |e| self.block(e, block), |e| vec![e.cf(0.0); count])
        };
        let first = if plan.ahead { ahead(e, self.seen.start) } else { vec![] };
        self.each_pair(e, query, self.head, 0, |e, places, values| {
            for (at, value) in places.into_iter().zip(values) {
                e.store(value * attention.scale, query_row, &[at]);
            }
        });
        self.newest(e, key, &attention.key, &self.key, key_row, plan.threads / 4);
        self.newest(e, value, &attention.value, &self.value, value_row, plan.threads / 2);
        if plan.padded > plan.depth {
            e.loop_(workgroup.thread + plan.depth, e.ci(plan.padded), plan.threads, |e, d| {
                [query_row, key_row].iter().for_each(|row| e.store(e.cf(0.0), *row, &[d]));
            });
        }
        e.barrier();

        let any = self.seen.start.lt(self.seen.end);
        // Finite, because the difference of infinities would be NaN.
        let lowest = e.cf(f32::MIN / 2.0);
        let score = self.capped(e, self.newest_score(e, query_row, key_row, scratch));
        let begins = any & self.round_key.eq(0);
        let mut inits = vec![e.select(any, score, lowest), e.select(begins, e.cf(1.0), e.cf(0.0))];
        for i in 0..plan.elements {
            let value = e.load(value_row, &[self.element(i)]);
            inits.push(e.select(begins, value, e.cf(0.0)));
        }
        inits.extend(first);
        let totals = e.for_(self.seen.start, self.last, plan.keys, &inits, |e, block, carried| {
            let (state, loaded) = carried.split_at(2 + plan.elements);
            let next = if plan.ahead { ahead(e, block + plan.keys) } else { vec![] };
            let (keys, values) = loaded.split_at(if plan.ahead { plan.share } else { 0 });
            let part = self.dot(e, block, query_row, keys);
            let score = self.capped(e, workgroup.sum_of_neighbours(e, scratch, part, plan.sharers));
            let inside = (block + self.own_key).lt(self.last);
            let inside = match plan.keys * plan.sharers < plan.threads {
                true => inside & self.own_key.lt(plan.keys),
                false => inside,
            };
            let score = e.select(inside, score, lowest);
            // Another barrier follows before this memory is written again.
            let now = state[0].max(workgroup.reduce_once(e, scratch, score, Fold::Max));
            let factor = e.exp(state[0] - now);
            let weight = e.select(inside, e.exp(score - now), e.cf(0.0));
            let stores = self.sharer.eq(0) & self.own_key.lt(plan.keys);
            e.if_(stores, |e| e.store(weight, weights, &[self.own_key]));
            e.barrier();
            let scaled: Vec<V> = state[1..].iter().map(|total| *total * factor).collect();
            let mut state = vec![now];
            state.extend(self.accumulate(e, block, weights, values, scaled));
            state.extend(next);
            state
        });
        let output = self.buffers[self.group.arguments.len() + result];
        self.finish(e, output, any, [scratch, sums], &totals[1..2 + plan.elements]);
    }

    /// Divides the weighted sum of values by the sum of weights and stores it; a row that sees no key is zero.
    fn finish(
        &self,
        e: &Emitter<'c, 'a>,
        output: Buffer<'c, 'a>,
        any: V<'c, 'a>,
        [scratch, sums]: [V<'c, 'a>; 2],
        totals: &[V<'c, 'a>],
    ) {
        let Plan { depth, groups, .. } = self.plan;
        let thread = self.workgroup.thread;
        let base = self.workgroup.task * depth;
        let store = |e: &Emitter<'c, 'a>, value: V<'c, 'a>, sum: V<'c, 'a>, d: V<'c, 'a>| {
            output.store(e, e.select(any, value / sum, e.cf(0.0)), base + d);
        };
        if groups == 1 {
            for (i, value) in totals[1..].iter().enumerate() {
                let d = thread + i * self.plan.threads;
                e.if_(d.lt(depth), |e| store(e, *value, totals[0], d));
            }
            return;
        }
        // A head of no elements has nothing to store.
        let [sum, value] = *totals else { return };
        e.store(value, scratch, &[thread]);
        e.store(sum, sums, &[thread]);
        e.barrier();
        e.if_(thread.lt(depth), |e| {
            let of = |memory: V<'c, 'a>| {
                let part = |i: usize| e.load(memory, &[thread + i * depth]);
                (1..groups).fold(part(0), |sum, i| sum + part(i))
            };
            store(e, of(scratch), of(sums), thread);
        });
    }

    fn capped(&self, e: &Emitter<'c, 'a>, score: V<'c, 'a>) -> V<'c, 'a> {
        match self.attention.softcap {
            Some(cap) => e.tanh(score * (1.0 / cap)) * cap,
            None => score,
        }
    }

    /// Emits `body` with the indices and values of each pair of elements of this row of a tensor, in threads from
    /// `from` on.
    fn each_pair(
        &self,
        e: &Emitter<'c, 'a>,
        rows: &Rows,
        head: V<'c, 'a>,
        from: usize,
        body: impl FnOnce(&Emitter<'c, 'a>, [V<'c, 'a>; 2], [V<'c, 'a>; 2]),
    ) {
        let depth = self.plan.depth;
        let index = self.sequence * self.rows + self.row;
        let base = (index * rows.heads + head) * depth;
        e.loop_(self.thread_from(from), e.ci(depth.div_ceil(2)), self.plan.threads, |e, pair| {
            let places = pair_of(e, rows.rotation.as_ref().map(|(rotation, _)| rotation), depth, pair);
            let mut values = places.map(|at| self.buffers[rows.input].load(e, base + at));
            if let Some((rotation, table)) = &rows.rotation {
                let sequences = &rotation.sequences;
                let position = sequences.position(e, self.memrefs, self.sequence) + self.row;
                let length = sequences.length(e, self.memrefs, self.sequence, self.rows);
                let real = self.row.lt(length);
                // Rounded as the unfused tensor would be.
                let source = element(self.group.arguments[rows.input].r#type());
                values = turned(e, rotation, table, (pair, depth), position, values)
                    .map(|value| e.select(real, e.rounded(value, source), e.cf(0.0)));
            }
            body(e, places, values);
        });
    }

    /// This thread's number, counted from thread `from`.
    fn thread_from(&self, from: usize) -> V<'c, 'a> {
        let (thread, threads) = (self.workgroup.thread, self.plan.threads);
        if from == 0 { thread } else { (thread + (threads - from)) % threads }
    }

    /// Stores the last visible row of a cache in workgroup memory: a new row, which is also written to the cache, or
    /// one that is already there.
    fn newest(
        &self,
        e: &Emitter<'c, 'a>,
        update: Option<&Update>,
        operand: &CacheOperand,
        cache: &Cache<'c, 'a>,
        memory: V<'c, 'a>,
        from: usize,
    ) {
        let Some(update) = update else {
            let any = self.seen.start.lt(self.seen.end);
            e.if_(any, |e| {
                let row = cache.row(e, self.sequence, self.last, self.shared_head);
                e.loop_(self.thread_from(from), e.ci(self.plan.depth), self.plan.threads, |e, d| {
                    let at = row.first + d * cache.stride();
                    e.store(self.buffers[operand.operand].load(e, at), memory, &[d]);
                });
            });
            return;
        };
        let stored = element(self.group.arguments[operand.operand].r#type());
        let position = update.sequences.position(e, self.memrefs, self.sequence) + self.row;
        let length = update.sequences.length(e, self.memrefs, self.sequence, self.rows);
        let writes = self.is_first & self.row.lt(length);
        self.each_pair(e, &update.rows, self.shared_head, from, |e, places, values| {
            let values = values.map(|value| e.rounded(value, stored));
            places.iter().zip(values).for_each(|(at, value)| e.store(value, memory, &[*at]));
            if update.result.is_none() {
                return;
            }
            e.if_(writes, |e| {
                cache.if_row(e, self.sequence, position, self.shared_head, |e, row| {
                    for (at, value) in places.into_iter().zip(values) {
                        let at = row.first + at * cache.stride();
                        self.buffers[operand.operand].store(e, value, at);
                    }
                });
            });
        });
    }

    /// The dot product of two rows in workgroup memory.
    fn newest_score(&self, e: &Emitter<'c, 'a>, query: V<'c, 'a>, key: V<'c, 'a>, scratch: V<'c, 'a>) -> V<'c, 'a> {
        let width = self.plan.width;
        let lane = self.workgroup.thread % width;
        let part = (0..self.plan.depth.div_ceil(width)).fold(e.cf(0.0), |sum, i| {
            let d = lane + i * width;
            e.fma(e.load(query, &[d]), e.load(key, &[d]), sum)
        });
        match self.workgroup.subgroups {
            0 => self.workgroup.reduce(e, scratch, part, Fold::Sum),
            _ => self.workgroup.across(e, part, 1, Fold::Sum),
        }
    }

    /// Loads this thread's part of a block: elements of a key, then of values.
    fn block(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>) -> Vec<V<'c, 'a>> {
        let row = self.key_row(e, block);
        let mut all: Vec<V> = (0..self.plan.share).map(|i| self.key_element(e, row, e.ci(i))).collect();
        all.extend((0..self.plan.rounds).flat_map(|i| self.values(e, block, e.ci(i * self.plan.groups))));
        all
    }

    /// The position of a key of a block, clamped to the last but one visible position.
    fn position(&self, block: V<'c, 'a>, key: V<'c, 'a>) -> V<'c, 'a> {
        (block + key).min(self.last - 1)
    }

    /// Offset of this thread's key.
    fn key_row(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>) -> V<'c, 'a> {
        self.key.row(e, self.sequence, self.position(block, self.own_key), self.shared_head).first
    }

    /// Element `i` of this thread's share of a key. Past the head it is arbitrary, as the query is zero there.
    fn key_element(&self, e: &Emitter<'c, 'a>, row: V<'c, 'a>, i: V<'c, 'a>) -> V<'c, 'a> {
        let Plan { depth, sharers, share, .. } = self.plan;
        let d = i * sharers + self.sharer;
        let d = if sharers * share > depth { d.min(depth - 1) } else { d };
        self.buffers[self.attention.key.operand].load(e, row + d * self.key.stride())
    }

    /// Index of this thread's element `i`, clamped to the head.
    fn element(&self, i: usize) -> V<'c, 'a> {
        let Plan { depth, threads, groups, elements, .. } = self.plan;
        let d = self.own_element + i * threads;
        if groups == 1 && elements * threads > depth { d.min(depth - 1) } else { d }
    }

    /// This thread's elements of the value at key `key` of a block, plus its own key of the round.
    fn values(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>, key: V<'c, 'a>) -> Vec<V<'c, 'a>> {
        let position = self.position(block, key + self.round_key);
        let row = self.value.row(e, self.sequence, position, self.shared_head).first;
        let load = |i| self.buffers[self.attention.value.operand].load(e, row + self.element(i));
        (0..self.plan.elements).map(load).collect()
    }

    /// This thread's part of a score; `keys` are its prefetched elements, or empty.
    fn dot(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>, query: V<'c, 'a>, keys: &[V<'c, 'a>]) -> V<'c, 'a> {
        let Plan { sharers, share, unroll: [unroll, _], .. } = self.plan;
        let query = |e: &Emitter<'c, 'a>, i| e.load(query, &[i * sharers + self.sharer]);
        if self.plan.ahead {
            return keys.iter().enumerate().fold(e.cf(0.0), |sum, (i, key)| e.fma(query(e, e.ci(i)), *key, sum));
        }
        let row = self.key_row(e, block);
        e.for_(e.ci(0), e.ci(share), unroll, &[e.cf(0.0)], |e, i, sum| {
            let places: Vec<V> = (0..unroll).map(|n| i + n).collect();
            let keys: Vec<V> = places.iter().map(|i| self.key_element(e, row, *i)).collect();
            vec![places.iter().zip(keys).fold(sum[0], |sum, (i, key)| e.fma(query(e, *i), key, sum))]
        })[0]
    }

    /// Adds a block to `totals`: the sum of weights, then one weighted sum of values per element. `values` are
    /// prefetched, or empty.
    fn accumulate(
        &self,
        e: &Emitter<'c, 'a>,
        block: V<'c, 'a>,
        weights: V<'c, 'a>,
        values: &[V<'c, 'a>],
        totals: Vec<V<'c, 'a>>,
    ) -> Vec<V<'c, 'a>> {
        let Plan { keys, groups, elements, rounds, unroll: [_, unroll], .. } = self.plan;
        let add = |e: &Emitter<'c, 'a>, key: V<'c, 'a>, values: &[V<'c, 'a>], totals: Vec<V<'c, 'a>>| {
            // A thread without keys computes a sum that nothing reads.
            let place = key + self.round_key;
            let place = if groups * self.plan.depth < self.plan.threads { place.min(keys - 1) } else { place };
            let weight = e.load(weights, &[place]);
            let mut next = vec![totals[0] + weight];
            next.extend(values.iter().zip(&totals[1..]).map(|(value, total)| e.fma(weight, *value, *total)));
            next
        };
        if self.plan.ahead {
            let chunk = |i: usize| &values[i * elements..(i + 1) * elements];
            return (0..rounds).fold(totals, |totals, i| add(e, e.ci(i * groups), chunk(i), totals));
        }
        let count = (self.last - block).min(keys);
        e.for_(e.ci(0), count, unroll * groups, &totals, |e, key, totals| {
            let places: Vec<V> = (0..unroll).map(|n| key + n * groups).collect();
            let values: Vec<Vec<V>> = places.iter().map(|key| self.values(e, block, *key)).collect();
            places.iter().zip(&values).fold(totals.to_vec(), |totals, (key, values)| add(e, *key, values, totals))
        })
    }
}
