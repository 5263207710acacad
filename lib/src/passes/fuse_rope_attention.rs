//! Fuses the attention of a decode step with the rotations and cache updates before it.
//!
//! ```mlir
//! %qr = transformer.rope %q at %pos {transformer.group = 0 : i64}
//! %kr = transformer.rope %k at %pos {transformer.group = 0 : i64}
//! %kc = transformer.kv_update %k_cache, %kr at %pos {transformer.group = 0 : i64}
//! %vc = transformer.kv_update %v_cache, %v at %pos {transformer.group = 0 : i64}
//! %y = transformer.attention %qr, %kc, %vc at %pos {transformer.group = 0 : i64}
//! ```
//! Only a GPU has a kernel for such a group, so only its pipeline has this pass: there a launch costs more than repeating
//! the rotation in every head. Fires where each sequence has one row, and keys and values are updates at the positions of
//! the attention. Does not fire with a block table, through which a sequence may read rows that another one writes, or
//! where rows are rounded to 8 bits.

use crate::fusion::{Groups, group};
use kforge_dialect::{
    Op,
    ir::{body, defining_op, dims, has_one_use, operand, ops, optional_operand},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::{Value, ValueLike, operation::OperationRef};

pub static INFO: PassInfo = PassInfo {
    name: "fuse-rope-attention",
    summary: "Group the attention of a decode step with the rotations and cache updates before it, for a GPU",
    anchor: "func.func",
    options: &[],
    statistics: &[StatisticInfo { name: "fused", summary: "attentions grouped with what comes before them" }],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    let mut groups = Groups::of(pass.context, block);
    for op in ops(block).into_iter().filter(|op| Op::Attention.is(op)) {
        if let Some(joined) = before(op).filter(|joined| is_whole(&groups, joined)) {
            groups.join(&joined);
            pass.count("fused", 1);
        }
    }
    Ok(())
}

/// An attention with its cache updates, and with the rotations that have no other use.
fn before<'c, 'a>(attention: OperationRef<'c, 'a>) -> Option<Vec<OperationRef<'c, 'a>>> {
    let [query, key, value] = [0, 1, 2].map(|i| operand(&attention, i));
    let sequences = |op: &OperationRef<'c, 'a>, first: usize| [0, 1, 2].map(|i| optional_operand(op, first + i));
    let wanted = sequences(&attention, 3);
    if dims(query?.r#type()).get(1) != Some(&Some(1)) || wanted[0].is_none() || wanted[2].is_some() {
        return None;
    }
    let mut joined: Vec<OperationRef> = rotation(query?).into_iter().collect();
    for cache in [key?, value?] {
        let update = defining_op(cache).filter(|def| Op::KvUpdate.is(def))?;
        let rows = operand(&update, 1)?;
        let is_rounded = defining_op(rows).is_some_and(|def| Op::Quantize.is(&def));
        if sequences(&update, 2) != wanted || is_rounded || joined.contains(&update) {
            return None;
        }
        joined.extend(rotation(rows));
        joined.push(update);
    }
    joined.push(attention);
    // The overwritten cache is defined outside of the group.
    let overwrites =
        |op: &OperationRef<'c, 'a>| operand(op, 0).and_then(defining_op).is_some_and(|d| joined.contains(&d));
    let chained = joined.iter().any(|op| Op::KvUpdate.is(op) && overwrites(op));
    (!chained).then_some(joined)
}

/// The rotation that defines `rows`, if they have no other use.
fn rotation<'c, 'a>(rows: Value<'c, 'a>) -> Option<OperationRef<'c, 'a>> {
    defining_op(rows).filter(|def| Op::Rope.is(def) && has_one_use(rows))
}

/// Whether the groups of the ops in `joined` contain no other op.
fn is_whole<'c, 'a>(groups: &Groups<'c, 'a>, joined: &[OperationRef<'c, 'a>]) -> bool {
    let mut numbers = joined.iter().filter_map(group);
    numbers.all(|number| groups.members(number).iter().all(|op| joined.contains(op)))
}
