//! Attention with a streaming softmax: scores are never written to memory outside the task.
//!
//! `#transformer.kernel<"attention", tile = [TQ, TH, P]>`: a task computes TQ query rows of TH heads that share a key
//! and value head, so each load of a key or value serves TQ TH rows. For each row it keeps the maximum score so far,
//! the sum of exponentials and the weighted sum of values (Milakov and Gimelshein, 2018). It iterates over the visible
//! keys in blocks of 64:
//!
//! ```text
//! s = mask(softcap(scale * q k^T))    lanes = keys; one FMA chain a lane, d ascending
//! m' = max(m, s)   p = exp(s - m')    c = exp(m - m')
//! l = c l + p      acc = c acc + p v  lanes = elements of the head; keys ascending
//! ```
//! Each range of 256 keys starts from an empty state, and its (m, l, acc) is then merged into that of the ranges before
//! it:
//!
//! ```text
//! m' = max(m, mr)  c = exp(m - m')    cr = exp(mr - m')
//! l = c l + cr lr  acc = c acc + cr accr
//! ```
//! Blocks and ranges start at multiples of 64 and 256 positions, and a masked key adds an exact zero. So the order of
//! every sum depends on positions alone: not on the tile, the batch, the sequence length or the number of threads.
//!
//! With P > 1 (and TQ = 1) P tasks share a row, each taking adjacent ranges. They store their (m, l, acc) in an
//! intermediate [B, S, Hq, ranges, (m, l, acc)], and a second launch merges them. A row that sees a single range is
//! finished by its own task.
//!
//! Keys in `keys16` load as vectors. Other keys are transposed into stack memory block by block, and so are keys in
//! pages whose size is not a multiple of sixteen. Values are read along the head, so they need no such layout. 8-bit
//! caches are read as integers times their scales, which gives exactly the f32 that were rounded on storing: the layout
//! changes no bit of the result.

use crate::{
    emit::{Emitter, LANES, V, memref_element},
    group::{Group, Partner, Result, Signature, Size, dims, element},
    kernels::{
        cache::{Cache, CacheOperand, Row, Sequences, parameter},
        shared::{Scalars, Slot, each_lanes, load_lanes, store_lanes},
    },
};
use kforge_dialect::{
    Op,
    ir::{float_attribute, integer_attribute},
};
use kforge_program::Access;
use melior::ir::{
    Value, ValueLike,
    operation::{OperationLike, OperationRef},
};

/// Keys per block.
const BLOCK: usize = 64;
/// Vectors of scores per row and block.
const GROUPS: usize = BLOCK / LANES;
/// Keys per range, a multiple of [`BLOCK`]: small enough for several tasks at a short context, large enough that
/// merging is cheap.
const RANGE: usize = 256;
/// Bytes per cache line.
const LINE: usize = 64;
/// Maximum query rows per task, over all its heads.
const MAX_ROWS: usize = 16;
/// Maximum tasks that share a row.
const MAX_PARTS: usize = 1024;

/// The op and how it is tiled.
pub struct Attention<'g, 'c, 'a> {
    group: &'g Group<'c, 'a>,
    pub op: OperationRef<'c, 'a>,
    /// Operand [B, S, Hq, D].
    pub query: usize,
    pub key: CacheOperand,
    pub value: CacheOperand,
    pub sequences: Option<Sequences>,
    pub heads: usize,
    /// Query heads per key head.
    pub shared: usize,
    /// S.
    pub rows: Slot,
    /// Ranges of a full cache.
    ranges: Slot,
    causal: bool,
    pub scale: f32,
    window: Option<usize>,
    pub softcap: Option<f32>,
    /// TQ, TH, P.
    height: usize,
    width: usize,
    parts: usize,
}

/// Generates the kernel of one attention, or two kernels where tasks share its ranges.
pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    let mut scalars = Scalars::default();
    if group.body.len() != 1 {
        return Err(group.unsupported(None, "the attention kernel takes one attention"));
    }
    let attention = Attention::new(group, &mut scalars)?;
    group.check_result(attention.op)?;
    let split = attention.parts > 1;
    let flat = |v: &Value<'c, 'a>| module.memref(&[None], element(v.r#type()));
    let mut parameters = vec![module.index(); 1 + scalars.sizes().len()];
    parameters.extend((0..group.arguments.len()).map(|i| parameter(module, group, i)));
    parameters.extend(group.yields.iter().map(flat));
    if split {
        parameters.push(module.memref(&[None], module.f32()));
    }
    module.func(name, &parameters, |e, values| {
        let (sizes, buffers) = values[1..].split_at(scalars.sizes().len());
        let task = Task::new(&attention, e, values[0], sizes, buffers);
        if split { task.emit_part(e) } else { task.emit(e) }
    });
    let size = |axis: usize| group.size(attention.query, axis..axis + 1);
    let partner = split.then(|| {
        let name = format!("{name}_fold");
        module.func(&name, &parameters, |e, values| {
            let (sizes, buffers) = values[1..].split_at(scalars.sizes().len());
            Fold::new(&attention, e, values[0], sizes, buffers).emit(e);
        });
        let rows = size(0).times(size(1)).times(size(2));
        Partner {
            name,
            before: false,
            elements: rows.clone().times(attention.range_count()),
            width: attention.record(),
            tasks: rows,
            summary: "attention ranges".into(),
        }
    });
    let mut access = vec![Access::Read; group.arguments.len()];
    access.push(Access::Write);
    let tiles = size(1).ceil_div(attention.height);
    let chunks = attention.key.heads * attention.chunks() * attention.parts;
    let tasks = size(0).times(Size::Const(chunks)).times(tiles);
    let scalars = scalars.into_sizes();
    Ok(Signature { access, in_place: vec![None], scalars, tasks, summary: "attention".into(), partner })
}

impl<'g, 'c, 'a> Attention<'g, 'c, 'a> {
    /// Finds the group's one attention; its operands are traced through `rope` and `kv_update` ops of the group to the
    /// rows and caches that those read.
    pub fn new(group: &'g Group<'c, 'a>, scalars: &mut Scalars) -> Result<'c, 'a, Self> {
        let mut ops = group.body.iter().copied().filter(|op| Op::Attention.is(op));
        let (Some(op), None) = (ops.next(), ops.next()) else {
            let alone = group.body.first().copied().filter(|_| group.body.len() == 1);
            return Err(group.unsupported(alone, "the attention kernel takes one attention"));
        };
        let [height @ 1..=MAX_ROWS, width @ 1..=MAX_ROWS, parts @ 1..=MAX_PARTS] = group.tile[..] else {
            return Err(group.unsupported(
                None,
                "attention's tile is [TQ, TH, P]: query rows and heads of a task, and tasks that share the keys of a row",
            ));
        };
        if height * width > MAX_ROWS {
            return Err(
                group.unsupported(None, format!("a task of attention has at most {MAX_ROWS} rows, TQ times TH"))
            );
        }
        if parts > 1 && height > 1 {
            return Err(group.unsupported(None, "tasks share the keys of one row: where P is more than 1, TQ is 1"));
        }
        let required = |i| {
            let mut value = op.operand(i).map_err(|_| group.unsupported(Some(op), "misses an operand"))?;
            while let Some(def) = group.defining_op(value)
                && matches!(Op::of(&def), Some(Op::Rope | Op::KvUpdate))
            {
                value = def.operand(0).map_err(|_| group.unsupported(Some(def), "misses an operand"))?;
            }
            group.outside(op, value)
        };
        let optional = |i| group.optional(op, i);
        let (query, table) = (required(0)?, optional(5)?);
        let shape = dims(group.arguments[query].r#type());
        let [_, _, Some(heads), Some(depth)] = shape[..] else {
            return Err(group.unsupported(Some(op), "needs static heads and head size to be compiled"));
        };
        let key = CacheOperand::new(group, op, required(1)?, table, scalars)?;
        let value = CacheOperand::new(group, op, required(2)?, table, scalars)?;
        if key.heads == 0 || !heads.is_multiple_of(key.heads) || !(1..=heads / key.heads).contains(&width) {
            let shared = heads.checked_div(key.heads).unwrap_or(0);
            return Err(
                group.unsupported(Some(op), format!("has {shared} query heads for each key head, and TH {width}"))
            );
        }
        let sequences = match optional(3)? {
            Some(positions) => Some(Sequences { positions, lengths: optional(4)? }),
            None => None,
        };
        Ok(Self {
            group,
            op,
            query,
            sequences,
            heads,
            shared: heads / key.heads,
            rows: scalars.add(group.size(query, 1..2)),
            ranges: scalars.add(range_count(group, &key)),
            causal: op.has_attribute("causal"),
            scale: float_attribute(&op, "scale").unwrap_or_else(|| (1.0 / (depth as f64).sqrt()) as f32),
            // A window that no i32 position reaches hides nothing.
            window: integer_attribute(&op, "window")
                .and_then(|w| i32::try_from(w).ok())
                .and_then(|w| usize::try_from(w).ok()),
            softcap: float_attribute(&op, "softcap"),
            height,
            width,
            parts,
            key,
            value,
        })
    }

    fn range_count(&self) -> Size {
        range_count(self.group, &self.key)
    }

    /// Tasks for the query heads of one key head; the last may have fewer heads.
    fn chunks(&self) -> usize {
        self.shared.div_ceil(self.width)
    }

    /// Floats that a row stores per range: m in all lanes, sixteen partial sums l, then acc.
    fn record(&self) -> usize {
        (2 + self.vectors()) * LANES
    }

    pub fn depth(&self) -> usize {
        self.key.depth
    }

    /// Vectors per output row.
    fn vectors(&self) -> usize {
        self.depth().div_ceil(LANES)
    }
}

/// Ranges of a full cache.
fn range_count(group: &Group, key: &CacheOperand) -> Size {
    key.capacity_size(group).ceil_div(RANGE)
}

/// The kernel under construction: values that are the same for all blocks of a task. Its rows are TQ query rows times
/// TH heads.
struct Task<'g, 'c, 'a> {
    attention: &'g Attention<'g, 'c, 'a>,
    buffers: &'g [V<'c, 'a>],
    sequence: V<'c, 'a>,
    /// S, and the first query row.
    rows: V<'c, 'a>,
    first: V<'c, 'a>,
    /// Index among the P tasks that share the ranges.
    part: V<'c, 'a>,
    /// Ranges of a full cache.
    ranges: V<'c, 'a>,
    key: Cache<'c, 'a>,
    value: Cache<'c, 'a>,
    /// Key and value head, and the first of the task's query heads among those that share it.
    head: V<'c, 'a>,
    shared: V<'c, 'a>,
    /// Visible positions of each query row; end <= start if it sees none.
    visible: Vec<Span<'c, 'a>>,
    /// Positions visible to at least one row.
    keys: Span<'c, 'a>,
    /// Stack memory in f32: [rows, D] queries, [rows, 64] scores and later their exponentials, [rows, D / 16, 16]
    /// weighted sums of values of the current range and of all ranges so far.
    queries: V<'c, 'a>,
    scores: V<'c, 'a>,
    sums: V<'c, 'a>,
    totals: V<'c, 'a>,
    /// [D, 64] transposed keys, where the operand is not interleaved that way.
    transposed: Option<V<'c, 'a>>,
}

/// start <= position < end.
#[derive(Clone, Copy)]
pub struct Span<'c, 'a> {
    pub start: V<'c, 'a>,
    pub end: V<'c, 'a>,
}

impl<'c, 'a> Span<'c, 'a> {
    /// The first range of a span, and the one after its last.
    fn ranges(&self) -> (V<'c, 'a>, V<'c, 'a>) {
        (self.start / RANGE, self.end.ceil_div(RANGE))
    }
}

/// Running softmax of a row: the maximum score, and sixteen partial sums of exponentials.
#[derive(Clone, Copy)]
struct State<'c, 'a> {
    max: V<'c, 'a>,
    sum: V<'c, 'a>,
}

impl<'c, 'a> State<'c, 'a> {
    /// The state before any key.
    fn empty(e: &Emitter<'c, 'a>) -> Self {
        Self { max: e.cf(f32::NEG_INFINITY), sum: e.vf(0.0) }
    }

    /// Merges one range into the state; returns the rescaling factors of both weighted sums of values.
    fn fold(self, e: &Emitter<'c, 'a>, range: Self) -> (Self, Weights<'c, 'a>) {
        let max = larger(e, self.max, range.max);
        let reference = finite(e, max);
        let weight = |max| e.splat(e.exp(max - reference));
        let weights = Weights { before: weight(self.max), range: weight(range.max) };
        (Self { max, sum: weights.sum(e, self.sum, range.sum) }, weights)
    }

    fn flat(states: &[Self]) -> Vec<V<'c, 'a>> {
        states.iter().map(|s| s.max).chain(states.iter().map(|s| s.sum)).collect()
    }

    fn each(values: &[V<'c, 'a>]) -> Vec<Self> {
        let (maxima, sums) = values.split_at(values.len() / 2);
        maxima.iter().zip(sums).map(|(max, sum)| Self { max: *max, sum: *sum }).collect()
    }
}

/// Rescaling factors of a merge, in all lanes: of the state before, and of the range.
struct Weights<'c, 'a> {
    before: V<'c, 'a>,
    range: V<'c, 'a>,
}

impl<'c, 'a> Weights<'c, 'a> {
    fn sum(&self, e: &Emitter<'c, 'a>, before: V<'c, 'a>, range: V<'c, 'a>) -> V<'c, 'a> {
        e.fma(range, self.range, before * self.before)
    }
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
        let (rest, part) = task.div_rem(attention.parts);
        let (rest, tile) = rest.div_rem(rows.ceil_div(height));
        let (rest, chunk) = rest.div_rem(attention.chunks());
        let (sequence, head) = rest.div_rem(attention.key.heads);
        let first = tile * height;
        let (key, value) = attention.caches(e, sizes, buffers);
        let visible = attention.visible(e, buffers, sequence, rows, first, height, key.capacity());
        let keys = Span {
            start: visible[0].start,
            end: visible.iter().map(|span| span.end).reduce(|a, b| a.max(b)).expect("a tile has a row"),
        };
        let (vectors, count) = (attention.vectors(), attention.count());
        Self {
            attention,
            buffers,
            sequence,
            rows,
            first,
            part,
            ranges: attention.ranges.value(e, sizes),
            key,
            value,
            head,
            shared: chunk * attention.width,
            visible,
            keys,
            queries: e.alloca(&[count, vectors * LANES], e.f32()),
            scores: e.alloca(&[count, BLOCK], e.f32()),
            sums: e.alloca(&[count, vectors, LANES], e.f32()),
            totals: e.alloca(&[count, vectors, LANES], e.f32()),
            transposed: (!attention.key.interleaves()).then(|| e.alloca(&[depth, BLOCK], e.f32())),
        }
    }

    /// Computes all ranges of the rows in order.
    fn emit(&self, e: &Emitter<'c, 'a>) {
        self.begin(e);
        let count = self.attention.count();
        for row in 0..count {
            self.clear(e, self.totals, row);
        }
        let (first, end) = self.keys.ranges();
        let none = State::flat(&vec![State::empty(e); count]);
        let totals = e.for_(first, end, 1, &none, |e, range, totals| {
            let folded =
                State::each(totals).into_iter().zip(self.range(e, range)).enumerate().map(|(row, (total, part))| {
                    let (total, weights) = total.fold(e, part);
                    for vector in 0..self.attention.vectors() {
                        let at = [e.ci(row), e.ci(vector), e.ci(0)];
                        let (before, range) = (e.vload(self.totals, &at, LANES), e.vload(self.sums, &at, LANES));
                        e.vstore(weights.sum(e, before, range), self.totals, &at);
                    }
                    total
                });
            State::flat(&folded.collect::<Vec<_>>())
        });
        for (row, total) in State::each(&totals).into_iter().enumerate() {
            self.if_real(e, row, |e, offset| {
                self.attention.finish(
                    e,
                    self.buffers,
                    total,
                    self.visible[row / self.attention.width],
                    offset,
                    |e, at| e.vload(self.totals, &[e.ci(row), at / LANES, e.ci(0)], LANES),
                );
            });
        }
    }

    /// Computes one P-th of the ranges of one row. Each is stored for the second launch, unless the row has a single
    /// range.
    fn emit_part(&self, e: &Emitter<'c, 'a>) {
        let (first, end) = self.keys.ranges();
        let share = (end - first).max(0).ceil_div(self.attention.parts);
        let own = first + self.part * share;
        e.if_(own.lt(end), |e| self.begin(e));
        e.loop_(own, (own + share).min(end), 1, |e, range| {
            let states = self.range(e, range);
            e.if_((end - first).eq(1), |e| {
                for (row, state) in states.iter().enumerate() {
                    self.if_real(e, row, |e, offset| {
                        let (total, weights) = State::empty(e).fold(e, *state);
                        self.attention.finish(e, self.buffers, total, self.keys, offset, |e, at| {
                            let sum = e.vload(self.sums, &[e.ci(row), at / LANES, e.ci(0)], LANES);
                            weights.sum(e, e.vf(0.0), sum)
                        });
                    });
                }
            });
            e.if_((end - first).gt(1), |e| {
                for (row, state) in states.iter().enumerate() {
                    self.if_real(e, row, |e, offset| {
                        let (scratch, record) = self.attention.record_of(self.buffers, offset, self.ranges, range);
                        e.vstore(e.splat(state.max), scratch, &[record]);
                        e.vstore(state.sum, scratch, &[record + LANES]);
                        for vector in 0..self.attention.vectors() {
                            let sum = e.vload(self.sums, &[e.ci(row), e.ci(vector), e.ci(0)], LANES);
                            e.vstore(sum, scratch, &[record + (2 + vector) * LANES]);
                        }
                    });
                }
            });
        });
    }

    /// Computes the states of one range, which may start before and end after the visible keys.
    fn range(&self, e: &Emitter<'c, 'a>, range: V<'c, 'a>) -> Vec<State<'c, 'a>> {
        let count = self.attention.count();
        for row in 0..count {
            self.clear(e, self.sums, row);
        }
        let start = range * RANGE;
        let block = self.keys.start / BLOCK * BLOCK;
        let (first, end) = (start.max(block), (start + RANGE).min(self.keys.end));
        let none = State::flat(&vec![State::empty(e); count]);
        let states = e.for_(first, end, BLOCK, &none, |e, block, states| {
            if let Some(panel) = self.transposed {
                self.transpose(e, block, panel);
            }
            self.scores(e, block);
            let masks: Vec<Vec<V>> = self.visible.iter().map(|span| seen(e, block, *span)).collect();
            let (states, corrections): (Vec<State>, Vec<V>) = (State::each(states).into_iter().enumerate())
                .map(|(row, state)| self.softmax(e, row, &masks[row / self.attention.width], state))
                .unzip();
            self.accumulate(e, block, &corrections);
            State::flat(&states)
        });
        State::each(&states)
    }

    /// Query row and head of a row of the tile; may be past the last of either.
    fn place(&self, row: usize) -> (V<'c, 'a>, V<'c, 'a>) {
        let (index, head) = (row / self.attention.width, row % self.attention.width);
        (self.first + index, self.shared + head)
    }

    /// Offset in the query of the row [D] of a given query row and head.
    fn offset(&self, row: V<'c, 'a>, head: V<'c, 'a>) -> V<'c, 'a> {
        let head = self.head * self.attention.shared + head;
        let row = self.sequence * self.rows + row;
        (row * self.attention.heads + head) * self.attention.depth()
    }

    /// Emits `body` with the offset of a row, guarded by whether the row exists.
    fn if_real(&self, e: &Emitter<'c, 'a>, row: usize, body: impl FnOnce(&Emitter<'c, 'a>, V<'c, 'a>)) {
        let (index, head) = self.place(row);
        let rows = index.lt(self.rows);
        let heads = head.lt(self.attention.shared);
        e.if_(rows & heads, |e| body(e, self.offset(index, head)));
    }

    fn clear(&self, e: &Emitter<'c, 'a>, sums: V<'c, 'a>, row: usize) {
        for vector in 0..self.attention.vectors() {
            e.vstore(e.vf(0.0), sums, &[e.ci(row), e.ci(vector), e.ci(0)]);
        }
    }

    /// Copies the query rows to the stack, widened to f32.
    fn begin(&self, e: &Emitter<'c, 'a>) {
        let query = self.buffers[self.attention.query];
        for row in 0..self.attention.count() {
            let (index, head) = self.place(row);
            let index = index.min(self.rows - 1);
            let offset = self.offset(index, head.min(self.attention.shared - 1));
            each_lanes(e, self.attention.depth(), |e, at, mask| {
                e.vstore(load_lanes(e, query, &[offset + at], mask), self.queries, &[e.ci(row), at]);
            });
        }
    }

    /// Positions of a block that are visible to at least one row.
    fn keys_of(&self, block: V<'c, 'a>) -> Span<'c, 'a> {
        Span { start: block.max(self.keys.start), end: (block + BLOCK).min(self.keys.end) }
    }

    /// Transposes the keys of a block, so that a vector holds one element of sixteen keys.
    fn transpose(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>, panel: V<'c, 'a>) {
        let keys = self.keys_of(block);
        e.loop_(keys.start, keys.end, 1, |e, position| {
            let row = self.key.row(e, self.sequence, position, self.head);
            let column = position - block;
            e.loop_(e.ci(0), e.ci(self.attention.depth()), 1, |e, d| {
                e.store(self.key.element(e, row, d), panel, &[d, column]);
            });
        });
    }

    /// Stores the scaled scores of a block: `scores[row][key] = scale * sum over d of q[row][d] k[key][d]`.
    fn scores(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>) {
        let (lanes, most) = registers(e, self.attention.count());
        let registers: Vec<usize> = (0..BLOCK).step_by(lanes).collect();
        let passes = registers.chunks(most.min(registers.len()));
        let values = self.ahead(e, &self.value, block, passes.len() * self.attention.depth());
        for (pass, keys) in passes.enumerate() {
            let seen = (block + keys[0]).lt(self.keys.end);
            e.if_(seen, |e| {
                self.scores_of(e, block, lanes, keys, |e, d| values.step(e, pass * self.attention.depth(), d))
            });
        }
    }

    /// Computes the scores of registers of keys, given by the first key of each; `beside` is emitted into the loop over
    /// d.
    fn scores_of(
        &self,
        e: &Emitter<'c, 'a>,
        block: V<'c, 'a>,
        lanes: usize,
        keys: &[usize],
        beside: impl Fn(&Emitter<'c, 'a>, V<'c, 'a>),
    ) {
        let (height, count) = (self.attention.count(), keys.len());
        let ty = e.vector(lanes, e.f32());
        let groups: Vec<Option<Row>> = keys.iter().map(|key| self.key_group(e, block, key / LANES)).collect();
        let none = vec![e.cf_like(0.0, ty); height * count];
        let sums = e.for_(e.ci(0), e.ci(self.attention.depth()), 1, &none, |e, d, sums| {
            beside(e, d);
            let keys: Vec<V> = (keys.iter().zip(&groups))
                .map(|(key, group)| match (group, self.transposed) {
                    (Some(group), _) => self.key.keys(e, *group, d, key % LANES, lanes),
                    (None, panel) => e.vload(panel.expect("a panel"), &[d, e.ci(*key)], lanes),
                })
                .collect();
            let queries = (0..height).map(|row| e.splat_to(e.load(self.queries, &[e.ci(row), d]), lanes));
            let products = queries.flat_map(|q| keys.iter().map(move |k| (*k, q)));
            products.zip(sums).map(|((k, q), sum)| e.fma(k, q, *sum)).collect()
        });
        let scale = e.cf_like(self.attention.scale, ty);
        for (row, (i, key)) in (0..height).flat_map(|row| keys.iter().enumerate().map(move |key| (row, key))) {
            let sum = sums[row * count + i] * scale;
            e.vstore(sum, self.scores, &[e.ci(row), e.ci(*key)]);
        }
    }

    /// Prefetches a block of a cache, spread over `steps` steps of another loop.
    fn ahead(&self, e: &Emitter<'c, 'a>, cache: &Cache<'c, 'a>, block: V<'c, 'a>, steps: usize) -> Ahead<'c, 'a> {
        let wanted = self.attention.parts > 1 && cache.is_contiguous();
        let step = cache.extent(BLOCK).div_ceil(steps.max(1));
        let line = LINE / element_bytes(e, cache.memref);
        let base = wanted.then(|| cache.row(e, self.sequence, block, self.head).first);
        Ahead { memref: cache.memref, base, step, line }
    }

    /// The place of sixteen interleaved keys, or `None` if keys are transposed. A group that no row sees may lie in a
    /// page that does not exist: the nearest visible group is read in its place, and its scores are masked.
    fn key_group(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>, group: usize) -> Option<Row<'c, 'a>> {
        if self.transposed.is_some() {
            return None;
        }
        let aligned = |position: V<'c, 'a>| position / LANES * LANES;
        let (low, high) = (aligned(self.keys.start), aligned(self.keys.end - 1));
        let position = (block + group * LANES).min(high).max(low);
        Some(self.key.row(e, self.sequence, position, self.head))
    }

    /// Replaces the scores of a row and a block by their exponentials; returns the new state and the rescaling factor
    /// of earlier sums.
    fn softmax(
        &self,
        e: &Emitter<'c, 'a>,
        row: usize,
        seen: &[V<'c, 'a>],
        state: State<'c, 'a>,
    ) -> (State<'c, 'a>, V<'c, 'a>) {
        let lowest = e.vf(f32::NEG_INFINITY);
        let tops = seen.iter().enumerate().map(|(group, seen)| {
            let at = [e.ci(row), e.ci(group * LANES)];
            let score = e.vload(self.scores, &at, LANES);
            let score = match self.attention.softcap {
                Some(cap) => e.tanh(score / cap) * cap,
                None => score,
            };
            let score = e.select(*seen, score, lowest);
            e.vstore(score, self.scores, &at);
            score
        });
        let top = tops.reduce(|a, b| larger(e, a, b)).expect("a block has scores");
        let max = larger(e, state.max, e.reduce("maxnumf", top));
        let reference = finite(e, max);
        let correction = e.splat(e.exp(state.max - reference));
        let reference = e.splat(reference);
        // Not unrolled: computing all exponentials of a block at once would spill constants and intermediate values.
        let sum = e.for_(e.ci(0), e.ci(BLOCK), LANES, &[e.vf(0.0)], |e, key, sum| {
            let at = [e.ci(row), key];
            let weight = e.exp(e.vload(self.scores, &at, LANES) - reference);
            e.vstore(weight, self.scores, &at);
            vec![sum[0] + weight]
        })[0];
        (State { max, sum: e.fma(state.sum, correction, sum) }, correction)
    }

    /// `sums = correction * sums + weights v`, for as many elements of the head at a time as registers hold.
    fn accumulate(&self, e: &Emitter<'c, 'a>, block: V<'c, 'a>, corrections: &[V<'c, 'a>]) {
        let (height, depth) = (self.attention.count(), self.attention.depth());
        let (lanes, most) = registers(e, height);
        // A head that ends within sixteen lanes is masked there.
        let lanes = if depth.is_multiple_of(LANES) { lanes } else { LANES };
        let keys = self.keys_of(block);
        let registers: Vec<usize> = (0..depth).step_by(lanes).collect();
        let passes = registers.chunks(most.clamp(1, registers.len().max(1)));
        let next = self.ahead(e, &self.key, block + BLOCK, passes.len() * BLOCK);
        for (pass, chunk) in passes.enumerate() {
            let places: Vec<(usize, usize)> =
                (0..height).flat_map(|row| chunk.iter().map(move |start| (row, *start))).collect();
            let at = |e: &Emitter<'c, 'a>, (row, start): (usize, usize)| {
                [e.ci(row), e.ci(start / LANES), e.ci(start % LANES)]
            };
            let factors: Vec<V> = corrections.iter().map(|c| e.splat_to(e.extract(*c, 0), lanes)).collect();
            let sums: Vec<V> = places.iter().map(|p| e.vload(self.sums, &at(e, *p), lanes) * factors[p.0]).collect();
            let sums = e.for_(keys.start, keys.end, 1, &sums, |e, position, sums| {
                let row = self.value.row(e, self.sequence, position, self.head);
                let column = position - block;
                next.step(e, pass * BLOCK, column);
                let values: Vec<V> = chunk.iter().map(|start| self.value.values(e, row, *start, lanes)).collect();
                let weights = (0..height).map(|row| e.splat_to(e.load(self.scores, &[e.ci(row), column]), lanes));
                let products = weights.flat_map(|weight| values.iter().map(move |value| (*value, weight)));
                products.zip(sums).map(|((value, weight), sum)| e.fma(value, weight, *sum)).collect()
            });
            for (place, sum) in places.iter().zip(sums) {
                e.vstore(sum, self.sums, &at(e, *place));
            }
        }
    }
}

/// Prefetch of one block of a cache while another is computed with, a few cache lines per step. Otherwise a task that
/// streams alone leaves memory idle while it computes.
struct Ahead<'c, 'a> {
    memref: V<'c, 'a>,
    /// Offset of the block, if it is prefetched.
    base: Option<V<'c, 'a>>,
    /// Elements per step, and per cache line.
    step: usize,
    line: usize,
}

impl<'c, 'a> Ahead<'c, 'a> {
    fn step(&self, e: &Emitter<'c, 'a>, before: usize, number: V<'c, 'a>) {
        let Some(base) = self.base else { return };
        let start = base + (number + before) * self.step;
        (0..self.step).step_by(self.line).for_each(|i| e.prefetch(self.memref, &[start + i]));
    }
}

/// The second launch: a task merges the ranges of one row.
struct Fold<'g, 'c, 'a> {
    attention: &'g Attention<'g, 'c, 'a>,
    buffers: &'g [V<'c, 'a>],
    /// Ranges of a full cache.
    ranges: V<'c, 'a>,
    visible: Span<'c, 'a>,
    /// Offset of the row [D] in query and output.
    offset: V<'c, 'a>,
}

impl<'g, 'c, 'a> Fold<'g, 'c, 'a> {
    fn new(
        attention: &'g Attention<'g, 'c, 'a>,
        e: &Emitter<'c, 'a>,
        task: V<'c, 'a>,
        sizes: &[V<'c, 'a>],
        buffers: &'g [V<'c, 'a>],
    ) -> Self {
        let rows = attention.rows.value(e, sizes);
        let (sequence, row) = (task / attention.heads).div_rem(rows);
        let (key, _) = attention.caches(e, sizes, buffers);
        let visible = attention.visible(e, buffers, sequence, rows, row, 1, key.capacity())[0];
        let (ranges, offset) = (attention.ranges.value(e, sizes), task * attention.depth());
        Self { attention, buffers, ranges, visible, offset }
    }

    fn emit(&self, e: &Emitter<'c, 'a>) {
        let (first, end) = self.visible.ranges();
        let vectors = self.attention.vectors();
        let sums = e.alloca(&[vectors, LANES], e.f32());
        e.if_((end - first).ne(1), |e| {
            for vector in 0..vectors {
                e.vstore(e.vf(0.0), sums, &[e.ci(vector), e.ci(0)]);
            }
            let total = e.for_(first, end, 1, &State::flat(&[State::empty(e)]), |e, range, total| {
                let (scratch, record) = self.attention.record_of(self.buffers, self.offset, self.ranges, range);
                let part = State { max: e.load(scratch, &[record]), sum: e.vload(scratch, &[record + LANES], LANES) };
                let (total, weights) = State { max: total[0], sum: total[1] }.fold(e, part);
                for vector in 0..vectors {
                    let at = [e.ci(vector), e.ci(0)];
                    let range = e.vload(scratch, &[record + (2 + vector) * LANES], LANES);
                    e.vstore(weights.sum(e, e.vload(sums, &at, LANES), range), sums, &at);
                }
                State::flat(&[total])
            });
            let total = State { max: total[0], sum: total[1] };
            self.attention.finish(e, self.buffers, total, self.visible, self.offset, |e, at| {
                e.vload(sums, &[at / LANES, e.ci(0)], LANES)
            });
        });
    }
}

impl<'c, 'a> Attention<'_, 'c, 'a> {
    /// Rows per task, over all its heads.
    fn count(&self) -> usize {
        self.height * self.width
    }

    pub fn caches(
        &self,
        e: &Emitter<'c, 'a>,
        sizes: &[V<'c, 'a>],
        buffers: &[V<'c, 'a>],
    ) -> (Cache<'c, 'a>, Cache<'c, 'a>) {
        let bind = |operand: &CacheOperand| operand.bind(e, buffers[operand.operand], buffers, sizes);
        (bind(&self.key), bind(&self.value))
    }

    /// The intermediate buffer, and the offset in it of one range of the row at `offset` of the query.
    fn record_of(
        &self,
        buffers: &[V<'c, 'a>],
        offset: V<'c, 'a>,
        ranges: V<'c, 'a>,
        range: V<'c, 'a>,
    ) -> (V<'c, 'a>, V<'c, 'a>) {
        let row = offset / self.depth().max(1);
        let scratch = buffers[self.group.arguments.len() + 1];
        (scratch, (row * ranges + range) * self.record())
    }

    /// Divides the weighted sums by the sum of exponentials and stores them; a row that sees no key is zero.
    fn finish(
        &self,
        e: &Emitter<'c, 'a>,
        buffers: &[V<'c, 'a>],
        total: State<'c, 'a>,
        visible: Span<'c, 'a>,
        offset: V<'c, 'a>,
        sum: impl Fn(&Emitter<'c, 'a>, V<'c, 'a>) -> V<'c, 'a>,
    ) {
        let output = buffers[self.group.arguments.len()];
        let seen = visible.start.lt(visible.end);
        let total = e.splat(e.reduce("add", total.sum));
        each_lanes(e, self.depth(), |e, at, mask| {
            let mean = e.select(seen, sum(e, at) / total, e.vf(0.0));
            store_lanes(e, mean, output, &[offset + at], mask);
        });
    }

    /// Visible positions of each row of a tile.
    pub fn visible(
        &self,
        e: &Emitter<'c, 'a>,
        operands: &[V<'c, 'a>],
        sequence: V<'c, 'a>,
        rows: V<'c, 'a>,
        first: V<'c, 'a>,
        height: usize,
        capacity: V<'c, 'a>,
    ) -> Vec<Span<'c, 'a>> {
        let (before, count, keys) = match &self.sequences {
            Some(sequences) => {
                let position = sequences.position(e, operands, sequence);
                let count = sequences.length(e, operands, sequence, rows);
                (position, count, (position + count).min(capacity))
            }
            None => (capacity - rows, rows, capacity),
        };
        let zero = e.ci(0);
        let span = |row| {
            let row = first + row;
            let after = before + row + 1;
            let end = if self.causal { keys.min(after) } else { keys };
            let start = self.window.map_or(zero, |window| (after - window).max(zero));
            // Clamped: a row before the first key sees no keys, not a negative number of them.
            Span { start, end: e.select(row.lt(count), end.max(zero), zero) }
        };
        (0..height).map(span).collect()
    }
}

fn element_bytes<'c, 'a>(e: &Emitter<'c, 'a>, memref: V<'c, 'a>) -> usize {
    match memref_element(memref) {
        element if element == e.f32() => 4,
        element if element == e.int(8) => 1,
        _ => 2,
    }
}

/// Masks of the keys of a block that a row sees, sixteen at a time.
fn seen<'c, 'a>(e: &Emitter<'c, 'a>, block: V<'c, 'a>, span: Span<'c, 'a>) -> Vec<V<'c, 'a>> {
    let bound = |position: V<'c, 'a>| e.splat(e.cast("arith.index_cast", position, e.int(32)));
    let (start, end) = (bound(span.start - block), bound(span.end - block));
    let group = |group: usize| {
        let lanes: Vec<i32> = (0..LANES).map(|lane| (group * LANES + lane) as i32).collect();
        let position = e.vi_lanes(&lanes);
        position.ge(start) & position.lt(end)
    };
    (0..GROUPS).map(group).collect()
}

/// Lanes per register, and how many registers of keys or values are multiplied by `rows` rows at a time: the sums,
/// these registers and one factor must fit in the register file, with one to spare. Units of sixteen lanes would be too
/// coarse.
fn registers(e: &Emitter, rows: usize) -> (usize, usize) {
    (e.target.lanes(), ((e.target.registers() - 2) / (rows + 1)).max(1))
}

/// The maximum to subtract. Before any visible key it is -inf, and -inf - -inf would be NaN; 0 takes its place.
fn finite<'c, 'a>(e: &Emitter<'c, 'a>, max: V<'c, 'a>) -> V<'c, 'a> {
    e.select(max.gt(f32::NEG_INFINITY), max, e.cf(0.0))
}

/// The larger of two numbers, in one instruction; NaN semantics do not matter, as scores are compared after masking.
fn larger<'c, 'a>(e: &Emitter<'c, 'a>, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
    e.select(a.gt(b), a, b)
}
