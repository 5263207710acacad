//! Fuses linear layers with the same input (Q, K and V of attention) into one group, so that they share one launch.
//!
//! ```mlir
//! %q = transformer.linear %n, %wq {transformer.group = 0 : i64}
//! %k = transformer.linear %n, %wk {transformer.group = 0 : i64}
//! %v = transformer.linear %n, %wv {transformer.group = 0 : i64}
//! ```
//! The weights stay three operands of their own types; nothing is concatenated. Fires on two or more linear ops of one
//! input whose results are not multiplied with each other (`fuse-gate-up` handles those), and not where one of them depends
//! on another.

use crate::fusion::{Groups, group};
use kforge_dialect::{
    Op,
    ir::{body, key, op_name, operand, ops, users},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::{
    BlockRef,
    operation::{OperationLike, OperationRef},
};
use rustc_hash::FxHashMap as HashMap;

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
    let mut groups = Groups::of(pass.context, block);
    for siblings in linears(block) {
        let is_new = siblings.iter().any(|op| group(op).is_none());
        if siblings.len() > 1 && is_new && gate(&siblings).is_none() {
            groups.join(&siblings);
            pass.count("groups", 1);
        }
    }
    Ok(())
}

/// The linear ops of a block, grouped by the activations that they read, both in program order.
pub fn linears<'c, 'a>(block: BlockRef<'c, 'a>) -> Vec<Vec<OperationRef<'c, 'a>>> {
    let mut by_input: Vec<Vec<OperationRef>> = vec![];
    let mut places: HashMap<usize, usize> = HashMap::default();
    for op in ops(block).into_iter().filter(|op| Op::Linear.is(op)) {
        let Some(input) = operand(&op, 0) else { continue };
        let place = *places.entry(key(input)).or_insert(by_input.len());
        if place == by_input.len() {
            by_input.push(vec![]);
        }
        by_input[place].push(op);
    }
    by_input
}

/// The op that combines the linears: `swiglu`, or `mulf` with an activation on one side.
pub fn gate<'c, 'a>(linears: &[OperationRef<'c, 'a>]) -> Option<Vec<OperationRef<'c, 'a>>> {
    let [first, second] = linears else { return None };
    let user = |op: &OperationRef<'c, 'a>| {
        let users = users(op.result(0).ok()?.into());
        (users.len() == 1).then(|| users[0])
    };
    let (a, b) = (user(first)?, user(second)?);
    if a == b && (Op::Swiglu.is(&a) || op_name(&a) == "arith.mulf") {
        return Some(vec![a]);
    }
    let through = |activation: OperationRef<'c, 'a>, other: OperationRef<'c, 'a>| {
        let is_activation = matches!(Op::of(&activation), Some(Op::Gelu | Op::Silu));
        (is_activation && user(&activation)? == other && op_name(&other) == "arith.mulf")
            .then(|| vec![activation, other])
    };
    through(a, b).or_else(|| through(b, a))
}
