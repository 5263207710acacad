//! Norms, softmax and quantisation over the last axis, and element-wise ops on a norm's result. A task is a row; if the row
//! is only quantised, a part of it.
//!
//! The same emitter serves the standalone kernel and the prologue of a GEMV, so fusing a norm changes no bit: the order
//! of the sums is fixed by the row's length alone (four interleaved accumulators of sixteen lanes).

use crate::{
    emit::{Emitter, V},
    group::{Group, Result, Signature, Size, dims, element, op_name},
    kernels::{
        elementwise::{evaluate, is_elementwise},
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
use std::cell::RefCell;

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

/// A group of the rowwise family: a norm or softmax and element-wise ops on its result, a `quantize`, or a norm and the
/// `quantize` of its result.
pub struct Rowwise<'c, 'a> {
    pub norm: Option<OperationRef<'c, 'a>>,
    pub quantize: Option<OperationRef<'c, 'a>>,
    /// Operand number of the rows.
    pub input: usize,
    /// Operand numbers of vectors: weight and bias of the norm.
    vectors: Vec<usize>,
}

impl<'c, 'a> Rowwise<'c, 'a> {
    /// # Errors
    /// If the group is no such group.
    pub fn new(group: &Group<'c, 'a>) -> Result<'c, 'a, Self> {
        let is_epilogue = |op: &OperationRef| is_elementwise(&op_name(op)) || op_name(op) == "arith.constant";
        let mut norms = group.body.iter().copied().filter(is_norm);
        let mut quantizes = group.body.iter().copied().filter(|op| Op::Quantize.is(op));
        let (norm, quantize) = (norms.next(), quantizes.next());
        let epilogue: Vec<_> = group.body.iter().copied().filter(|op| !is_norm(op) && !Op::Quantize.is(op)).collect();
        if let Some(op) = epilogue.iter().find(|op| !is_epilogue(op)) {
            return Err(group.unsupported(Some(*op), format!("'{}' is not a row-wise op", op_name(op))));
        }
        let quantizes_norm =
            |op: OperationRef<'c, 'a>| norm.is_none() || operand(&op, 0).is_some_and(|x| group.defining_op(x) == norm);
        let is_one = norms.next().is_none() && quantizes.next().is_none();
        let first = norm.or(quantize).filter(|_| {
            is_one
                && quantize.is_none_or(quantizes_norm)
                && (epilogue.is_empty() || quantize.is_none() && norm.is_some())
        });
        let Some(first) = first else {
            let message = "the rowwise kernel takes a norm or softmax with element-wise ops after it, a quantize, or a norm \
                           and a quantize in this order";
            return Err(group.unsupported(None, message));
        };
        let last = match group.yields[..] {
            [value] => group.defining_op(value),
            _ => None,
        };
        group.check_result(quantize.or(last).unwrap_or(first))?;
        let vectors = [1, 2].into_iter().filter_map(|i| norm.and_then(|op| group.trailing(op, i).transpose()));
        Ok(Rowwise { norm, quantize, input: group.operand(first, 0)?, vectors: vectors.collect::<Result<_>>()? })
    }

    /// The element-wise ops on the result of the norm, given its lanes and those of the group's operands.
    ///
    /// # Errors
    /// If there is no kernel for one of them.
    pub fn epilogue(
        &self,
        group: &Group<'c, 'a>,
        e: &Emitter<'c, 'a>,
        lanes: V<'c, 'a>,
        operand: &dyn Fn(usize) -> V<'c, 'a>,
    ) -> Result<'c, 'a, V<'c, 'a>> {
        let normed = self.norm.and_then(|op| kforge_dialect::ir::first_result(&op));
        // Rounded as the unfused tensor between the two would be.
        let lanes =
            if normed == Some(group.yields[0]) { lanes } else { e.rounded(lanes, element(group.yields[0].r#type())) };
        let leaf = |v: Value<'c, 'a>| if Some(v) == normed { Some(lanes) } else { group.argument(v).map(operand) };
        evaluate(group, e, group.yields[0], &leaf)
    }
}

/// Generates the kernel of a [`Rowwise`] group.
pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    let rowwise = Rowwise::new(group)?;
    let Rowwise { norm, quantize, input, .. } = rowwise;
    let shape = dims(group.arguments[input].r#type());
    let last = shape.last().copied().flatten();
    let length =
        last.ok_or_else(|| group.unsupported(norm.or(quantize), "the last dimension must be static to be compiled"))?;
    let blocks = length / ACTIVATIONS;
    let packed = group.result_layouts[0] == "blocks8";
    let rows = |v: Value<'c, 'a>| module.memref(&[None, last], element(v.r#type()));
    let vector = |v: Value<'c, 'a>| module.memref(&[last], element(v.r#type()));
    let mut parameters = vec![module.index()];
    let is_vector = |i: usize| rowwise.vectors.contains(&i);
    parameters
        .extend(group.arguments.iter().enumerate().map(|(i, v)| if is_vector(i) { vector(*v) } else { rows(*v) }));
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
            (Some(norm), None) => {
                let failure = RefCell::new(None);
                Norm::new(group, norm, buffers)?.emit(
                    e,
                    &|e, at, mask| load_lanes(e, x, &[task, at], mask),
                    &|e, at, mask, lanes| {
                        let operand = |i: usize| load_lanes(e, buffers[i], &[task, at], mask);
                        match rowwise.epilogue(group, e, lanes, &operand) {
                            Ok(lanes) => store_lanes(e, lanes, y, &[task, at], mask),
                            Err(error) => *failure.borrow_mut() = Some(error),
                        }
                    },
                );
                if let Some(error) = failure.into_inner() {
                    return Err(error);
                }
            }
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
    Ok(Signature {
        access,
        in_place: vec![None; group.yields.len()],
        scalars: vec![],
        tasks: group.size(input, 0..shape.len().saturating_sub(1)).times(Size::Const(parts)),
        summary: summary(group),
        partner: None,
    })
}

/// The names of the ops: `rms_norm+addf`.
pub fn summary(group: &Group) -> String {
    let names = group.body.iter().map(|op| op_name(op).rsplit('.').next().unwrap_or_default().to_owned());
    names.collect::<Vec<_>>().join("+")
}
