//! Rotary embeddings and cache updates, any number of them in one launch: one thread per pair of elements.
//!
//! Sections are as on the CPU; each starts with a new workgroup. WGSL has no f64 for the product of position and
//! frequency, so a frequency is an integer: turns per position times 2^44, without whole turns. The product may
//! overflow: it wraps at whole turns, so the remaining fraction is exact to 2^-24 of a turn at any position below 2^20.

use super::{buffer::Buffer, target::Target, workgroup::Declaration};
use crate::{
    emit::{Emitter, V},
    group::{Result, Signature, Size, element},
    kernels::{
        norm::{Kind, Norm},
        rope::{Rotation, Section, overwritten, sections, summary},
        shared::Scalars,
    },
};
use melior::ir::ValueLike;
use std::f64::consts::TAU;

/// Threads of a workgroup.
const THREADS: usize = 64;
/// Bits of a frequency below the upper 32 bits of its fraction of a turn.
const LOW_BITS: u32 = 12;

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    let mut scalars = Scalars::default();
    let sections = sections(group, &mut scalars)?;
    if let Some(op) = sections.iter().any(|s| s.targets.iter().any(|t| t.rounded)).then(|| group.body[0]) {
        return Err(group.unsupported(Some(op), "rounds to 8 bits, which no kernel of a GPU does; use f32 or f16"));
    }
    let in_place: Vec<Option<usize>> = (0..group.yields.len()).map(|result| overwritten(&sections, result)).collect();
    let threads = THREADS.min(of.adapter.threads);
    let tables: Vec<Option<String>> = sections
        .iter()
        .enumerate()
        .map(|(i, section)| section.rotation.as_ref().map(|rotation| table(&of, i, rotation)))
        .collect();
    Declaration {
        name: of.name,
        buffers: of.separate(&in_place),
        scalars: scalars.sizes().len(),
        shared: vec![],
        threads,
    }
    .build(&of, |e, workgroup| {
        let memrefs = of.shared(&in_place, &workgroup.buffers);
        let buffers = of.buffers(e, &memrefs);
        let mut first = e.ci(0);
        for (section, table) in sections.iter().zip(&tables) {
            let norm = section.norm.map(|op| Norm::new(group, op, &memrefs)).transpose()?;
            let vectors = match section.norm {
                Some(op) => [group.trailing(op, 1)?, group.trailing(op, 2)?],
                None => [None; 2],
            };
            let pairs = section.depth.div_ceil(2);
            let count = section.tasks.value(e, &workgroup.scalars) * (section.heads * pairs);
            let tiles = count.ceil_div(threads);
            let local = workgroup.task - first;
            let item = local * threads + workgroup.thread;
            let is_own = local.ge(0) & item.lt(count);
            e.if_(is_own, |e| {
                let (rest, pair) = item.div_rem(pairs);
                let (index, head) = rest.div_rem(section.heads);
                let thread = Thread { index, head, pair, sizes: &workgroup.scalars, memrefs: &memrefs };
                thread.emit(e, &of, section, norm.as_ref().map(|norm| (norm, vectors)), table.as_deref(), &buffers);
            });
            first += tiles;
        }
        Ok(())
    })?;
    let access = of.access(&in_place);
    let tasks = sections.iter().fold(Size::Const(0), |sum, section| {
        let items = group.size(section.input, 0..2).times(Size::Const(section.heads * section.depth.div_ceil(2)));
        sum.plus(items.ceil_div(threads))
    });
    Ok(Signature { access, in_place, scalars: scalars.into_sizes(), tasks, summary: summary(group), partner: None })
}

/// Declares the table of a rotation's frequencies: the upper 32 bits of every pair, then the lower bits.
pub fn table(of: &Target<'_, '_, '_>, index: usize, rotation: &Rotation) -> String {
    let fixed = |turns: &f64| ((turns - turns.floor()) * 2f64.powi(32 + LOW_BITS as i32)).round() as u64;
    let high = rotation.frequencies.iter().map(|turns| (fixed(turns) >> LOW_BITS) as u32 as i32);
    let low = rotation.frequencies.iter().map(|turns| (fixed(turns) & ((1 << LOW_BITS) - 1)) as i32);
    let name = format!("{}_turns{index}", of.name);
    of.module.constant_table(&name, &high.chain(low).collect::<Vec<i32>>());
    name
}

/// The norm of a head, which each thread computes for itself: heads are short.
struct HeadNorm<'c, 'a> {
    mean: Option<V<'c, 'a>>,
    scale: V<'c, 'a>,
    /// Operand numbers of weight and bias.
    vectors: [Option<usize>; 2],
}

impl<'c, 'a> HeadNorm<'c, 'a> {
    fn new(
        e: &Emitter<'c, 'a>,
        (norm, vectors): (&Norm<'c, 'a>, [Option<usize>; 2]),
        depth: usize,
        load: &dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>) -> V<'c, 'a>,
    ) -> Self {
        let sum = |term: &dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>) -> V<'c, 'a>| {
            e.for_(e.ci(0), e.ci(depth), 1, &[e.cf(0.0)], |e, at, sum| vec![sum[0] + term(e, at)])[0]
        };
        let n = e.cf(norm.length as f32);
        let mean = (norm.kind == Kind::Layer).then(|| sum(load) / n);
        let squares = sum(&|e, at| {
            let value = load(e, at);
            let value = mean.map_or(value, |mean| value - mean);
            value * value
        });
        HeadNorm { mean, scale: 1.0 / e.sqrt(squares / n + norm.eps), vectors }
    }

    fn apply(&self, e: &Emitter<'c, 'a>, value: V<'c, 'a>, at: V<'c, 'a>, buffers: &[Buffer<'c, 'a>]) -> V<'c, 'a> {
        let [weight, bias] = self.vectors.map(|operand| operand.map(|i| buffers[i].load(e, at)));
        let value = self.mean.map_or(value, |mean| value - mean) * self.scale;
        let value = weight.map_or(value, |weight| value * weight);
        bias.map_or(value, |bias| value + bias)
    }
}

/// The elements of a thread: row of the B * S, head, pair.
struct Thread<'t, 'c, 'a> {
    index: V<'c, 'a>,
    head: V<'c, 'a>,
    pair: V<'c, 'a>,
    sizes: &'t [V<'c, 'a>],
    memrefs: &'t [V<'c, 'a>],
}

impl<'c, 'a> Thread<'_, 'c, 'a> {
    fn emit(
        &self,
        e: &Emitter<'c, 'a>,
        of: &Target<'_, 'c, 'a>,
        section: &Section<'c, 'a>,
        norm: Option<(&Norm<'c, 'a>, [Option<usize>; 2])>,
        table: Option<&str>,
        buffers: &[Buffer<'c, 'a>],
    ) {
        let group = of.group;
        let depth = section.depth;
        let (operands, results) = self.memrefs.split_at(group.arguments.len());
        let rows = section.rows.value(e, self.sizes);
        let (sequence, row) = self.index.div_rem(rows);
        let base = (self.index * section.heads + self.head) * depth;
        let [first, second] = pair_of(e, section.rotation.as_ref(), depth, self.pair);
        let source = element(group.arguments[section.input].r#type());
        let element_at = |e: &Emitter<'c, 'a>, at| buffers[section.input].load(e, base + at);
        let norm = norm.map(|norm| HeadNorm::new(e, norm, depth, &element_at));
        let load = |at| match &norm {
            // Rounded as the unfused tensor between norm and rope would be.
            Some(norm) => e.rounded(norm.apply(e, element_at(e, at), at, buffers), source),
            None => element_at(e, at),
        };
        let mut pair = [load(first), load(second)];
        let length =
            |sequences: &crate::kernels::cache::Sequences| row.lt(sequences.length(e, operands, sequence, rows));
        if let (Some(rotation), Some(table)) = (&section.rotation, table) {
            let position = rotation.sequences.position(e, operands, sequence) + row;
            let real = length(&rotation.sequences);
            // Rounded as the unfused tensor between rope and update would be.
            pair = turned(e, rotation, table, (self.pair, depth), position, pair)
                .map(|value| e.select(real, e.rounded(value, source), e.cf(0.0)));
        }
        for target in &section.targets {
            let place = group.arguments.len() + target.result;
            let Some((cache, sequences)) = &target.cache else {
                for (value, at) in pair.iter().zip([first, second]) {
                    buffers[place].store(e, *value, base + at);
                }
                continue;
            };
            let cache = cache.bind(e, results[target.result], operands, self.sizes);
            let position = sequences.position(e, operands, sequence) + row;
            e.if_(length(sequences), |e| {
                cache.if_row(e, sequence, position, self.head, |e, row| {
                    for (value, at) in pair.iter().zip([first, second]) {
                        buffers[place].store(e, *value, row.first + at * cache.stride());
                    }
                });
            });
        }
    }
}

/// Element indices of pair `pair` of a row.
pub fn pair_of<'c, 'a>(
    e: &Emitter<'c, 'a>,
    rotation: Option<&Rotation>,
    depth: usize,
    pair: V<'c, 'a>,
) -> [V<'c, 'a>; 2] {
    let first = pair * 2;
    if let Some(rotation) = rotation.filter(|rotation| !rotation.interleaved) {
        let pairs = rotation.frequencies.len();
        if 2 * pairs == depth {
            return [pair, pair + pairs];
        }
        let rotated = pair.lt(pairs);
        return [e.select(rotated, pair, first), e.select(rotated, pair + pairs, first + 1)]
            .map(|at| at.min(depth - 1));
    }
    // An unrotated row of odd length ends in half a pair; its element is stored twice.
    [first, (first + 1).min(depth.saturating_sub(1))]
}

/// Rotates pair `pair` of a row of `depth` elements by the angle of `position`, unless it is past the rotated ones; `table` has
/// the frequencies.
pub fn turned<'c, 'a>(
    e: &Emitter<'c, 'a>,
    rotation: &Rotation,
    table: &str,
    (pair, depth): (V<'c, 'a>, usize),
    position: V<'c, 'a>,
    [x, y]: [V<'c, 'a>; 2],
) -> [V<'c, 'a>; 2] {
    let pairs = rotation.frequencies.len();
    let table = e.get_table(table, 2 * pairs);
    let position = e.cast("arith.index_cast", position, e.int(32));
    let all = 2 * pairs == depth;
    let index = if all { pair } else { pair.min(pairs.saturating_sub(1)) };
    let (high, low) = (e.load(table, &[index]), e.load(table, &[index + pairs]));
    let carried = (position * low) >> e.cint(32, i64::from(LOW_BITS));
    let turns = position * high + carried;
    let turns = e.cast("arith.sitofp", turns, e.f32());
    let (mut sin, mut cos) = e.sin_cos(turns * (TAU / 2f64.powi(32)) as f32);
    if rotation.scale != 1.0 {
        (sin, cos) = (sin * rotation.scale, cos * rotation.scale);
    }
    let [first, second] = [e.fma(x, cos, -(y * sin)), e.fma(x, sin, y * cos)];
    if all {
        return [first, second];
    }
    let rotated = pair.lt(pairs);
    [e.select(rotated, first, x), e.select(rotated, second, y)]
}
