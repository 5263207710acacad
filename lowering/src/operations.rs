//! Counts the arithmetic operations of a group's ops, for profiles: what a kernel has to compute, however it is
//! implemented.
//!
//! A multiply-add counts as two operations, a function such as `exp` as one: those are few beside the products.

use crate::group::{Group, Size, dims, op_name};
use kforge_dialect::Op;
use melior::ir::{
    Value, ValueLike,
    operation::{OperationLike, OperationRef},
};

/// Operations of all ops of a group, given the sizes of operands. An attention over a cache is counted as if the cache
/// were full. `None` if a size is not known.
pub fn operations<'c, 'a>(group: &Group<'c, 'a>, sizes: &dyn Fn(Value<'c, 'a>) -> Option<Vec<Size>>) -> Option<Size> {
    group.body.iter().try_fold(Size::Const(0), |sum, op| Some(sum.plus(of_op(*op, sizes)?)))
}

fn of_op<'c, 'a>(op: OperationRef<'c, 'a>, sizes: &dyn Fn(Value<'c, 'a>) -> Option<Vec<Size>>) -> Option<Size> {
    let elements = |value: Value<'c, 'a>| sizes(value)?.into_iter().reduce(Size::times).or(Some(Size::Const(1)));
    let operand = |index| kforge_dialect::ir::operand(&op, index);
    let result = || elements(kforge_dialect::ir::first_result(&op)?);
    let each = |count: usize| Some(result()?.times(Size::Const(count)));
    match Op::of(&op) {
        Some(Op::Linear) => {
            let depth = dims(operand(0)?.r#type()).pop()??;
            let bias = usize::from(operand(2).is_some());
            each(2 * depth + bias)
        }
        Some(Op::Matmul) => {
            let a = operand(0)?;
            let axis = dims(a.r#type()).len().checked_sub(if op.has_attribute("transpose_a") { 2 } else { 1 })?;
            Some(each(2)?.times(sizes(a)?.into_iter().nth(axis)?))
        }
        // Scores and weighted values, for each query and head over all keys.
        Some(Op::Attention) => {
            let segments = kforge_dialect::ir::segments(&op);
            let mut keys = sizes(operand(1)?)?.into_iter();
            let (blocks, positions) = (keys.next()?, keys.next()?);
            let keys = if segments.get(5) == Some(&1) { blocks.times(positions) } else { positions };
            Some(each(4)?.times(keys))
        }
        Some(Op::Rope) => each(3),
        Some(Op::RmsNorm | Op::Quantize | Op::Swiglu | Op::Silu) => each(4),
        Some(Op::LayerNorm | Op::Softmax) => each(5),
        Some(Op::Gelu) => each(8),
        Some(Op::Softcap) => each(6),
        Some(Op::TopK) => elements(operand(0)?),
        Some(Op::Embedding | Op::KvUpdate) => Some(Size::Const(0)),
        None if op_name(&op) == "arith.constant" => Some(Size::Const(0)),
        _ => each(1),
    }
}
