//! The k largest elements of each row: a task is a row.
//!
//! Elements are compared by an integer key with the same order: the bits of the f32, with all but the sign inverted for
//! negative numbers; both zeros are equal, and a NaN is below all numbers. Sixteen elements at a time are compared with
//! the smallest of the k largest so far. Few exceed it; those are inserted into a sorted list of i64: the key, then the
//! complement of the index, so that no two entries are equal.

use crate::{
    emit::{Emitter, LANES, V},
    group::{Group, Result, Signature, Size, dims, element},
    kernels::shared::{each_lanes, load_lanes},
};
use kforge_dialect::Op;
use kforge_program::Access;
use melior::ir::{Value, ValueLike};

/// Maximum k.
const MOST: usize = 256;
/// The key of a NaN; the key of the lowest number is far above it.
const NAN: i64 = i32::MIN as i64 + 2;
/// The key of lanes past the end: below all elements' keys, and not above them even when 1 is subtracted from those.
pub const NONE: i64 = NAN - 1;

/// The op of a group.
pub struct TopK {
    /// Operand [..., V].
    pub input: usize,
    /// V and k.
    pub length: usize,
    pub k: usize,
    /// Rows of the input.
    pub rows: Size,
    /// Number of the group's result that holds the values, and the indices, if used.
    pub values: Option<usize>,
    pub indices: Option<usize>,
}

impl TopK {
    pub fn new<'c, 'a>(group: &Group<'c, 'a>) -> Result<'c, 'a, TopK> {
        let [op] = group.body[..] else {
            return Err(group.unsupported(None, "the top_k kernel takes one top_k"));
        };
        if !Op::TopK.is(&op) {
            return Err(group.unsupported(Some(op), "the top_k kernel takes one top_k"));
        }
        let input = group.operand(op, 0)?;
        let shape = dims(group.arguments[input].r#type());
        let last = |i: usize| dims(op.result(i).ok()?.r#type()).pop().flatten();
        let (Some(length), Some(k)) = (shape.last().copied().flatten(), last(0)) else {
            return Err(group.unsupported(Some(op), "the last dimension must be static to be compiled"));
        };
        if k > MOST {
            let message = format!("takes the greatest {k} elements, of which no kernel finds more than {MOST}");
            return Err(group.unsupported(Some(op), message));
        }
        let place = |i| group.yields.iter().position(|v| op.result(i).is_ok_and(|r| *v == r.into()));
        let (values, indices) = (place(0), place(1));
        if [values, indices].iter().flatten().count() != group.yields.len() {
            return Err(group.unsupported(Some(op), "is all that its kernel stores, each result once"));
        }
        let rows = group.size(input, 0..shape.len() - 1);
        Ok(TopK { input, length, k, rows, values, indices })
    }

    /// The signature of a kernel of this op, with one task per row.
    pub fn signature(&self, group: &Group<'_, '_>) -> Signature {
        let reads = group.arguments.iter().map(|_| Access::Read);
        Signature {
            access: reads.chain(group.yields.iter().map(|_| Access::Write)).collect(),
            in_place: vec![None; group.yields.len()],
            scalars: vec![],
            tasks: self.rows.clone(),
            summary: if self.k == 1 { "argmax".into() } else { format!("top {}", self.k) },
            partner: None,
        }
    }
}

/// The key of an f32, or of each lane of a vector of f32.
pub fn key<'c, 'a>(e: &Emitter<'c, 'a>, value: V<'c, 'a>) -> V<'c, 'a> {
    let ty = e.retyped(value.r#type(), e.int(32));
    let c = |value: i64| e.ci_like(value, ty);
    let bits = e.bitcast(value, ty);
    let magnitude = bits & (i32::MAX as usize);
    let turned = bits ^ (i32::MAX as usize);
    let ordered = e.select(bits.lt(0), turned, bits);
    let number = e.select(magnitude.eq(0), c(0), ordered);
    e.select(magnitude.gt(f32::INFINITY.to_bits() as usize), c(NAN), number)
}

pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    let op = TopK::new(group)?;
    let TopK { input, length, k, .. } = op;
    let values = group.arguments.iter().chain(&group.yields);
    let rows = |v: &Value<'c, 'a>| module.memref(&[None, dims(v.r#type()).pop().flatten()], element(v.r#type()));
    let parameters: Vec<_> = std::iter::once(module.index()).chain(values.map(rows)).collect();
    module.func(name, &parameters, |e, parameters| {
        let (task, buffers) = (parameters[0], &parameters[1..]);
        let (x, results) = (buffers[input], &buffers[group.arguments.len()..]);
        // In descending order.
        let best = e.alloca(&[k], e.int(64));
        let lanes = e.alloca(&[LANES], e.int(32));
        e.loop_(e.ci(0), e.ci(k), 1, |e, at| e.store(e.cint(64, i64::MIN), best, &[at]));
        let low = |e: &Emitter<'c, 'a>| e.cint(64, i64::from(u32::MAX));
        each_lanes(e, length, |e, start, mask| {
            let keys = key(e, load_lanes(e, x, &[task, start], mask));
            let keys = mask.map_or(keys, |mask| e.select(mask, keys, e.ci_like(NONE, e.vi32())));
            let least = e.same("arith.shrsi", &[e.load(best, &[e.ci(k - 1)]), e.cint(64, 32)]);
            let least = e.splat(e.cast("arith.trunci", least, e.int(32)));
            e.if_(e.reduce("or", keys.gt(least)), |e| {
                e.vstore(keys, lanes, &[e.ci(0)]);
                e.loop_(e.ci(0), e.ci(LANES), 1, |e, lane| {
                    let key = e.cast("arith.extsi", e.load(lanes, &[lane]), e.int(64));
                    let index = e.cast("arith.index_cast", start + lane, e.int(64));
                    let key = key << 32;
                    let own = key | (low(e) - index);
                    e.if_(own.gt(e.load(best, &[e.ci(k - 1)])), |e| {
                        e.for_(e.ci(0), e.ci(k), 1, &[own], |e, at, carried| {
                            let held = e.load(best, &[at]);
                            e.store(held.max(carried[0]), best, &[at]);
                            vec![held.min(carried[0])]
                        });
                    });
                });
            });
        });
        e.loop_(e.ci(0), e.ci(k), 1, |e, at| {
            let index = e.load(best, &[at]) & low(e);
            let index = low(e) - index;
            if let Some(values) = op.values {
                let value = e.load(x, &[task, e.cast("arith.index_cast", index, e.index())]);
                e.store(value, results[values], &[task, at]);
            }
            if let Some(indices) = op.indices {
                e.store(e.cast("arith.trunci", index, e.int(32)), results[indices], &[task, at]);
            }
        });
    });
    Ok(op.signature(group))
}
