//! Norms, softmax and quantisation over the last axis. A task is a row; if the row is only quantised, a part of it.
//!
//! The same emitter serves the standalone kernel and the prologue of a GEMV, so fusing a norm changes no bit: the order
//! of the sums is fixed by the row's length alone (four interleaved accumulators of sixteen lanes).

use crate::{
    emit::{Emitter, V},
    group::{Group, Result, Signature, Size, dims, element, op_name},
    kernels::{
        int8,
        shared::{each_lanes, fold_lanes, load_lanes, store_lanes},
    },
};
use kforge_dialect::{Op, ir::operand};
use kforge_program::Access;
use kforge_quant::ACTIVATIONS;
use melior::ir::{
    Value, ValueLike,
    operation::{OperationLike, OperationRef},
};

/// Blocks of 32 that one task quantises.
const QUANTIZE_BLOCKS: usize = 16;

/// A normalisation of rows of `length` elements.
pub struct Norm<'c, 'a> {
    pub kind: Kind,
    pub length: usize,
    pub eps: f32,
    /// Buffers of weight and bias.
    weight: Option<V<'c, 'a>>,
    bias: Option<V<'c, 'a>>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Rms,
    Layer,
    Softmax,
}

/// Statistics of a row: its elements are shifted by `mean` and multiplied by `scale`.
#[derive(Clone, Copy)]
pub struct Moments<'c, 'a> {
    pub mean: Option<V<'c, 'a>>,
    pub scale: V<'c, 'a>,
}

/// Whether [`Norm`] emits this op.
pub fn is_norm(op: &OperationRef) -> bool {
    matches!(Op::of(op), Some(Op::RmsNorm | Op::LayerNorm | Op::Softmax))
}

/// Loads sixteen lanes of a row from a given element on, under a mask.
pub type Load<'f, 'c, 'a> = &'f dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>, Option<V<'c, 'a>>) -> V<'c, 'a>;
/// Stores sixteen lanes of a row from a given element on, under a mask.
pub type Store<'f, 'c, 'a> = &'f dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>, Option<V<'c, 'a>>, V<'c, 'a>);

impl<'c, 'a> Norm<'c, 'a> {
    /// `buffers` are the memrefs of the group's operands.
    pub fn new(group: &Group<'c, 'a>, op: OperationRef<'c, 'a>, buffers: &[V<'c, 'a>]) -> Result<'c, 'a, Self> {
        let kind = match Op::of(&op) {
            Some(Op::RmsNorm) => Kind::Rms,
            Some(Op::LayerNorm) => Kind::Layer,
            Some(Op::Softmax) => Kind::Softmax,
            _ => return Err(group.unsupported(Some(op), "is no norm or softmax")),
        };
        let length = Self::length(group, op)?;
        let eps = match kind {
            Kind::Softmax => 0.0,
            _ => kforge_dialect::ir::float_attribute(&op, "eps")
                .ok_or_else(|| group.unsupported(Some(op), "has no attribute 'eps'"))?,
        };
        let operand = |i| Ok(group.trailing(op, i)?.map(|argument| buffers[argument]));
        Ok(Self { kind, length, eps, weight: operand(1)?, bias: operand(2)? })
    }

    /// Elements of a row.
    pub fn length(group: &Group<'c, 'a>, op: OperationRef<'c, 'a>) -> Result<'c, 'a, usize> {
        let input = op.operand(0).map_err(|_| group.unsupported(Some(op), "a norm needs an operand"))?;
        dims(input.r#type())
            .pop()
            .flatten()
            .ok_or_else(|| group.unsupported(Some(op), "the normalised dimension must be static to be compiled"))
    }

    /// Normalises one row: `load` reads its lanes as f32, `store` stores the result's.
    pub fn emit(&self, e: &Emitter<'c, 'a>, load: Load<'_, 'c, 'a>, store: Store<'_, 'c, 'a>) {
        if self.kind == Kind::Softmax {
            return self.softmax(e, load, store);
        }
        let n = e.cf(self.length as f32);
        let mean = (self.kind == Kind::Layer).then(|| {
            let sum = self.sum(e, &|e, at, mask| load(e, at, mask));
            e.splat(sum / n)
        });
        let centred = |e: &Emitter<'c, 'a>, at, mask| match mean {
            // Lanes past the end are zero, and must stay zero to not change the sum.
            Some(mean) => {
                let shifted = load(e, at, mask) - mean;
                mask.map_or(shifted, |m| e.select(m, shifted, e.vf(0.0)))
            }
            None => load(e, at, mask),
        };
        let squares = self.sum(e, &|e, at, mask| {
            let x = centred(e, at, mask);
            x * x
        });
        let variance = squares / n + self.eps;
        let scale = e.splat(1.0 / e.sqrt(variance));
        each_lanes(e, self.length, |e, at, mask| {
            let mut y = centred(e, at, mask) * scale;
            if let Some(weight) = self.weight {
                y *= load_lanes(e, weight, &[at], mask);
            }
            if let Some(bias) = self.bias {
                y += load_lanes(e, bias, &[at], mask);
            }
            store(e, at, mask, y);
        });
    }

    fn sum(
        &self,
        e: &Emitter<'c, 'a>,
        term: &dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>, Option<V<'c, 'a>>) -> V<'c, 'a>,
    ) -> V<'c, 'a> {
        let sums = fold_lanes(e, self.length, &[e.vf(0.0); 4], |e, at, mask, sum| sum + term(e, at, mask));
        let sum = sums[0] + sums[1] + (sums[2] + sums[3]);
        e.reduce("add", sum)
    }

    fn softmax(&self, e: &Emitter<'c, 'a>, load: Load<'_, 'c, 'a>, store: Store<'_, 'c, 'a>) {
        let lowest = e.vf(f32::NEG_INFINITY);
        let outside =
            |e: &Emitter<'c, 'a>, mask: Option<V<'c, 'a>>, x, other| mask.map_or(x, |m| e.select(m, x, other));
        let maxima = fold_lanes(e, self.length, &[lowest; 4], |e, at, mask, max| {
            max.max(outside(e, mask, load(e, at, mask), e.vf(f32::NEG_INFINITY)))
        });
        let max = maxima[0].max(maxima[1]).max(maxima[2].max(maxima[3]));
        let max = e.splat(e.reduce("maxnumf", max));
        let exp = |e: &Emitter<'c, 'a>, at, mask| {
            let x = e.exp(load(e, at, mask) - max);
            outside(e, mask, x, e.vf(0.0))
        };
        let sum = self.sum(e, &exp);
        let scale = e.splat(1.0 / sum);
        each_lanes(e, self.length, |e, at, mask| {
            store(e, at, mask, exp(e, at, mask) * scale);
        });
    }
}

/// Generates the kernel of a norm, a softmax or a `quantize` alone, or of a norm whose result is quantised.
pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    let is_quantize = |op: &OperationRef| Op::Quantize.is(op);
    let (norm, quantize) = match group.body[..] {
        [op] if is_norm(&op) => (Some(op), None),
        [op] if is_quantize(&op) => (None, Some(op)),
        [norm, op]
            if is_norm(&norm)
                && is_quantize(&op)
                && operand(&op, 0).is_some_and(|x| group.defining_op(x) == Some(norm)) =>
        {
            (Some(norm), Some(op))
        }
        _ => {
            let other = group.body.iter().find(|op| !is_norm(op) && !is_quantize(op));
            let message = match other {
                Some(op) => format!("'{}' is not a row-wise op", op_name(op)),
                None => "the rowwise kernel takes a norm or softmax, a quantize, or both in this order".to_owned(),
            };
            return Err(group.unsupported(other.copied(), message));
        }
    };
    let first = norm.or(quantize).expect("one of them was matched");
    group.check_result(quantize.unwrap_or(first))?;
    let input = group.operand(first, 0)?;
    let shape = dims(group.arguments[input].r#type());
    let last = shape.last().copied().flatten();
    let length =
        last.ok_or_else(|| group.unsupported(Some(first), "the last dimension must be static to be compiled"))?;
    let blocks = length / ACTIVATIONS;
    let packed = group.result_layouts[0] == "blocks8";
    let rows = |v: Value<'c, 'a>| module.memref(&[None, last], element(v.r#type()));
    let vector = |v: Value<'c, 'a>| module.memref(&[last], element(v.r#type()));
    let mut parameters = vec![module.index()];
    parameters.extend(group.arguments.iter().enumerate().map(|(i, v)| if i == input { rows(*v) } else { vector(*v) }));
    parameters.push(match packed {
        true => module.memref(&[None, Some(int8::row_bytes(length))], module.int(8)),
        false => rows(group.yields[0]),
    });
    // A row of a decoder's MLP is long and may be the only one, so quantisation alone is split within a row.
    let parts = if norm.is_none() { blocks.div_ceil(QUANTIZE_BLOCKS).max(1) } else { 1 };
    module.func(name, &parameters, |e, values| -> Result<'c, 'a, ()> {
        let (task, buffers) = (values[0], &values[1..]);
        let (x, y) = (buffers[input], buffers[group.arguments.len()]);
        let target = |row| match packed {
            true => int8::Target::Blocks { memref: y, row },
            false => int8::Target::Floats { memref: y, row },
        };
        match (norm, quantize) {
            (Some(norm), None) => Norm::new(group, norm, buffers)?.emit(
                e,
                &|e, at, mask| load_lanes(e, x, &[task, at], mask),
                &|e, at, mask, lanes| store_lanes(e, lanes, y, &[task, at], mask),
            ),
            (Some(norm), Some(_)) => {
                let scratch = e.alloca(&[length], e.f32());
                Norm::new(group, norm, buffers)?.emit(
                    e,
                    &|e, at, mask| load_lanes(e, x, &[task, at], mask),
                    &|e, at, mask, lanes| store_lanes(e, lanes, scratch, &[at], mask),
                );
                e.loop_(e.ci(0), e.ci(blocks), 1, |e, block| {
                    int8::quantize(e, block, &|e, at| load_lanes(e, scratch, &[at], None), target(task));
                });
            }
            _ => {
                let (row, part) = task.div_rem(parts);
                let start = part * QUANTIZE_BLOCKS;
                let end = (start + QUANTIZE_BLOCKS).min(blocks);
                e.loop_(start, end, 1, |e, block| {
                    int8::quantize(e, block, &|e, at| load_lanes(e, x, &[row, at], None), target(row));
                });
            }
        }
        Ok(())
    })?;
    let mut access = vec![Access::Read; group.arguments.len()];
    access.push(Access::Write);
    let names: Vec<String> =
        group.body.iter().map(|op| op_name(op).rsplit('.').next().unwrap_or_default().to_owned()).collect();
    Ok(Signature {
        access,
        in_place: vec![None; group.yields.len()],
        scalars: vec![],
        tasks: group.size(input, 0..shape.len().saturating_sub(1)).times(Size::Const(parts)),
        summary: names.join("+"),
        partner: None,
    })
}
