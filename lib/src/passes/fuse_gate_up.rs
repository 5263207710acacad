//! Puts gate and up projections and the gated activation that combines them into one group.
//!
//! ```mlir
//! %g = transformer.linear %n, %gate {transformer.group = 0 : i64}
//! %u = transformer.linear %n, %up {transformer.group = 0 : i64}
//! %h = transformer.swiglu %g, %u {transformer.group = 0 : i64}
//! ```
//! Both products stay in registers until the activation has combined them. Fires where each linear's only use is the
//! combination (`swiglu`, or an activation and `arith.mulf`); not where a projection is used elsewhere too.

use super::fuse_qkv::{gate, linears};
use crate::fusion::{Groups, group};
use kforge_dialect::{
    ir::body,
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};

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
    let mut groups = Groups::of(pass.context, block);
    for mut joined in linears(block) {
        if joined.iter().all(|op| group(op).is_some()) {
            continue;
        }
        let Some(combination) = gate(&joined).filter(|ops| ops.iter().all(|op| groups.holds(*op))) else { continue };
        joined.extend(combination);
        groups.join(&joined);
        pass.count("groups", 1);
    }
    Ok(())
}
