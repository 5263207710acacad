//! Norms and softmax over the last axis, and element-wise ops on their result: one workgroup per row.

use super::{
    target::Target,
    workgroup::{Declaration, Fold, Workgroup},
};
use crate::{
    emit::{Emitter, V},
    group::{Result, Signature},
    kernels::norm::{Kind, Moments, Norm, Rowwise, summary},
};
use std::cell::RefCell;

/// Maximum threads per workgroup.
const THREADS: usize = 256;

/// Threads for a row of `length` elements.
fn threads(length: usize, most: usize) -> usize {
    length.next_power_of_two().clamp(32, THREADS.min(most))
}

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    let rowwise = Rowwise::new(group)?;
    let Rowwise { norm: Some(op), quantize: None, input, .. } = rowwise else {
        return Err(group.unsupported(rowwise.quantize, "is 'transformer.quantize', which no kernel of a GPU computes"));
    };
    let rank = crate::group::dims(melior::ir::ValueLike::r#type(&group.arguments[input])).len();
    let length = Norm::length(group, op)?;
    let threads = threads(length, of.adapter.threads);
    let shared = vec![of.module.shared(&[threads], of.module.f32())];
    Declaration { name: of.name, buffers: of.scalars(), scalars: 0, shared, threads }.build(&of, |e, workgroup| {
        let norm = Norm::new(group, op, &workgroup.buffers)?;
        let buffers = of.buffers(e, &workgroup.buffers);
        let (x, y) = (buffers[input], buffers[group.arguments.len()]);
        let first = workgroup.task * length;
        let load = |e: &Emitter<'c, 'a>, at: V<'c, 'a>| x.load(e, first + at);
        let failure = RefCell::new(None);
        let store =
            |e: &Emitter<'c, 'a>, value: V<'c, 'a>, at: V<'c, 'a>| match rowwise
                .epilogue(group, e, value, &|i| buffers[i].load(e, first + at))
            {
                Ok(value) => y.store(e, value, first + at),
                Err(error) => *failure.borrow_mut() = Some(error),
            };
        let scratch = workgroup.shared[0];
        if norm.kind == Kind::Softmax {
            let lowest = e.cf(f32::MIN);
            let max = fold(e, workgroup, length, lowest, &|e, at, max| max.max(load(e, at)));
            let max = workgroup.reduce(e, scratch, max, Fold::Max);
            let exp = |e: &Emitter<'c, 'a>, at| e.exp(load(e, at) - max);
            let sum = fold(e, workgroup, length, e.cf(0.0), &|e, at, sum| sum + exp(e, at));
            let sum = workgroup.reduce(e, scratch, sum, Fold::Sum);
            let scale = 1.0 / sum;
            each(e, workgroup, length, |e, at| store(e, exp(e, at) * scale, at));
            return failure.take().map_or(Ok(()), Err);
        }
        let moments = moments(e, &norm, workgroup, (scratch, false), 1, &load);
        let operand = |i| Ok(group.trailing(op, i)?.map(|i| buffers[i]));
        let (weight, bias) = (operand(1)?, operand(2)?);
        each(e, workgroup, length, |e, at| {
            let value = load(e, at);
            let centred = moments.mean.map_or(value, |mean| value - mean);
            let mut value = centred * moments.scale;
            if let Some(weight) = weight {
                value *= weight.load(e, at);
            }
            if let Some(bias) = bias {
                value += bias.load(e, at);
            }
            store(e, value, at);
        });
        failure.take().map_or(Ok(()), Err)
    })?;
    Ok(of.signature(group.size(input, 0..rank.saturating_sub(1)), vec![], summary(group)))
}

/// Mean and scale of a row of a norm, in all threads. `load` loads element `at` of the row, or with `by` = 4 vec4
/// number `at`. `scratch` is workgroup memory of one element per thread; `again` says that it is reused before the next
/// barrier.
pub fn moments<'c, 'a>(
    e: &Emitter<'c, 'a>,
    norm: &Norm<'c, 'a>,
    workgroup: &Workgroup<'c, 'a>,
    (scratch, again): (V<'c, 'a>, bool),
    by: usize,
    load: &dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>) -> V<'c, 'a>,
) -> Moments<'c, 'a> {
    let n = e.cf(norm.length as f32);
    let sum = |again: bool, term: &dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>) -> V<'c, 'a>| {
        let zero = if by == 1 { e.cf(0.0) } else { e.cf_like(0.0, e.vector(by, e.f32())) };
        let own = fold(e, workgroup, norm.length / by, zero, &|e, at, sum| sum + term(e, at));
        let lanes: Vec<V> = if by == 1 { vec![own] } else { (0..by).map(|lane| e.extract(own, lane)).collect() };
        let own = lanes.into_iter().reduce(|a, b| a + b).expect("at least one lane");
        match again {
            true => workgroup.reduce(e, scratch, own, Fold::Sum),
            false => workgroup.reduce_once(e, scratch, own, Fold::Sum),
        }
    };
    let mean = (norm.kind == Kind::Layer).then(|| sum(true, load) / n);
    let squares = sum(again, &|e, at| {
        let value = load(e, at);
        let value = mean.map_or(value, |mean| value - (if by == 1 { mean } else { e.splat_to(mean, by) }));
        value * value
    });
    let variance = squares / n + norm.eps;
    Moments { mean, scale: 1.0 / e.sqrt(variance) }
}

/// Folds the elements of a row that this thread owns, with a stride of the workgroup size.
fn fold<'c, 'a>(
    e: &Emitter<'c, 'a>,
    workgroup: &Workgroup<'c, 'a>,
    length: usize,
    init: V<'c, 'a>,
    step: &dyn Fn(&Emitter<'c, 'a>, V<'c, 'a>, V<'c, 'a>) -> V<'c, 'a>,
) -> V<'c, 'a> {
    e.for_(workgroup.thread, e.ci(length), workgroup.threads, &[init], |e, at, sum| vec![step(e, at, sum[0])])[0]
}

fn each<'c, 'a>(
    e: &Emitter<'c, 'a>,
    workgroup: &Workgroup<'c, 'a>,
    length: usize,
    body: impl FnOnce(&Emitter<'c, 'a>, V<'c, 'a>),
) {
    e.loop_(workgroup.thread, e.ci(length), workgroup.threads, body);
}
