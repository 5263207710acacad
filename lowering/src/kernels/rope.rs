//! Rotary embeddings and cache updates, any number of them in one launch.
//!
//! ```mlir
//! %qr = transformer.rope %q at %pos
//! %kr = transformer.rope %k at %pos
//! %kc = transformer.kv_update %k_cache, %kr at %pos
//! %vc = transformer.kv_update %v_cache, %v at %pos
//! ```
//! A group has one *section* per input (q, k and v here); a task is one row [H, D] of one section. The sines and
//! cosines of a row are computed once for all heads. A norm of heads before a rotation or an update is part of its section. A rotated key goes from registers into its cache; a
//! `transformer.quantize` in between rounds it, and if the cache has an 8-bit layout it is stored as integers and
//! scales. An update writes its cache in place. Padding rows, past a sequence's length, become zeros in tensors and are
//! not written to caches; neither are rows past the capacity or in a block that does not exist, which the executor has
//! rejected before.
//!
//! A position times a frequency is computed in f64, in turns: the fraction of the last turn is then accurate to seven
//! digits at any position, where an f32 product would lose one digit for each factor of ten.

use crate::{
    emit::{Emitter, LANES, V, memref_element},
    group::{Group, Result, Signature, Size, dims, element, op_name},
    kernels::{
        cache::{CacheOperand, Sequences, parameter},
        int8::Rounded,
        norm::Norm,
        shared::{Scalars, Slot, load_lanes, scatter, store_lanes},
    },
};
use kforge_dialect::{
    Op,
    ir::{f32_array_attribute, float_attribute, integer_attribute, optional_operand, string_attribute},
};
use kforge_program::Access;
use kforge_quant::ACTIVATIONS;
use melior::ir::{
    Value, ValueLike,
    operation::{OperationLike, OperationRef},
};
use std::{f64::consts::TAU, ops::Range};

/// One input, and where its rows are stored.
pub struct Section<'c, 'a> {
    /// Operand [B, S, H, D].
    pub input: usize,
    pub heads: usize,
    pub depth: usize,
    /// S.
    pub rows: Slot,
    /// B * S.
    pub tasks: Slot,
    /// The norm of each head, before the rotation.
    pub norm: Option<OperationRef<'c, 'a>>,
    pub rotation: Option<Rotation>,
    pub targets: Vec<Target>,
}

/// Where rows are stored: a separate tensor that is a result of the group, or a cache.
pub struct Target {
    pub result: usize,
    pub cache: Option<(CacheOperand, Sequences)>,
    /// Rows are quantised before they are stored.
    pub rounded: bool,
}

pub struct Rotation {
    pub interleaved: bool,
    /// Turns per position, for each pair.
    pub frequencies: Vec<f64>,
    /// What multiplies rotated elements.
    pub scale: f32,
    pub sequences: Sequences,
}

/// Up to sixteen adjacent elements of a row.
struct Piece<'c, 'a> {
    start: usize,
    lanes: usize,
    value: V<'c, 'a>,
}

/// Generates the kernel of a group of `rope` and `kv_update`, with norms of heads first and `quantize` before updates.
pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    let mut scalars = Scalars::default();
    let sections = sections(group, &mut scalars)?;
    let flat = |v: &Value<'c, 'a>| module.memref(&[None], element(v.r#type()));
    let mut parameters = vec![module.index(); 1 + scalars.sizes().len()];
    let in_place: Vec<Option<usize>> = (0..group.yields.len()).map(|result| overwritten(&sections, result)).collect();
    parameters.extend((0..group.arguments.len()).map(|i| parameter(module, group, i)));
    let result = |(v, cache): (_, &Option<usize>)| cache.map_or_else(|| flat(v), |i| parameter(module, group, i));
    parameters.extend(group.yields.iter().zip(&in_place).map(result));
    module.func(name, &parameters, |e, values| -> Result<'c, 'a, ()> {
        let (sizes, buffers) = values[1..].split_at(scalars.sizes().len());

        let mut local = values[0];
        for section in &sections {
            let norm = section.norm.map(|op| Norm::new(group, op, buffers)).transpose()?;
            let count = section.tasks.value(e, sizes);
            let is_own = local.ge(0) & local.lt(count);
            e.if_(is_own, |e| section.emit(group, e, norm.as_ref(), local, sizes, buffers));
            local -= count;
        }
        Ok(())
    })?;

    let mut access = vec![Access::Read; group.arguments.len()];
    access.extend(in_place.iter().map(|cache| if cache.is_some() { Access::ReadWrite } else { Access::Write }));
    let tasks = sections.iter().fold(Size::Const(0), |sum, section| sum.plus(group.size(section.input, 0..2)));
    Ok(Signature { access, in_place, scalars: scalars.into_sizes(), tasks, summary: summary(group), partner: None })
}

/// The cache operand whose buffer a result overwrites.
pub fn overwritten(sections: &[Section<'_, '_>], result: usize) -> Option<usize> {
    let target = sections.iter().flat_map(|section| &section.targets).find(|target| target.result == result)?;
    target.cache.as_ref().map(|(cache, _)| cache.operand)
}

pub fn summary(group: &Group) -> String {
    let count = |kind: Op| group.body.iter().filter(|op| kind.is(*op)).count();
    let parts = [
        ("rms_norm", Op::RmsNorm),
        ("layer_norm", Op::LayerNorm),
        ("rope", Op::Rope),
        ("quantize", Op::Quantize),
        ("kv_update", Op::KvUpdate),
    ];
    let parts = parts.map(|(name, kind)| (name, count(kind)));
    let parts = parts.iter().filter(|(_, count)| *count > 0);
    let parts: Vec<String> =
        parts.map(|(name, count)| if *count == 1 { (*name).to_owned() } else { format!("{name} x{count}") }).collect();
    parts.join("+")
}

/// One section per rope, and one per update whose rows no rope of the group rotates.
pub fn sections<'c, 'a>(group: &Group<'c, 'a>, scalars: &mut Scalars) -> Result<'c, 'a, Vec<Section<'c, 'a>>> {
    let mut sections = vec![];
    for op in group.body.iter().copied() {
        let value = |i| op.operand(i).map_err(|_| group.unsupported(Some(op), "misses an operand"));
        match Op::of(&op) {
            Some(Op::Rope) => {
                let mut section = Section::new(group, op, value(0)?, scalars)?;
                let sequences = Sequences::new(group, op, value(1)?, kforge_dialect::ir::operand(&op, 2))?;
                section.rotation = Some(Rotation::new(group, op, section.depth, sequences)?);
                let turned = op.result(0).map_err(|_| group.unsupported(Some(op), "has no result"))?.into();
                let tensors = results(group, turned).map(|result| Target { result, cache: None, rounded: false });
                section.targets.extend(tensors);
                for update in group.body.iter().copied().filter(|op| Op::KvUpdate.is(op)) {
                    if source(group, update)?.0 == turned {
                        section.targets.extend(update_targets(group, update, scalars)?);
                    }
                }
                let pairs = section.rotation.as_ref().map_or(0, |rotation| rotation.frequencies.len());
                if !pairs.is_multiple_of(LANES) && section.targets.iter().any(|target| target.rounded) {
                    let message = format!(
                        "rotates {} elements, which must be a multiple of {} if they are quantised",
                        2 * pairs,
                        2 * LANES
                    );
                    return Err(group.unsupported(Some(op), message));
                }
                sections.push(section);
            }
            Some(Op::Quantize | Op::RmsNorm | Op::LayerNorm) => {
                let value = op.result(0).map_err(|_| group.unsupported(Some(op), "has no result"))?.into();
                if results(group, value).next().is_some() {
                    let message = "is read by other groups too; take it out of the group of a rotation or cache update";
                    return Err(group.unsupported(Some(op), message));
                }
            }
            Some(Op::KvUpdate) => {
                let (source, _) = source(group, op)?;
                if group.defining_op(source).is_some_and(|op| Op::Rope.is(&op)) {
                    continue;
                }
                let mut section = Section::new(group, op, source, scalars)?;
                section.targets = update_targets(group, op, scalars)?;
                sections.push(section);
            }
            _ => {
                let message = format!("'{}' is no part of a rope kernel", op_name(&op));
                return Err(group.unsupported(Some(op), message));
            }
        }
    }
    let is_stored = |result: usize| sections.iter().flat_map(|section| &section.targets).any(|to| to.result == result);
    if let Some(result) = (0..group.yields.len()).find(|result| !is_stored(*result)) {
        let op = group.defining_op(group.yields[result]);
        return Err(group.unsupported(op, format!("has a result {result} that no rope or kv_update of it makes")));
    }
    Ok(sections)
}

/// The rows of an update before they are quantised, and whether they are quantised.
fn source<'c, 'a>(group: &Group<'c, 'a>, update: OperationRef<'c, 'a>) -> Result<'c, 'a, (Value<'c, 'a>, bool)> {
    let missing = |op| group.unsupported(Some(op), "misses an operand");
    let rows = update.operand(1).map_err(|_| missing(update))?;
    match group.defining_op(rows).filter(|op| Op::Quantize.is(op)) {
        Some(quantize) => Ok((quantize.operand(0).map_err(|_| missing(quantize))?, true)),
        None => Ok((rows, false)),
    }
}

/// Numbers of the group's results that are `value`.
pub fn results<'c, 'a>(group: &Group<'c, 'a>, value: Value<'c, 'a>) -> impl Iterator<Item = usize> {
    group.yields.iter().enumerate().filter(move |(_, v)| **v == value).map(|(result, _)| result)
}

fn update_targets<'c, 'a>(
    group: &Group<'c, 'a>,
    op: OperationRef<'c, 'a>,
    scalars: &mut Scalars,
) -> Result<'c, 'a, Vec<Target>> {
    let missing = || group.unsupported(Some(op), "misses an operand or its result");
    let cache = group.outside(op, op.operand(0).map_err(|_| missing())?)?;
    let sequences = Sequences::new(group, op, optional_operand(&op, 2).ok_or_else(missing)?, optional_operand(&op, 3))?;
    let table = group.optional(op, 4)?;
    let cache = CacheOperand::new(group, op, cache, table, scalars)?;
    let (_, rounded) = source(group, op)?;
    if cache.layout.is_int8() && !rounded {
        let message =
            "updates a cache of 8 bits, so its rows must be those of a 'transformer.quantize' of the same group";
        return Err(group.unsupported(Some(op), message));
    }
    let updated = op.result(0).map_err(|_| missing())?.into();
    let target = |result| Target { result, cache: Some((cache.clone(), sequences)), rounded };
    Ok(results(group, updated).map(target).collect())
}

impl<'c, 'a> Section<'c, 'a> {
    fn new(
        group: &Group<'c, 'a>,
        op: OperationRef<'c, 'a>,
        rows: Value<'c, 'a>,
        scalars: &mut Scalars,
    ) -> Result<'c, 'a, Self> {
        let norm = group.defining_op(rows).filter(|def| matches!(Op::of(def), Some(Op::RmsNorm | Op::LayerNorm)));
        let input = match norm {
            Some(norm) => group.operand(norm, 0)?,
            None => group.outside(op, rows)?,
        };
        let [_, _, Some(heads), Some(depth)] = dims(rows.r#type())[..] else {
            return Err(group.unsupported(Some(op), "needs static heads and head size to be compiled"));
        };
        let (rows, tasks) = (scalars.add(group.size(input, 1..2)), scalars.add(group.size(input, 0..2)));
        Ok(Self { input, heads, depth, rows, tasks, norm, rotation: None, targets: vec![] })
    }

    /// Emits row `index` of the B * S rows.
    fn emit(
        &self,
        group: &Group<'c, 'a>,
        e: &Emitter<'c, 'a>,
        norm: Option<&Norm<'c, 'a>>,
        index: V<'c, 'a>,
        sizes: &[V<'c, 'a>],
        buffers: &[V<'c, 'a>],
    ) {
        let (operands, results) = buffers.split_at(group.arguments.len());
        let rows = self.rows.value(e, sizes);
        let (sequence, row) = index.div_rem(rows);
        let is_real = |sequences: &Sequences| row.lt(sequences.length(e, operands, sequence, rows));
        let turn = self.rotation.as_ref().map(|rotation| {
            let position = rotation.sequences.position(e, operands, sequence) + row;
            (rotation, rotation.angles(e, position), is_real(&rotation.sequences))
        });
        let caches: Vec<_> = self
            .targets
            .iter()
            .map(|target| {
                let (cache, sequences) = target.cache.as_ref()?;
                let position = sequences.position(e, operands, sequence) + row;
                Some((cache.bind(e, results[target.result], operands, sizes), position, is_real(sequences)))
            })
            .collect();
        let normed = norm.map(|norm| (norm, e.alloca(&[self.depth], e.f32())));
        e.loop_(e.ci(0), e.ci(self.heads), 1, |e, head| {
            let source = operands[self.input];
            let base = (index * self.heads + head) * self.depth;
            if let Some((norm, scratch)) = normed {
                norm.emit(e, &|e, at, mask| load_lanes(e, source, &[base + at], mask), &|e, at, mask, lanes| {
                    // Rounded as the unfused tensor between norm and rope would be.
                    let rounded = e.widen(e.narrow(lanes, memref_element(source)));
                    store_lanes(e, rounded, scratch, &[at], mask);
                });
            }
            let load = |start: usize, lanes| match normed {
                Some((_, scratch)) => load_lanes(e, scratch, &[e.ci(start)], mask(e, lanes)),
                None => load_lanes(e, source, &[base + start], mask(e, lanes)),
            };
            let mut pieces = match &turn {
                None => pieces_of(0..self.depth, &load),
                Some((rotation, angles, real)) => rotation
                    .turn(e, self.depth, &load, angles)
                    .into_iter()
                    .map(|piece| {
                        // Rounded as the unfused tensor between rope and update would be.
                        let rounded = e.widen(e.narrow(piece.value, memref_element(source)));
                        Piece { value: e.select(*real, rounded, e.vf(0.0)), ..piece }
                    })
                    .collect(),
            };
            pieces.sort_by_key(|piece| piece.start);
            let blocks = match self.targets.iter().any(|target| target.rounded) {
                true => blocks(e, &pieces),
                false => vec![],
            };
            let rounded: Vec<Piece> = blocks
                .iter()
                .flat_map(|block| block.floats(e))
                .zip(&pieces)
                .map(|(value, piece)| Piece { value: e.widen(e.narrow(value, memref_element(source))), ..*piece })
                .collect();
            for (target, cache) in self.targets.iter().zip(&caches) {
                match cache {
                    None => pieces.iter().for_each(|piece| piece.store(e, results[target.result], base, 1)),
                    Some((cache, position, real)) => e.if_(*real, |e| {
                        let pieces = if target.rounded { &rounded } else { &pieces };
                        cache.if_row(e, sequence, *position, head, |e, row| match cache.is_int8() {
                            true => {
                                blocks.iter().enumerate().for_each(|(i, block)| cache.store_block(e, row, i, block))
                            }
                            false => pieces.iter().for_each(|p| p.store(e, cache.memref, row.first, cache.stride())),
                        });
                    }),
                }
            }
        });
    }
}

/// A part of a row, sixteen elements at a time.
fn pieces_of<'c, 'a>(part: Range<usize>, load: &dyn Fn(usize, usize) -> V<'c, 'a>) -> Vec<Piece<'c, 'a>> {
    let piece = |start| {
        let lanes = LANES.min(part.end - start);
        Piece { start, lanes, value: load(start, lanes) }
    };
    part.clone().step_by(LANES).map(piece).collect()
}

/// Quantises a row of whole blocks; its pieces, in order, must have sixteen elements each.
fn blocks<'c, 'a>(e: &Emitter<'c, 'a>, pieces: &[Piece<'c, 'a>]) -> Vec<Rounded<'c, 'a>> {
    pieces.chunks_exact(ACTIVATIONS / LANES).map(|two| Rounded::new(e, [two[0].value, two[1].value])).collect()
}

fn mask<'c, 'a>(e: &Emitter<'c, 'a>, lanes: usize) -> Option<V<'c, 'a>> {
    (lanes < LANES).then(|| e.mask(e.ci(lanes)))
}

impl<'c, 'a> Piece<'c, 'a> {
    /// Stores into the row that begins at `row`; adjacent elements are `stride` apart.
    fn store(&self, e: &Emitter<'c, 'a>, memref: V<'c, 'a>, row: V<'c, 'a>, stride: usize) {
        if stride == 1 {
            return store_lanes(e, self.value, memref, &[row + self.start], mask(e, self.lanes));
        }
        let narrow = e.narrow(self.value, memref_element(memref));
        scatter(e, narrow, self.lanes, memref, row + self.start * stride, stride);
    }
}

impl Rotation {
    pub fn new<'c, 'a>(
        group: &Group<'c, 'a>,
        op: OperationRef<'c, 'a>,
        depth: usize,
        sequences: Sequences,
    ) -> Result<'c, 'a, Self> {
        let missing = |what: &str| group.unsupported(Some(op), format!("has no attribute '{what}'"));
        let interleaved = match string_attribute(&op, "mode").ok_or_else(|| missing("mode"))?.as_str() {
            "interleaved" => true,
            "half" => false,
            other => return Err(group.unsupported(Some(op), format!("mode is interleaved or half, not '{other}'"))),
        };
        let base = f64::from(float_attribute(&op, "base").ok_or_else(|| missing("base"))?);
        let dims = integer_attribute(&op, "dims").map_or(Some(depth), |dims| usize::try_from(dims).ok()).unwrap_or(0);
        let divisors = f32_array_attribute(&op, "freq_divisors").unwrap_or_else(|| vec![1.0; dims / 2]);
        if !dims.is_multiple_of(2) || dims > depth || divisors.len() != dims / 2 {
            return Err(
                group.unsupported(Some(op), "needs an even number of rotated elements and a divisor for each pair")
            );
        }
        let frequency =
            |(i, divisor): (usize, &f32)| base.powf(-2.0 * i as f64 / dims as f64) / f64::from(*divisor) / TAU;
        Ok(Self {
            interleaved,
            frequencies: divisors.iter().enumerate().map(frequency).collect(),
            scale: float_attribute(&op, "scale").unwrap_or(1.0),
            sequences,
        })
    }

    /// Sine and cosine of sixteen pairs at a time; lanes past the last pair have the angle zero.
    fn angles<'c, 'a>(&self, e: &Emitter<'c, 'a>, position: V<'c, 'a>) -> Vec<(V<'c, 'a>, V<'c, 'a>)> {
        let position = e.cast("arith.index_cast", position, e.int(32));
        let position = e.splat(e.cast("arith.sitofp", position, e.f64()));
        let angles = |chunk: &[f64]| {
            let mut lanes = chunk.to_vec();
            lanes.resize(LANES, 0.0);
            let turns = position * e.vd_lanes(&lanes);
            // Adding and subtracting 1.5 * 2^52 rounds to the nearest integer.
            let big = e.vd_lanes(&[1.5 * 2f64.powi(52); LANES]);
            let rest = turns - (turns + big - big);
            let angle = rest * e.vd_lanes(&[TAU; LANES]);
            let (sin, cos) = e.sin_cos(e.cast("arith.truncf", angle, e.vector(LANES, e.f32())));
            if self.scale == 1.0 { (sin, cos) } else { (sin * self.scale, cos * self.scale) }
        };
        self.frequencies.chunks(LANES).map(angles).collect()
    }

    /// The rotated row of `depth` elements.
    fn turn<'c, 'a>(
        &self,
        e: &Emitter<'c, 'a>,
        depth: usize,
        load: &dyn Fn(usize, usize) -> V<'c, 'a>,
        angles: &[(V<'c, 'a>, V<'c, 'a>)],
    ) -> Vec<Piece<'c, 'a>> {
        let pairs = self.frequencies.len();
        let mut pieces = vec![];
        for (chunk, (sin, cos)) in angles.iter().enumerate() {
            let first = chunk * LANES;
            let lanes = LANES.min(pairs - first);
            let rotate = |x: V<'c, 'a>, y: V<'c, 'a>| {
                let real = e.fma(x, *cos, -(y * *sin));
                (real, e.fma(x, *sin, y * *cos))
            };
            if self.interleaved {
                let (start, low) = (2 * first, LANES.min(2 * lanes));
                let high = 2 * lanes - low;
                let a = load(start, low);
                let b = if high > 0 { load(start + LANES, high) } else { a };
                let every = |offset: i64| -> Vec<i64> { (0..LANES as i64).map(|i| 2 * i + offset).collect() };
                let zip = |from: i64| -> Vec<i64> {
                    (0..LANES as i64).map(|i| from + i / 2 + i % 2 * LANES as i64).collect()
                };
                let (x, y) = rotate(e.shuffle(a, b, &every(0)), e.shuffle(a, b, &every(1)));
                pieces.push(Piece { start, lanes: low, value: e.shuffle(x, y, &zip(0)) });
                if high > 0 {
                    let value = e.shuffle(x, y, &zip(LANES as i64 / 2));
                    pieces.push(Piece { start: start + LANES, lanes: high, value });
                }
            } else {
                let (x, y) = rotate(load(first, lanes), load(pairs + first, lanes));
                pieces.push(Piece { start: first, lanes, value: x });
                pieces.push(Piece { start: pairs + first, lanes, value: y });
            }
        }
        pieces.extend(pieces_of(2 * pairs..depth, load));
        pieces
    }
}
