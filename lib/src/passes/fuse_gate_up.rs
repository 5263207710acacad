//! Puts gate and up projections and the gated activation that combines them into one group.
//!
//! ```mlir
//! %g = transformer.linear %n, %gate {transformer.group = 0 : i64}
//! %u = transformer.linear %n, %up {transformer.group = 0 : i64}
//! %h = transformer.swiglu %g, %u {transformer.group = 0 : i64}
//! ```
//! Both products stay in registers until the activation has combined them. Fires where each linear's only use is the
//! combination (`swiglu`, or an activation and `arith.mulf`); not where a projection is used elsewhere too.

use super::fuse_qkv::{gate, siblings};
use crate::fusion::{group, join};
use kforge_dialect::{
    ir::{body, op_name, ops},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::operation::OperationLike;

pub static INFO: PassInfo = PassInfo {
    name: "fuse-gate-up",
    summary: "Group gate and up projections with the activation that combines them",
    anchor: "func.func",
    options: &[],
    statistics: &[StatisticInfo { name: "groups", summary: "gated pairs grouped" }],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    for op in ops(block) {
        if op_name(&op) != "transformer.linear" || group(&op).is_some() {
            continue;
        }
        let pair = siblings(block, op.operand(0).expect("linear has an input"));
        let Some(combination) = gate(&pair) else { continue };
        let mut joined = pair;
        joined.extend(combination);
        join(pass.context, block, &joined);
        pass.count("groups", 1);
    }
    Ok(())
}
