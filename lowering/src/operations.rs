//! Counts the arithmetic operations of a group's ops, for profiles: what a kernel has to compute, however it is
//! implemented.
//!
//! A multiply-add counts as two operations, a function such as `exp` as one: those are few beside the products.

use crate::group::{Group, Size, dims, op_name};
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
    match op_name(&op).as_str() {
        "transformer.linear" => {
            let depth = dims(operand(0)?.r#type()).pop()??;
            let bias = usize::from(operand(2).is_some());
            each(2 * depth + bias)
        }
        "transformer.matmul" => {
            let a = operand(0)?;
            let axis = dims(a.r#type()).len().checked_sub(if op.has_attribute("transpose_a") { 2 } else { 1 })?;
            Some(each(2)?.times(sizes(a)?.into_iter().nth(axis)?))
        }
        // Scores and weighted values, for each query and head over all keys.
        "transformer.attention" => {
            let segments = kforge_dialect::ir::segments(&op);
            let mut keys = sizes(operand(1)?)?.into_iter();
            let (blocks, positions) = (keys.next()?, keys.next()?);
            let keys = if segments.get(5) == Some(&1) { blocks.times(positions) } else { positions };
            Some(each(4)?.times(keys))
        }
        "transformer.rope" => each(3),
        "transformer.rms_norm" | "transformer.quantize" | "transformer.swiglu" | "transformer.silu" => each(4),
        "transformer.layer_norm" | "transformer.softmax" => each(5),
        "transformer.gelu" => each(8),
        "transformer.top_k" => elements(operand(0)?),
        "transformer.embedding" | "transformer.kv_update" | "arith.constant" => Some(Size::Const(0)),
        _ => each(1),
    }
}
