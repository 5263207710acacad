//! Linear layers of few rows (GEMV): a workgroup computes sixteen columns for all rows.
//!
//! `#transformer.kernel<"gemv">`. Each thread loads 16 bytes of the weight, then strides by 16 bytes times the threads,
//! so loads coalesce. It keeps partial sums for its four rows of the weight. These are reduced across subgroups, then
//! in workgroup memory, where one thread per output element applies bias, element-wise epilogue and store. A fused norm
//! is computed by every workgroup redundantly, which costs less than a launch.

use super::{
    buffer::Buffer,
    target::Target,
    weights::{Kind, Weight},
    workgroup::{Declaration, Fold, Workgroup, bytes},
};
use crate::{
    emit::{Emitter, V},
    group::{Result, Signature, Size, dims, element},
    kernels::{
        elementwise::{arguments, evaluate},
        linear::{Linear, Section},
        norm::{self, Norm},
    },
};
use kforge_passes::tiles::product::GEMV_ROWS;
use kforge_program::layout::LANES;
use melior::ir::{
    Type, TypeLike, Value, ValueLike,
    operation::{OperationLike, OperationRef},
};

/// Without subgroups: threads that reduce the sums of one quad of weight rows.
const ADDERS: usize = 8;
/// Maximum threads per workgroup; with a fused norm that takes more than one round, the lower limit applies.
const THREADS: usize = 512;
const THREADS_OF_NORM: usize = 256;
/// Rounds of weights and activations that a thread can hold in registers while the fused norm is computed.
const AHEAD: usize = 2;

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    let linear = Linear::new(group)?;
    let rows = linear.rows.as_const().filter(|m| *m <= GEMV_ROWS);
    let rows =
        rows.ok_or_else(|| group.unsupported(None, format!("gemv takes a static 0 to {GEMV_ROWS} rows; use gemm")))?;
    let kinds = Kinds::new(&of, &linear)?;
    let most = linear.sections.iter().map(|s| s.roots.len()).max().unwrap_or(1);
    let mut threads = kinds.threads(linear.depth, linear.norm.is_some()).min(of.adapter.threads);
    let plan = |threads| {
        let parts = PartialSums::new(threads, most, &of);
        (parts, parts.memory(&of, rows, threads, &kinds, linear.norm.is_some()))
    };
    let (mut parts, mut shared) = plan(threads);
    // The sums of many rows and weights may exceed workgroup memory; fewer threads need less.
    while bytes(&shared) > of.adapter.workgroup_bytes && threads > 4 * ADDERS {
        threads = (threads / 2).next_multiple_of(4 * ADDERS);
        (parts, shared) = plan(threads);
    }
    let tiles: usize = linear.sections.iter().map(|s| s.columns.div_ceil(LANES)).sum();
    Declaration {
        name: of.name,
        buffers: parameters(&of, &linear, &kinds, kinds.0.iter().any(|(_, kind)| kind.count() > 1), |_| false),
        scalars: 0,
        shared,
        threads,
    }
    .build(&of, |e, workgroup| {
        let buffers = of.buffers(e, &workgroup.buffers);
        let kernel = Gemv { of, linear: &linear, kinds: &kinds, workgroup, buffers: &buffers, rows, parts };
        kernel.emit(e)
    })?;
    Ok(of.signature(Size::Const(if rows == 0 { 0 } else { tiles }), vec![], linear.summary()))
}

/// The kind of each operand that is a weight.
pub struct Kinds(pub Vec<(usize, Kind)>);

impl Kinds {
    pub fn new<'c, 'a>(of: &Target<'_, 'c, 'a>, linear: &Linear<'_, 'c, 'a>) -> Result<'c, 'a, Kinds> {
        let mut kinds = vec![];
        for root in linear.sections.iter().flat_map(|s| &s.roots) {
            let (operand, (storage, _, columns)) = linear.stored(*root)?;
            let ty = element(of.group.arguments[operand].r#type());
            kinds.push((operand, Kind::new(of.module, storage, columns, ty)));
        }
        Ok(Kinds(kinds))
    }

    /// The same for a kernel that multiplies f16 without conversion.
    pub fn in_halves(self) -> Kinds {
        let kind = |kind| if kind == (Kind::Half { bf16: false }) { Kind::Float } else { kind };
        Kinds(self.0.into_iter().map(|(operand, of)| (operand, kind(of))).collect())
    }

    pub fn of(&self, operand: usize) -> Option<Kind> {
        self.0.iter().find(|(i, _)| *i == operand).map(|(_, kind)| *kind)
    }

    /// A multiple of 32 threads, chosen so that the last round is nearly full.
    fn threads(&self, depth: usize, norm: bool) -> usize {
        let work = self.0.iter().map(|(_, kind)| depth.div_ceil(kind.width()) * kind.threads()).max().unwrap_or(1);
        let most = if norm && work > THREADS { THREADS_OF_NORM } else { THREADS };
        work.div_ceil(work.div_ceil(most).max(1)).next_multiple_of(32).clamp(4 * ADDERS, most)
    }
}

/// Memref types of operands and results. Activations are vec4 if `quads` and K is a multiple of four; `wide` says which
/// others are.
pub fn parameters<'c, 'a>(
    of: &Target<'_, 'c, 'a>,
    linear: &Linear<'_, 'c, 'a>,
    kinds: &Kinds,
    quads: bool,
    wide: impl Fn(Value<'c, 'a>) -> bool,
) -> Vec<(Type<'c>, String)> {
    let group = of.group;
    let quads = quads && linear.depth.is_multiple_of(4);
    let norm: Vec<usize> =
        linear.norm.iter().flat_map(|op| op.operands().filter_map(|v| group.argument(v)).collect::<Vec<_>>()).collect();
    let operand = |(i, v): (usize, &Value<'c, 'a>)| match kinds.of(i) {
        Some(kind) => (kind.memref(of.module, of.adapter, element(v.r#type())), format!("w{i}")),
        None if i == linear.input || norm.contains(&i) => (of.memref(*v, quads), format!("x{i}")),
        None => (of.memref(*v, wide(*v)), format!("x{i}")),
    };
    let mut all: Vec<_> = group.arguments.iter().enumerate().map(operand).collect();
    all.extend(group.yields.iter().enumerate().map(|(i, v)| (of.memref(*v, wide(*v)), format!("y{i}"))));
    all
}

/// Emits each section, guarded by whether the tile belongs to it; `width` is the columns per tile.
pub fn each_section<'c, 'a>(
    e: &Emitter<'c, 'a>,
    sections: &[Section<'c, 'a>],
    tile: V<'c, 'a>,
    width: usize,
    mut body: impl FnMut(&Emitter<'c, 'a>, &Section<'c, 'a>, V<'c, 'a>) -> Result<'c, 'a, ()>,
) -> Result<'c, 'a, ()> {
    let mut first = 0;
    for section in sections {
        let tiles = section.columns.div_ceil(width);
        let local = tile - first;
        if sections.len() == 1 {
            body(e, section, local)?;
        } else if tiles > 0 {
            let is_own = tile.ge(first) & tile.lt(first + tiles);
            e.try_if(is_own, |e| body(e, section, local))?;
        }
        first += tiles;
    }
    Ok(())
}

/// The kernel under construction.
struct Gemv<'k, 'c, 'a> {
    of: Target<'k, 'c, 'a>,
    linear: &'k Linear<'k, 'c, 'a>,
    kinds: &'k Kinds,
    workgroup: &'k Workgroup<'c, 'a>,
    buffers: &'k [Buffer<'c, 'a>],
    rows: usize,
    parts: PartialSums,
}

/// Layout of the partial sums in workgroup memory: `count` per activation row, root and quad of weight rows.
#[derive(Clone, Copy)]
struct PartialSums {
    /// Whether sums are reduced within subgroups first.
    across: bool,
    count: usize,
    /// Maximum roots per section.
    most: usize,
}

impl PartialSums {
    fn new(threads: usize, most: usize, of: &Target<'_, '_, '_>) -> PartialSums {
        let subgroups = of.adapter.subgroups;
        let across = subgroups >= 8 && threads.is_multiple_of(subgroups);
        PartialSums { across, count: if across { threads / subgroups } else { ADDERS }, most }
    }

    /// Types of the workgroup memory: the sums; without subgroups also the values that threads reduce; and one element
    /// per thread for a norm.
    fn memory<'c>(
        self,
        of: &Target<'_, 'c, '_>,
        rows: usize,
        threads: usize,
        kinds: &Kinds,
        norm: bool,
    ) -> Vec<Type<'c>> {
        let four = of.module.vector(4, of.module.f32());
        let mut memory = vec![of.module.shared(&[rows * self.most * 4 * self.count], four)];
        if !self.across {
            let quads = kinds.0.iter().map(|(_, kind)| kind.quads()).max().unwrap_or(1);
            memory.push(of.module.shared(&[threads * quads], four));
        }
        if norm {
            memory.push(of.module.shared(&[threads], of.module.f32()));
        }
        memory
    }

    fn first(self, row: usize, root: usize) -> usize {
        (row * self.most + root) * 4 * self.count
    }
}

impl<'c, 'a> Gemv<'_, 'c, 'a> {
    fn emit(&self, e: &Emitter<'c, 'a>) -> Result<'c, 'a, ()> {
        if self.rows == 0 {
            return Ok(());
        }
        let front = self.linear.norm.map(|op| FusedNorm::new(self, op)).transpose()?;
        each_section(e, &self.linear.sections, self.workgroup.task, LANES, |e, section, group| {
            self.section(e, section, group, front.as_ref())
        })
    }

    fn section(
        &self,
        e: &Emitter<'c, 'a>,
        section: &Section<'c, 'a>,
        group: V<'c, 'a>,
        front: Option<&FusedNorm<'c, 'a>>,
    ) -> Result<'c, 'a, ()> {
        let weights = section.roots.iter().map(|root| self.weight(*root)).collect::<Result<Vec<_>>>()?;
        let alike = |from: usize| {
            let alike = weights[from..].iter().take_while(|w| w.kind == weights[from].kind).count();
            &weights[from..from + alike]
        };
        // Loads that do not depend on other threads are issued before the barriers.
        let leaves = (self.rows * LANES <= self.workgroup.threads).then(|| {
            let item = self.workgroup.thread.min(self.rows * LANES - 1);
            let [_, _, column, at] = self.place(section, group, item);
            Leaves::load(e, &self.of, self.buffers, section, column, at)
        });
        let mut ahead = front.and_then(|front| self.ahead(e, alike(0), group, front));
        let moments = front.map_or(vec![], |front| front.moments(self, e));
        let front = front.map(|front| (front, &moments[..]));
        // Adjacent weights of one kind are read in one loop, which loads their activations once.
        let mut sums: Vec<Vec<Vec<V>>> = vec![];
        while sums.len() < weights.len() {
            sums.extend(self.products(e, alike(sums.len()), group, front, ahead.take()));
        }
        for row in 0..self.rows {
            for (root, sums) in sums.iter().enumerate() {
                let first = self.parts.first(row, root);
                match self.parts.across {
                    true => self.reduce_across(e, weights[root].kind, &sums[row], first),
                    false => self.meet(e, weights[root].kind, &sums[row], first),
                }
            }
        }
        e.barrier();
        self.finish(e, section, group, leaves)
    }

    fn weight(&self, root: OperationRef<'c, 'a>) -> Result<'c, 'a, Weight<'c, 'a>> {
        let (operand, (_, rows, columns)) = self.linear.stored(root)?;
        let kind = self.kinds.of(operand).expect("every root's weight has a kind");
        Ok(Weight::new(kind, (rows, columns), operand, self.workgroup, self.buffers))
    }

    /// The rounds in which threads process the steps of weights of one kind.
    fn rounds(&self, weights: &[Weight<'c, 'a>]) -> Rounds {
        let kind = weights[0].kind;
        let (steps, splits) = (self.linear.depth / kind.width(), self.workgroup.threads / kind.threads());
        let most = if self.rows == 1 { 4 / weights.len().min(2) / kind.count().div_ceil(8) } else { 1 };
        Rounds { steps, splits, count: steps.div_ceil(splits), together: most }
    }

    /// Loads all rounds in advance, if they are few enough for registers.
    fn ahead(
        &self,
        e: &Emitter<'c, 'a>,
        weights: &[Weight<'c, 'a>],
        group: V<'c, 'a>,
        front: &FusedNorm<'c, 'a>,
    ) -> Option<Vec<Step<'c, 'a>>> {
        let rounds = self.rounds(weights);
        let kind = weights[0].kind;
        let (split, thread) = self.workgroup.thread.div_rem(kind.threads());
        let (_, offset) = kind.place(e, thread);
        (self.rows == 1 && rounds.count <= rounds.together.min(AHEAD)).then(|| {
            let step = |round| {
                let mut step = self.fetch(e, weights, group, rounds.step(split, round), thread);
                let first = step.step * kind.width() + offset;
                step.x = Some(self.activations(e, first, kind.count(), Some(front)));
                step
            };
            (0..rounds.count).map(step).collect()
        })
    }

    fn fetch(
        &self,
        e: &Emitter<'c, 'a>,
        weights: &[Weight<'c, 'a>],
        group: V<'c, 'a>,
        step: V<'c, 'a>,
        thread: V<'c, 'a>,
    ) -> Step<'c, 'a> {
        Step { step, weights: weights.iter().map(|w| w.fetch(e, group, step, thread)).collect(), x: None }
    }

    /// This thread's partial sums per weight, row and quad of weight rows; `ahead` holds all its steps if they were
    /// prefetched.
    fn products(
        &self,
        e: &Emitter<'c, 'a>,
        weights: &[Weight<'c, 'a>],
        group: V<'c, 'a>,
        front: Option<(&FusedNorm<'c, 'a>, &[norm::Moments<'c, 'a>])>,
        ahead: Option<Vec<Step<'c, 'a>>>,
    ) -> Vec<Vec<Vec<V<'c, 'a>>>> {
        let kind = weights[0].kind;
        let (split, thread) = self.workgroup.thread.div_rem(kind.threads());
        let (_, offset) = kind.place(e, thread);
        let rounds = self.rounds(weights);
        let zero = e.cf_like(0.0, e.vector(4, e.f32()));
        let per_weight = self.rows * kind.quads();
        let add = |e: &Emitter<'c, 'a>, taken: &Step<'c, 'a>, totals: &[V<'c, 'a>]| {
            let step = taken.step;
            let first = step * kind.width() + offset;
            let slices: Vec<_> =
                weights.iter().zip(&taken.weights).map(|(w, taken)| w.decode(e, group, step, thread, taken)).collect();
            let load = || self.activations(e, first, kind.count(), front.map(|(front, _)| front));
            let activations = taken.x.clone().unwrap_or_else(load);
            let mut totals = totals.to_vec();
            for row in 0..self.rows {
                let x = activations.normalised(e, row, front.map(|(_, moments)| &moments[row]));
                let splats: Vec<V> = x.iter().map(|x| e.splat_to(*x, 4)).collect();
                for (w, slice) in slices.iter().enumerate() {
                    for r in 0..kind.quads() {
                        let total = &mut totals[w * per_weight + row * kind.quads() + r];
                        let codes = slice.columns.iter().map(|quads| quads[r]).zip(&splats);
                        *total = match slice.factors {
                            None => codes.fold(*total, |sum, (w, x)| e.fma(w, *x, sum)),
                            Some((scale, offset)) => {
                                let products = codes.fold(None, |sum, (code, x)| {
                                    Some(sum.map_or_else(|| code * *x, |sum| e.fma(code, *x, sum)))
                                });
                                let total = e.fma(scale, products.expect("a slice has columns"), *total);
                                let sum = || x.iter().copied().reduce(|a, b| a + b).expect("a slice has columns");
                                offset.map_or(total, |offset| e.fma(offset, e.splat_to(sum(), 4), total))
                            }
                        };
                    }
                }
            }
            totals
        };
        // Several rounds at a time, so that their loads overlap; then the rest.
        let Rounds { steps, splits, count, together } = rounds;
        let whole = if count <= together { 0 } else { steps / (together * splits) };
        let inits = vec![zero; weights.len() * per_weight];
        let totals = e.for_(split, e.ci(whole * together * splits), together * splits, &inits, |e, step, totals| {
            let step = |i: usize| self.fetch(e, weights, group, step + i * splits, thread);
            let taken: Vec<Step> = (0..together).map(step).collect();
            taken.iter().fold(totals.to_vec(), |totals, step| add(e, step, &totals))
        });
        let rest = whole * together..count;
        let step = |round| self.fetch(e, weights, group, rounds.step(split, round), thread);
        let taken = ahead.unwrap_or_else(|| rest.clone().map(step).collect());
        let totals = rest.zip(taken).fold(totals, |totals, (round, taken)| {
            if rounds.is_whole(round) {
                return add(e, &taken, &totals);
            }
            let types = vec![zero.r#type(); totals.len()];
            let is_one = (split + round * splits).lt(steps);
            e.if_else(is_one, &types, |e| add(e, &taken, &totals), |_| totals.clone())
        });
        let rows = |totals: &[V<'c, 'a>]| totals.chunks(kind.quads()).map(<[V]>::to_vec).collect();
        totals.chunks(per_weight).map(rows).collect()
    }

    /// Loads columns `first..first + count` of each row, and of the weight and bias of a fused norm.
    fn activations(
        &self,
        e: &Emitter<'c, 'a>,
        first: V<'c, 'a>,
        count: usize,
        front: Option<&FusedNorm<'c, 'a>>,
    ) -> Activations<'c, 'a> {
        let (x, depth) = (self.buffers[self.linear.input], self.linear.depth);
        let load = |buffer: Buffer<'c, 'a>, row: usize| match count {
            1 => vec![buffer.load(e, first + row * depth)],
            _ => {
                let start = first / 4 + row * depth / 4;
                (0..count / 4).map(|i| buffer.load_four(e, start + i)).collect()
            }
        };
        let of_norm = |buffer: fn(&FusedNorm<'c, 'a>) -> Option<Buffer<'c, 'a>>| {
            front.and_then(buffer).map(|buffer| load(buffer, 0))
        };
        Activations {
            rows: (0..self.rows).map(|row| load(x, row)).collect(),
            weight: of_norm(|front| front.weight),
            bias: of_norm(|front| front.bias),
        }
    }

    /// Reduces the sums within each subgroup by shuffles and stores one per subgroup in workgroup memory, from `first`
    /// on.
    fn reduce_across(&self, e: &Emitter<'c, 'a>, kind: Kind, sums: &[V<'c, 'a>], first: usize) {
        // Adjacent lanes hold sums of different quads of weight rows; lanes this far apart hold sums of the same quad.
        let quads = 4 / kind.quads();
        let (subgroup, lane) = self.workgroup.thread.div_rem(self.workgroup.subgroups);
        let sums: Vec<V> = sums.iter().map(|sum| self.workgroup.across(e, *sum, quads, Fold::Sum)).collect();
        e.if_(lane.lt(quads), |e| {
            for (r, sum) in sums.iter().enumerate() {
                let four = lane * kind.quads() + r;
                let at = four * self.parts.count + subgroup + first;
                e.store(*sum, self.workgroup.shared[0], &[at]);
            }
        });
    }

    /// The same without subgroups: leaves [`ADDERS`] sums per quad of weight rows in workgroup memory.
    fn meet(&self, e: &Emitter<'c, 'a>, kind: Kind, sums: &[V<'c, 'a>], first: usize) {
        let (thread, threads) = (self.workgroup.thread, self.workgroup.threads);
        let (few, all) = (self.workgroup.shared[0], self.workgroup.shared[1]);
        let (place, four) = thread.div_rem(4 / kind.quads());
        let parts = threads * kind.quads() / 4;
        // Threads without a step store zeros, and so do those past the last whole split.
        for (r, sum) in sums.iter().enumerate() {
            let four = four * kind.quads() + r;
            e.store(*sum, all, &[four * parts + place]);
        }
        e.barrier();
        e.if_(thread.lt(4 * ADDERS), |e| {
            let (four, adder) = thread.div_rem(ADDERS);
            let from = four * parts;
            let zero = e.cf_like(0.0, e.vector(4, e.f32()));
            let sum = e.for_(adder, e.ci(parts), ADDERS, &[zero], |e, i, sum| vec![sum[0] + e.load(all, &[from + i])]);
            e.store(sum[0], few, &[thread + first]);
        });
        e.barrier();
    }

    /// Row, lane, column and element offset in the result of item `item` of a tile.
    fn place(&self, section: &Section<'c, 'a>, tile: V<'c, 'a>, item: V<'c, 'a>) -> [V<'c, 'a>; 4] {
        let (row, lane) = item.div_rem(LANES);
        let column = (tile * LANES + lane).min(section.columns.saturating_sub(1));
        [row, lane, column, column + row * section.columns]
    }

    /// Each thread finishes one output element at a time; `leaves` are those of its single item, if they were
    /// prefetched.
    fn finish(
        &self,
        e: &Emitter<'c, 'a>,
        section: &Section<'c, 'a>,
        tile: V<'c, 'a>,
        leaves: Option<Leaves<'c, 'a>>,
    ) -> Result<'c, 'a, ()> {
        let Workgroup { thread, threads, .. } = *self.workgroup;
        let mut outcome = Ok(());
        e.loop_(thread, e.ci(self.rows * LANES), threads, |e, item| {
            let [row, lane, column, at] = self.place(section, tile, item);
            let is_column = (tile * LANES + lane).lt(section.columns);
            outcome = e.try_if(is_column, |e| {
                let leaves = leaves.unwrap_or_else(|| Leaves::load(e, &self.of, self.buffers, section, column, at));
                let (four, lane) = lane.div_rem(4);
                let of_row = row * self.parts.first(1, 0);
                let sum = |root: usize| {
                    let first = of_row + (four * self.parts.count + self.parts.first(0, root));
                    let part = |i| e.load(self.workgroup.shared[0], &[first + i]);
                    let sum = (1..self.parts.count).fold(part(0), |sum, i| sum + part(i));
                    e.extract_at(sum, lane)
                };
                let sums: Vec<V> = (0..section.roots.len()).map(sum).collect();
                epilogue(e, &self.of, self.buffers, section, &sums, &leaves, at)
            });
        });
        outcome
    }
}

/// The values that an epilogue reads besides the sums.
pub struct Leaves<'c, 'a> {
    /// With their operand numbers.
    operands: Vec<(usize, V<'c, 'a>)>,
    /// Per root.
    biases: Vec<Option<V<'c, 'a>>>,
}

impl<'c, 'a> Leaves<'c, 'a> {
    /// Loads as many elements as `e` has lanes, from `column` on, at element `at` of the result.
    pub fn load(
        e: &Emitter<'c, 'a>,
        of: &Target<'_, 'c, 'a>,
        buffers: &[Buffer<'c, 'a>],
        section: &Section<'c, 'a>,
        column: V<'c, 'a>,
        at: V<'c, 'a>,
    ) -> Self {
        let group = of.group;
        let load = |operand: usize, at| buffers[operand].load_lanes(e, by_lanes(e, at));
        let read = arguments(group, group.yields[section.output], &|value| section.root(value).is_some());
        Leaves {
            operands: read.into_iter().map(|operand| (operand, load(operand, at))).collect(),
            biases: section.biases.iter().map(|bias| bias.map(|bias| load(bias, column))).collect(),
        }
    }
}

/// Applies bias and element-wise epilogue to sums of `e`'s lanes, and stores them at element `at`.
pub fn epilogue<'c, 'a>(
    e: &Emitter<'c, 'a>,
    of: &Target<'_, 'c, 'a>,
    buffers: &[Buffer<'c, 'a>],
    section: &Section<'c, 'a>,
    sums: &[V<'c, 'a>],
    leaves: &Leaves<'c, 'a>,
    at: V<'c, 'a>,
) -> Result<'c, 'a, ()> {
    let group = of.group;
    let leaf = |value: Value<'c, 'a>| {
        if let Some(operand) = group.argument(value) {
            return leaves.operands.iter().find(|(i, _)| *i == operand).map(|(_, value)| *value);
        }
        let root = section.root(value)?;
        Some(leaves.biases[root].map_or(sums[root], |bias| sums[root] + bias))
    };
    let value = evaluate(group, e, group.yields[section.output], &leaf)?;
    buffers[group.arguments.len() + section.output].store(e, value, by_lanes(e, at));
    Ok(())
}

/// The index of the vector of `e`'s lanes that starts at element `at`.
fn by_lanes<'c, 'a>(e: &Emitter<'c, 'a>, at: V<'c, 'a>) -> V<'c, 'a> {
    if e.lanes == 1 { at } else { at / e.lanes }
}

/// Applies [`epilogue`] to four columns of row `row` from `column` on: as one vec4, or if the section's rows are not
/// multiples of four, column by column. `column` must be within the section.
pub fn epilogue_four<'c, 'a>(
    e: &Emitter<'c, 'a>,
    of: &Target<'_, 'c, 'a>,
    buffers: &[Buffer<'c, 'a>],
    section: &Section<'c, 'a>,
    sums: &[V<'c, 'a>],
    row: V<'c, 'a>,
    column: V<'c, 'a>,
) -> Result<'c, 'a, ()> {
    let at = row * section.columns + column;
    let finish = |e: &Emitter<'c, 'a>, sums: &[V<'c, 'a>], column, at| {
        let leaves = Leaves::load(e, of, buffers, section, column, at);
        epilogue(e, of, buffers, section, sums, &leaves, at)
    };
    if section.columns.is_multiple_of(4) {
        return finish(&e.with_lanes(4), sums, column, at);
    }
    for lane in 0..4 {
        let column = column + lane;
        e.try_if(column.lt(section.columns), |e| {
            let sums: Vec<V> = sums.iter().map(|sum| e.extract(*sum, lane)).collect();
            finish(e, &sums, column, at + lane)
        })?;
    }
    Ok(())
}

/// Whether the row length of a tensor is a multiple of four.
pub fn by_quads(value: Value<'_, '_>) -> bool {
    dims(value.r#type()).last().copied().flatten().is_some_and(|columns| columns.is_multiple_of(4))
}

/// A fused norm; its result is never stored.
struct FusedNorm<'c, 'a> {
    norm: Norm<'c, 'a>,
    weight: Option<Buffer<'c, 'a>>,
    bias: Option<Buffer<'c, 'a>>,
}

impl<'c, 'a> FusedNorm<'c, 'a> {
    fn new(of: &Gemv<'_, 'c, 'a>, op: OperationRef<'c, 'a>) -> Result<'c, 'a, Self> {
        let group = of.of.group;
        let norm = Norm::new(group, op, &of.workgroup.buffers)?;
        if norm.kind == norm::Kind::Softmax {
            return Err(group.unsupported(Some(op), "a softmax cannot be a linear's prologue on a GPU"));
        }
        let buffer = |i: usize| Ok(group.trailing(op, i)?.map(|operand| of.buffers[operand]));
        Ok(FusedNorm { norm, weight: buffer(1)?, bias: buffer(2)? })
    }

    /// Mean and scale of each row.
    fn moments(&self, of: &Gemv<'_, 'c, 'a>, e: &Emitter<'c, 'a>) -> Vec<norm::Moments<'c, 'a>> {
        let (x, depth) = (of.buffers[of.linear.input], of.linear.depth);
        let scratch = *of.workgroup.shared.last().expect("memory of the norm was declared");
        let by = if x.in_quads() { 4 } else { 1 };
        let load = |e: &Emitter<'c, 'a>, at: V<'c, 'a>, row: usize| match by {
            4 => x.load_four(e, at + row * depth / 4),
            _ => x.load(e, at + row * depth),
        };
        let again = of.rows > 1;
        let row = |row: usize| {
            super::rowwise::moments(e, &self.norm, of.workgroup, (scratch, again), by, &|e, at| load(e, at, row))
        };
        (0..of.rows).map(row).collect()
    }
}

/// The rounds in which threads process the steps of a weight. In a round, adjacent groups of threads take adjacent
/// steps.
#[derive(Clone, Copy)]
struct Rounds {
    steps: usize,
    /// Steps per round.
    splits: usize,
    count: usize,
    /// Rounds whose loads are issued together.
    together: usize,
}

impl Rounds {
    /// Whether every thread has a step in this round.
    fn is_whole(self, round: usize) -> bool {
        (round + 1) * self.splits <= self.steps
    }

    /// The step of the threads at position `split` of a round, clamped to the last step.
    fn step<'c, 'a>(self, split: V<'c, 'a>, round: usize) -> V<'c, 'a> {
        let step = split + round * self.splits;
        if self.is_whole(round) { step } else { step.min(self.steps - 1) }
    }
}

/// The values that a thread has loaded of a step.
struct Step<'c, 'a> {
    step: V<'c, 'a>,
    /// Per weight.
    weights: Vec<Vec<V<'c, 'a>>>,
    x: Option<Activations<'c, 'a>>,
}

/// A few columns of the activations as they were loaded: one element, or some vec4.
#[derive(Clone)]
struct Activations<'c, 'a> {
    rows: Vec<Vec<V<'c, 'a>>>,
    /// Weight and bias of the fused norm.
    weight: Option<Vec<V<'c, 'a>>>,
    bias: Option<Vec<V<'c, 'a>>>,
}

impl<'c, 'a> Activations<'c, 'a> {
    /// The elements of a row, normalised if there are `moments`.
    fn normalised(&self, e: &Emitter<'c, 'a>, row: usize, moments: Option<&norm::Moments<'c, 'a>>) -> Vec<V<'c, 'a>> {
        let value = |(i, value): (usize, &V<'c, 'a>)| {
            let Some(moments) = moments else { return *value };
            let like = |v: V<'c, 'a>| if value.r#type().is_vector() { e.splat_to(v, 4) } else { v };
            let centred = moments.mean.map_or(*value, |mean| *value - like(mean));
            let y = centred * like(moments.scale);
            let y = self.weight.as_ref().map_or(y, |weight| y * weight[i]);
            self.bias.as_ref().map_or(y, |bias| y + bias[i])
        };
        let values = self.rows[row].iter().enumerate().map(value);
        let lanes = |value: V<'c, 'a>| match value.r#type().is_vector() {
            true => (0..4).map(|lane| e.extract(value, lane)).collect(),
            false => vec![value],
        };
        values.flat_map(lanes).collect()
    }
}
