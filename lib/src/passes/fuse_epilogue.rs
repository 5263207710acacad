//! Puts element-wise ops into the group of the linear or matmul whose result they take: activation, residual, scale.
//!
//! ```mlir
//! %y = transformer.linear %x, %w {transformer.group = 0 : i64}
//! %z = arith.addf %y, %residual {transformer.group = 0 : i64}
//! ```
//! The op is then applied to the accumulators before they are stored. Fires where no other op uses the linear's result
//! and every other operand is computed before the linear; repeats along the chain.

use crate::fusion::{group, join};
use kforge_dialect::{
    ir::{body, defining_op, op_name, ops, users},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::{
    Value, ValueLike,
    operation::{OperationLike, OperationRef},
};

pub static INFO: PassInfo = PassInfo {
    name: "fuse-epilogue",
    summary: "Group element-wise ops with the linear or matmul before them",
    anchor: "func.func",
    options: &[],
    statistics: &[StatisticInfo { name: "fused", summary: "element-wise ops grouped" }],
    run,
};

/// Ops that a kernel can apply to its accumulators.
const EPILOGUES: &[&str] = &[
    "arith.addf",
    "arith.subf",
    "arith.mulf",
    "arith.divf",
    "arith.maximumf",
    "arith.minimumf",
    "arith.negf",
    "transformer.silu",
    "transformer.gelu",
    "transformer.swiglu",
];

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    for op in ops(block) {
        if !EPILOGUES.contains(&op_name(&op).as_str()) || group(&op).is_some() {
            continue;
        }
        if let Some(producer) = producer(op) {
            join(pass.context, block, &[producer, op]);
            pass.count("fused", 1);
        }
    }
    Ok(())
}

/// The group's op that only `op` uses, if all that `op` needs besides is computed before that group begins.
fn producer<'c, 'a>(op: OperationRef<'c, 'a>) -> Option<OperationRef<'c, 'a>> {
    let operands: Vec<Value> = op.operands().collect();
    operands.iter().find_map(|value| {
        let producer = defining_op(*value)?;
        let name = op_name(&producer);
        let is_root = matches!(name.as_str(), "transformer.linear" | "transformer.matmul");
        let is_chained = EPILOGUES.contains(&name.as_str()) && group(&producer).is_some();
        if !(is_root || is_chained) || users(*value).iter().any(|user| *user != op) {
            return None;
        }
        let first = first_member(producer);
        let ready = operands.iter().filter(|o| *o != value).all(|o| match defining_op(*o) {
            None => true,
            Some(def) => def.block() == first.block() && def.is_before_in_block(first) && o.r#type() == value.r#type(),
        });
        ready.then_some(producer)
    })
}

fn first_member<'c, 'a>(op: OperationRef<'c, 'a>) -> OperationRef<'c, 'a> {
    match (group(&op), op.block()) {
        (Some(number), Some(block)) => crate::fusion::members(block, number).first().copied().unwrap_or(op),
        _ => op,
    }
}
