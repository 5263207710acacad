//! Attention with a streaming softmax: scores never leave the core.
//!
//! `#transformer.kernel<"attention", tile = [TQ]>`: a task computes TQ query rows of one head. It walks the visible keys
//! in blocks of 64 and keeps, for each row, the greatest score so far, the sum of exponentials and the weighted sum of
//! values (Milakov and Gimelshein, 2018):
//!
//! ```text
//! s = mask(softcap(scale * q k^T))    lanes = keys; one FMA chain a lane, d ascending
//! m' = max(m, s)   p = exp(s - m')    c = exp(m - m')
//! l = c l + p      acc = c acc + p v  lanes = elements of the head; keys ascending
//! ```
//! Blocks start at multiples of 64 positions, and a hidden key adds an exact zero, so that the order of every sum depends
//! on positions alone: not on TQ, the batch, its length or the threads.
//!
//! Keys in `keys16` are vectors already. Other keys are transposed into stack memory block by block, and so are keys in
//! pages that split a group of sixteen. Values are read along the head, so their layout is `head_major` or `row_major`.

use crate::{
    emit::{Cmp, Emitter, LANES, V},
    group::{Group, Result, Signature, dims, element, op_name},
    kernels::{
        cache::{Cache, CacheOperand, Sequences, operand},
        shared::{Scalars, Slot, each_lanes, load_lanes, store_lanes},
    },
    math::CmpF,
};
use kforge_dialect::ir::{float_attribute, integer_attribute, optional_operand};
use kforge_program::{Access, Layout};
use melior::ir::{Value, ValueLike, operation::OperationLike};

/// Keys of a block.
const BLOCK: usize = 64;
/// Vectors of scores of a row and a block.
const GROUPS: usize = BLOCK / LANES;
/// Most query rows of a task.
const MAX_ROWS: usize = 16;

/// The op and how it is tiled.
struct Attention<'g, 'c, 'a> {
    group: &'g Group<'c, 'a>,
    /// Operand [B, S, Hq, D].
    query: usize,
    key: CacheOperand,
    value: CacheOperand,
    sequences: Option<Sequences>,
    heads: usize,
    /// S.
    rows: Slot,
    causal: bool,
    scale: f32,
    window: Option<usize>,
    softcap: Option<f32>,
    /// TQ.
    height: usize,
}

/// Generates the kernel of one attention.
pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    let mut scalars = Scalars::default();
    let attention = Attention::new(group, &mut scalars)?;
    let flat = |v: &Value<'c, 'a>| module.memref(&[None], element(v.r#type()));
    let mut parameters = vec![module.index(); 1 + scalars.sizes().len()];
    parameters.extend(group.arguments.iter().chain(&group.yields).map(flat));
    let (e, values) = module.func(name, &parameters);
    let (sizes, buffers) = values[1..].split_at(scalars.sizes().len());
    Task::new(&attention, &e, values[0], sizes, buffers).emit(&e);
    e.ret();
    let mut access = vec![Access::Read; group.arguments.len()];
    access.push(Access::Write);
    let tiles = group.size(attention.query, 1..2).ceil_div(attention.height);
    let tasks = group.size(attention.query, 0..1).times(group.size(attention.query, 2..3)).times(tiles);
    Ok(Signature { access, in_place: vec![None], scalars: scalars.into_sizes(), tasks, summary: "attention".into() })
}

impl<'g, 'c, 'a> Attention<'g, 'c, 'a> {
    fn new(group: &'g Group<'c, 'a>, scalars: &mut Scalars) -> Result<'c, 'a, Self> {
        let [op] = group.body[..] else {
            return Err(group.unsupported(None, "the attention kernel takes one attention"));
        };
        if op_name(&op) != "transformer.attention" {
            return Err(group.unsupported(Some(op), "the attention kernel takes one attention"));
        }
        let [height @ 1..=MAX_ROWS] = group.tile[..] else {
            return Err(
                group.unsupported(None, format!("attention's tile is [TQ], 1 to {MAX_ROWS} query rows of a task"))
            );
        };
        let required = |i| {
            let value = op.operand(i).map_err(|_| group.unsupported(Some(op), "misses an operand"))?;
            operand(group, op, value)
        };
        let optional = |i| optional_operand(&op, i).map(|value| operand(group, op, value)).transpose();
        let (query, table) = (required(0)?, optional(5)?);
        let shape = dims(group.arguments[query].r#type());
        let [_, _, Some(heads), Some(depth)] = shape[..] else {
            return Err(group.unsupported(Some(op), "needs static heads and head size to be compiled"));
        };
        let key = CacheOperand::new(group, op, required(1)?, table, scalars)?;
        let value = CacheOperand::new(group, op, required(2)?, table, scalars)?;
        if value.layout == Layout::Keys16 {
            return Err(
                group.unsupported(Some(op), "reads values along the head; their layout is head_major or row_major")
            );
        }
        let sequences = match optional(3)? {
            Some(positions) => Some(Sequences { positions, lengths: optional(4)? }),
            None => None,
        };
        Ok(Self {
            group,
            query,
            key,
            value,
            sequences,
            heads,
            rows: scalars.add(group.size(query, 1..2)),
            causal: op.has_attribute("causal"),
            scale: float_attribute(&op, "scale").unwrap_or_else(|| (1.0 / (depth as f64).sqrt()) as f32),
            // A window that no i32 position reaches hides nothing.
            window: integer_attribute(&op, "window")
                .and_then(|w| i32::try_from(w).ok())
                .and_then(|w| usize::try_from(w).ok()),
            softcap: float_attribute(&op, "softcap"),
            height,
        })
    }

    fn depth(&self) -> usize {
        self.key.depth
    }

    /// Vectors of an output row.
    fn vectors(&self) -> usize {
        self.depth().div_ceil(LANES)
    }
}

/// The kernel under construction: what is the same for all blocks of a task.
struct Task<'g, 'c, 'a> {
    attention: &'g Attention<'g, 'c, 'a>,
    buffers: &'g [V<'c, 'a>],
    sequence: V<'c, 'a>,
    /// S, the first query row, and offset of query row 0 of this sequence and head.
    rows: V<'c, 'a>,
    first: V<'c, 'a>,
    origin: V<'c, 'a>,
    key: Cache<'c, 'a>,
    value: Cache<'c, 'a>,
    /// Head of key and value.
    head: V<'c, 'a>,
    /// For each query row the positions it sees; end is not after start where it sees none.
    visible: Vec<Span<'c, 'a>>,
    /// The positions that any row sees.
    keys: Span<'c, 'a>,
    /// [TQ, D] query rows, [TQ, 64] scores and their exponentials, [TQ, D / 16, 16] sums, all f32 on the stack.
    queries: V<'c, 'a>,
    scores: V<'c, 'a>,
    sums: V<'c, 'a>,
    /// [D, 64] keys, where the operand does not hold them that way.
    transposed: Option<V<'c, 'a>>,
}

/// start <= position < end.
#[derive(Clone, Copy)]
struct Span<'c, 'a> {
    start: V<'c, 'a>,
    end: V<'c, 'a>,
}

/// Running softmax of a row: the greatest score, and sixteen partial sums of exponentials.
#[derive(Clone, Copy)]
struct State<'c, 'a> {
    max: V<'c, 'a>,
    sum: V<'c, 'a>,
}

impl<'g, 'c, 'a> Task<'g, 'c, 'a> {
    fn new(
        attention: &'g Attention<'g, 'c, 'a>,
        e: &Emitter<'c, 'a>,
        task: V<'c, 'a>,
        sizes: &[V<'c, 'a>],
        buffers: &'g [V<'c, 'a>],
    ) -> Self {
        let (height, depth) = (attention.height, attention.depth());
        let rows = attention.rows.value(e, sizes);
        let (rest, tile) = e.div_rem(task, e.ceil_div_c(rows, height));
        let (sequence, head) = e.div_rem_c(rest, attention.heads);
        let first = e.mul_c(tile, height);
        let bind = |operand: &CacheOperand| operand.bind(e, buffers[operand.operand], buffers, sizes);
        let (key, value) = (bind(&attention.key), bind(&attention.value));
        let visible = attention.visible(e, buffers, sequence, rows, first, key.capacity(e));
        let keys = Span {
            start: visible[0].start,
            end: visible.iter().map(|span| span.end).reduce(|a, b| e.max(a, b)).expect("a tile has a row"),
        };
        let vectors = attention.vectors();
        Self {
            attention,
            buffers,
            sequence,
            rows,
            first,
            origin: e.mul_c(e.add(e.mul_c(e.mul(sequence, rows), attention.heads), head), depth),
            key,
            value,
            head: e.div_rem_c(head, (attention.heads / attention.key.heads.max(1)).max(1)).0,
            visible,
            keys,
            queries: e.alloca(&[height, vectors * LANES], e.f32()),
            scores: e.alloca(&[height, BLOCK], e.f32()),
            sums: e.alloca(&[height, vectors, LANES], e.f32()),
            transposed: (!attention.key.interleaves()).then(|| e.alloca(&[depth, BLOCK], e.f32())),
        }
    }

    fn emit(&self, e: &Emitter<'c, 'a>) {
        self.begin(e);
        let height = self.attention.height;
        let mut state = vec![e.cf(f32::NEG_INFINITY); height];
        state.extend(vec![e.vf(0.0); height]);
        let first = e.mul_c(e.div_rem_c(self.keys.start, BLOCK).0, BLOCK);
        let state = e.for_(first, self.keys.end, BLOCK, &state, |e, block, state| {
            if let Some(panel) = self.transposed {
                self.transpose(e, block, panel);
            }
            self.scores(e, block);
            let (states, corrections): (Vec<State>, Vec<V>) = (0..height)
                .map(|row| self.softmax(e, row, block, State { max: state[row], sum: state[height + row] }))
                .unzip();
            self.accumulate(e, block, &corrections);
            states.iter().map(|s| s.max).chain(states.iter().map(|s| s.sum)).collect()
        });
        self.finish(e, &state[height..]);
    }

    /// Offset of a query row, or of the last one where there are fewer.
    fn query_row(&self, e: &Emitter<'c, 'a>, row: V<'c, 'a>) -> V<'c, 'a> {
        let row = e.min(row, e.sub(self.rows, e.ci(1)));
        e.add(self.origin, e.mul_c(row, self.attention.heads * self.attention.depth()))
    }

    /// Widens the query rows and clears the sums.
    fn begin(&self, e: &Emitter<'c, 'a>) {
        let query = self.buffers[self.attention.query];
        for row in 0..self.attention.height {
            let offset = self.query_row(e, e.add_c(self.first, row));
            each_lanes(e, self.attention.depth(), |e, at, mask| {
                e.vstore(load_lanes(e, query, &[e.add(offset, at)], mask), self.queries, &[e.ci(row), at]);
            });
            for vector in 0..self.attention.vectors() {
                e.vstore(e.vf(0.0), self.sums, &[e.ci(row), e.ci(vector), e.ci(0)]);
            }
        }
    }

    /// The positions of a block that any row sees.
    fn keys_of(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>) -> Span<'c, 'a> {
        Span { start: e.max(block, self.keys.start), end: e.min(e.add_c(block, BLOCK), self.keys.end) }
    }

    /// Copies the keys of a block so that a vector holds one element of sixteen keys.
    fn transpose(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>, panel: V<'c, 'a>) {
        let keys = self.keys_of(e, block);
        e.loop_(keys.start, keys.end, 1, |e, position| {
            let offset = self.key.row(e, self.sequence, position, self.head);
            let column = e.sub(position, block);
            e.loop_(e.ci(0), e.ci(self.attention.depth()), 1, |e, d| {
                let element = e.load(self.key.memref, &[e.add(offset, e.mul_c(d, self.key.stride()))]);
                e.store(e.widen(element), panel, &[d, column]);
            });
        });
    }

    /// Stores the scaled scores of a block: `scores[row][key] = scale * sum over d of q[row][d] k[key][d]`.
    fn scores(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>) {
        let height = self.attention.height;
        let together = (accumulators(e) / height).clamp(1, GROUPS);
        for first in (0..GROUPS).step_by(together) {
            let groups = first..(first + together).min(GROUPS);
            let offsets: Vec<V> = groups.clone().map(|group| self.key_group(e, block, group)).collect();
            let count = groups.len();
            let sums =
                e.for_(e.ci(0), e.ci(self.attention.depth()), 1, &vec![e.vf(0.0); height * count], |e, d, sums| {
                    let keys: Vec<V> = groups
                        .clone()
                        .zip(&offsets)
                        .map(|(group, offset)| match self.transposed {
                            Some(panel) => e.vload(panel, &[d, e.ci(group * LANES)], LANES),
                            None => load_lanes(e, self.key.memref, &[e.add(*offset, e.mul_c(d, LANES))], None),
                        })
                        .collect();
                    let queries = (0..height).map(|row| e.splat(e.load(self.queries, &[e.ci(row), d])));
                    let products = queries.flat_map(|q| keys.iter().map(move |k| (*k, q)));
                    products.zip(sums).map(|((k, q), sum)| e.fma(k, q, *sum)).collect()
                });
            let scale = e.vf(self.attention.scale);
            for (row, group) in (0..height).flat_map(|row| groups.clone().map(move |group| (row, group))) {
                let sum = sums[row * count + group - first];
                e.vstore(e.mulf(sum, scale), self.scores, &[e.ci(row), e.ci(group * LANES)]);
            }
        }
    }

    /// Offset of sixteen interleaved keys. A group that no row sees may lie in a page that does not exist: the nearest
    /// seen group stands in for it, and its scores are masked.
    fn key_group(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>, group: usize) -> V<'c, 'a> {
        if self.transposed.is_some() {
            return block;
        }
        let aligned = |e: &Emitter<'c, 'a>, position: V<'c, 'a>| e.mul_c(e.div_rem_c(position, LANES).0, LANES);
        let (low, high) = (aligned(e, self.keys.start), aligned(e, e.sub(self.keys.end, e.ci(1))));
        let position = e.max(e.min(e.add_c(block, group * LANES), high), low);
        self.key.row(e, self.sequence, position, self.head)
    }

    /// Turns a row's scores into exponentials. Returns the new state, and the factor of the sums so far.
    fn softmax(
        &self,
        e: &Emitter<'c, 'a>,
        row: usize,
        block: V<'c, 'a>,
        state: State<'c, 'a>,
    ) -> (State<'c, 'a>, V<'c, 'a>) {
        let lowest = e.vf(f32::NEG_INFINITY);
        let span = self.visible[row];
        let bound = |position: V<'c, 'a>| e.splat(e.cast("arith.index_cast", position, e.int(32)));
        let (start, end) = (bound(e.sub(span.start, block)), bound(e.sub(span.end, block)));
        let at = |group: usize| [e.ci(row), e.ci(group * LANES)];
        let scores: Vec<V> = (0..GROUPS)
            .map(|group| {
                let score = e.vload(self.scores, &at(group), LANES);
                let score = match self.attention.softcap {
                    Some(cap) => e.mulf(e.tanh(e.divf(score, e.vf(cap))), e.vf(cap)),
                    None => score,
                };
                let lanes: Vec<i32> = (0..LANES).map(|lane| (group * LANES + lane) as i32).collect();
                let position = e.vi_lanes(&lanes);
                let seen = e.same("arith.andi", &[e.cmp(Cmp::Sge, position, start), e.cmp(Cmp::Slt, position, end)]);
                e.select(seen, score, lowest)
            })
            .collect();
        let top = scores.iter().copied().reduce(|a, b| larger(e, a, b)).expect("a block has scores");
        let max = larger(e, state.max, e.reduce("maxnumf", top));
        // Until a key is seen the maximum is -inf, whose difference to itself is no number.
        let seen = e.cmpf(CmpF::Ogt, max, e.cf(f32::NEG_INFINITY));
        let reference = e.select(seen, max, e.cf(0.0));
        let correction = e.splat(e.exp(e.subf(state.max, reference)));
        let reference = e.splat(reference);
        let weights: Vec<V> = scores.iter().map(|score| e.exp(e.subf(*score, reference))).collect();
        for (group, weight) in weights.iter().enumerate() {
            e.vstore(*weight, self.scores, &at(group));
        }
        let sum = weights.into_iter().reduce(|a, b| e.addf(a, b)).expect("a block has scores");
        (State { max, sum: e.fma(state.sum, correction, sum) }, correction)
    }

    /// `sums = correction * sums + weights v`, as many vectors of the head at a time as registers hold.
    fn accumulate(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>, corrections: &[V<'c, 'a>]) {
        let (height, depth, vectors) = (self.attention.height, self.attention.depth(), self.attention.vectors());
        let together = (accumulators(e) / height).max(1);
        let keys = self.keys_of(e, block);
        for first in (0..vectors).step_by(together) {
            let chunk: Vec<usize> = (first..(first + together).min(vectors)).collect();
            let places: Vec<(usize, usize)> =
                (0..height).flat_map(|row| chunk.iter().map(move |vector| (row, *vector))).collect();
            let at = |e: &Emitter<'c, 'a>, (row, vector): (usize, usize)| [e.ci(row), e.ci(vector), e.ci(0)];
            let sums: Vec<V> =
                places.iter().map(|p| e.mulf(e.vload(self.sums, &at(e, *p), LANES), corrections[p.0])).collect();
            let sums = e.for_(keys.start, keys.end, 1, &sums, |e, position, sums| {
                let offset = self.value.row(e, self.sequence, position, self.head);
                let column = e.sub(position, block);
                let values: Vec<V> = chunk
                    .iter()
                    .map(|vector| {
                        let start = vector * LANES;
                        let mask = (depth - start < LANES).then(|| e.mask(e.ci(depth - start)));
                        load_lanes(e, self.value.memref, &[e.add_c(offset, start)], mask)
                    })
                    .collect();
                let weights = (0..height).map(|row| e.splat(e.load(self.scores, &[e.ci(row), column])));
                let products = weights.flat_map(|weight| values.iter().map(move |value| (*value, weight)));
                products.zip(sums).map(|((value, weight), sum)| e.fma(value, weight, *sum)).collect()
            });
            for (place, sum) in places.iter().zip(sums) {
                e.vstore(sum, self.sums, &at(e, *place));
            }
        }
    }

    /// Divides by the sums of exponentials and stores; a row that sees no key is zero.
    fn finish(&self, e: &Emitter<'c, 'a>, totals: &[V<'c, 'a>]) {
        let output = self.buffers[self.attention.group.arguments.len()];
        for (row, total) in totals.iter().enumerate() {
            let index = e.add_c(self.first, row);
            let span = self.visible[row];
            e.if_(e.cmp(Cmp::Slt, index, self.rows), |e| {
                let seen = e.cmp(Cmp::Slt, span.start, span.end);
                let total = e.splat(e.reduce("add", *total));
                let offset = self.query_row(e, index);
                each_lanes(e, self.attention.depth(), |e, at, mask| {
                    let sum = e.vload(self.sums, &[e.ci(row), e.div_rem_c(at, LANES).0, e.ci(0)], LANES);
                    let mean = e.select(seen, e.divf(sum, total), e.vf(0.0));
                    store_lanes(e, mean, output, &[e.add(offset, at)], mask);
                });
            });
        }
    }
}

impl<'c, 'a> Attention<'_, 'c, 'a> {
    /// What each row of a tile sees.
    fn visible(
        &self,
        e: &Emitter<'c, 'a>,
        operands: &[V<'c, 'a>],
        sequence: V<'c, 'a>,
        rows: V<'c, 'a>,
        first: V<'c, 'a>,
        capacity: V<'c, 'a>,
    ) -> Vec<Span<'c, 'a>> {
        let (before, count, keys) = match &self.sequences {
            Some(sequences) => {
                let position = sequences.position(e, operands, sequence);
                let count = sequences.length(e, operands, sequence, rows);
                (position, count, e.min(e.add(position, count), capacity))
            }
            None => (e.sub(capacity, rows), rows, capacity),
        };
        let zero = e.ci(0);
        let span = |row| {
            let row = e.add_c(first, row);
            let after = e.add_c(e.add(before, row), 1);
            let end = if self.causal { e.min(keys, after) } else { keys };
            let start = self.window.map_or(zero, |window| e.max(e.sub(after, e.ci(window)), zero));
            Span { start, end: e.select(e.cmp(Cmp::Slt, row, count), end, zero) }
        };
        (0..self.height).map(span).collect()
    }
}

/// Sixteen-lane accumulators that leave room for operands.
fn accumulators(e: &Emitter) -> usize {
    e.isa.registers() / 2
}

/// The greater of two numbers, in one instruction; scores are compared after masking.
fn larger<'c, 'a>(e: &Emitter<'c, 'a>, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
    e.select(e.cmpf(CmpF::Ogt, a, b), a, b)
}
