//! Fuses the rotations of Q and K and the cache updates of K and V into one group.
//!
//! ```mlir
//! %qr = transformer.rope %q at %pos {transformer.group = 0 : i64}
//! %kr = transformer.rope %k at %pos {transformer.group = 0 : i64}
//! %kc = transformer.kv_update %k_cache, %kr at %pos {transformer.group = 0 : i64}
//! %vc = transformer.kv_update %v_cache, %v at %pos {transformer.group = 0 : i64}
//! ```
//! A rotated key is stored from registers into its cache, also if a `transformer.quantize` rounds it in between. Norms of heads
//! join the rotations that read them. Fires for the `rope` and `kv_update` ops that one attention reads, if the normed, rotated
//! or rounded values have no other use.

use crate::fusion::{Groups, group};
use kforge_dialect::{
    Op,
    ir::{body, defining_op, has_one_use, ops},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::operation::{OperationLike, OperationRef};

pub static INFO: PassInfo = PassInfo {
    name: "fuse-rope-kv",
    summary: "Group the rotations and cache updates before an attention",
    anchor: "func.func",
    options: &[],
    statistics: &[StatisticInfo { name: "groups", summary: "attentions whose rotations and updates were grouped" }],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    let mut groups = Groups::of(pass.context, block);
    for op in ops(block).into_iter().filter(|op| Op::Attention.is(op)) {
        let mut joined: Vec<OperationRef> = vec![];
        for operand in op.operands().take(3) {
            let Some(def) = defining_op(operand) else { continue };
            if !matches!(Op::of(&def), Some(Op::Rope | Op::KvUpdate)) || group(&def).is_some() || joined.contains(&def)
            {
                continue;
            }
            if Op::KvUpdate.is(&def) {
                let quantize = only_used(def, 1, Op::Quantize);
                joined.extend(quantize);
                joined.extend(match quantize {
                    Some(quantize) => only_used(quantize, 0, Op::Rope),
                    None => only_used(def, 1, Op::Rope),
                });
            }
            joined.push(def);
        }
        let norms: Vec<OperationRef> = joined.iter().filter_map(|op| norm_before(&groups, *op)).collect();
        joined.extend(norms);
        if joined.len() > 1 {
            groups.join(&joined);
            pass.count("groups", 1);
        }
    }
    Ok(())
}

/// The norm of heads whose result a rotation or an update takes, if nothing else does.
fn norm_before<'c, 'a>(groups: &Groups<'c, 'a>, op: OperationRef<'c, 'a>) -> Option<OperationRef<'c, 'a>> {
    let index = usize::from(Op::KvUpdate.is(&op));
    let norm = [Op::RmsNorm, Op::LayerNorm].into_iter().find_map(|kind| only_used(op, index, kind))?;
    (groups.holds(norm) && group(&norm).is_none()).then_some(norm)
}

/// The op of a kind that defines operand `index` of `user`, if its result has no other use.
fn only_used<'c, 'a>(user: OperationRef<'c, 'a>, index: usize, kind: Op) -> Option<OperationRef<'c, 'a>> {
    let operand = user.operand(index).ok()?;
    defining_op(operand).filter(|def| kind.is(def) && has_one_use(operand))
}
