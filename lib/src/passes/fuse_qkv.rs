//! Puts linear layers that read one normalised input for attention into one group: Q, K and V in one launch.
//!
//! ```mlir
//! %q = transformer.linear %n, %wq {transformer.group = 0 : i64}
//! %k = transformer.linear %n, %wk {transformer.group = 0 : i64}
//! %v = transformer.linear %n, %wv {transformer.group = 0 : i64}
//! ```
//! The weights stay three operands of their own types; nothing is concatenated. Fires on two or more linear ops of one
//! input whose results are not multiplied with each other (that is `fuse-gate-up`'s business), and not where one of
//! them depends on another.

use crate::fusion::{group, join};
use kforge_dialect::{
    ir::{body, op_name, ops, users},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::{
    Value,
    operation::{OperationLike, OperationRef},
};

pub static INFO: PassInfo = PassInfo {
    name: "fuse-qkv",
    summary: "Group linear layers of one input (Q, K and V) into one kernel",
    anchor: "func.func",
    options: &[],
    statistics: &[StatisticInfo { name: "groups", summary: "groups of linear layers made" }],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    let mut seen: Vec<Value> = vec![];
    for op in ops(block) {
        if op_name(&op) != "transformer.linear" || group(&op).is_some() {
            continue;
        }
        let input = op.operand(0).expect("linear has an input");
        if seen.contains(&input) {
            continue;
        }
        seen.push(input);
        let siblings = siblings(block, input);
        if siblings.len() > 1 && !meet(&siblings) {
            join(pass.context, block, &siblings);
            pass.count("groups", 1);
        }
    }
    Ok(())
}

/// Linear ops of the block that read `input` as activations, in program order.
pub fn siblings<'c, 'a>(block: melior::ir::BlockRef<'c, 'a>, input: Value<'c, 'a>) -> Vec<OperationRef<'c, 'a>> {
    ops(block)
        .into_iter()
        .filter(|op| op_name(op) == "transformer.linear" && op.operand(0).is_ok_and(|v| v == input))
        .collect()
}

/// Whether the results of all `linears` have one common user that combines them element by element.
pub fn meet(linears: &[OperationRef<'_, '_>]) -> bool {
    gate(linears).is_some()
}

/// The op that combines the linears: `swiglu`, or `mulf` with an activation on one side.
pub fn gate<'c, 'a>(linears: &[OperationRef<'c, 'a>]) -> Option<Vec<OperationRef<'c, 'a>>> {
    let [first, second] = linears else { return None };
    let user = |op: &OperationRef<'c, 'a>| {
        let users = users(op.result(0).ok()?.into());
        (users.len() == 1).then(|| users[0])
    };
    let (a, b) = (user(first)?, user(second)?);
    if a == b && matches!(op_name(&a).as_str(), "transformer.swiglu" | "arith.mulf") {
        return Some(vec![a]);
    }
    let through = |activation: OperationRef<'c, 'a>, other: OperationRef<'c, 'a>| {
        let is_activation = matches!(op_name(&activation).as_str(), "transformer.gelu" | "transformer.silu");
        (is_activation && user(&activation)? == other && op_name(&other) == "arith.mulf")
            .then(|| vec![activation, other])
    };
    through(a, b).or_else(|| through(b, a))
}
