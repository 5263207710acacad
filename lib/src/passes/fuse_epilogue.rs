//! Fuses element-wise ops (activation, residual, scale) as an epilogue into the linear, matmul or norm whose result they use.
//!
//! ```mlir
//! %y = transformer.linear %x, %w {transformer.group = 0 : i64}
//! %z = arith.addf %y, %residual {transformer.group = 0 : i64}
//! ```
//! The op is then applied to the accumulators before they are stored. Fires where no other op uses that result and every
//! other operand is computed before it; repeats along a chain, up to 64 ops per group.

use crate::fusion::{Groups, group};
use kforge_dialect::{
    Op,
    ir::{body, defining_op, is_used_by_only, op_name, ops},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::{
    Value, ValueLike,
    operation::{OperationLike, OperationRef},
};

pub static INFO: PassInfo = PassInfo {
    name: "fuse-epilogue",
    summary: "Group element-wise ops with the linear, matmul or norm before them",
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
    Op::Silu.name(),
    Op::Scale.name(),
    Op::Softcap.name(),
    Op::Gelu.name(),
    Op::Swiglu.name(),
];

/// Maximum number of ops of a group: each adds code in the innermost loop for every accumulator.
const MOST: usize = 64;

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    let mut groups = Groups::of(pass.context, block);
    for op in ops(block) {
        if !EPILOGUES.contains(&op_name(&op).as_str()) || group(&op).is_some() {
            continue;
        }
        if let Some(producer) = producer(&groups, op) {
            groups.join(&[producer, op]);
            pass.count("fused", 1);
        }
    }
    Ok(())
}

/// The group's op whose result only `op` uses, if all other operands of `op` are computed before the group begins.
fn producer<'c, 'a>(groups: &Groups<'c, 'a>, op: OperationRef<'c, 'a>) -> Option<OperationRef<'c, 'a>> {
    let operands: Vec<Value> = op.operands().collect();
    operands.iter().find_map(|value| {
        let producer = defining_op(*value)?;
        let name = op_name(&producer);
        let is_root = matches!(Op::of(&producer), Some(Op::Linear | Op::Matmul | Op::RmsNorm | Op::LayerNorm));
        let is_chained = EPILOGUES.contains(&name.as_str()) && group(&producer).is_some();
        let is_full = group(&producer).is_some_and(|number| groups.members(number).len() >= MOST);
        if !(is_root || is_chained) || is_full || !is_used_by_only(*value, op) {
            return None;
        }
        let first = groups.first(producer);
        let ready = operands.iter().filter(|o| *o != value).all(|o| match defining_op(*o) {
            None => true,
            Some(def) => def.block() == first.block() && def.is_before_in_block(first) && o.r#type() == value.r#type(),
        });
        ready.then_some(producer)
    })
}
