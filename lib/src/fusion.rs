//! Fusion annotation: which ops become one kernel.
//!
//! A group is a number in the discardable attribute `transformer.group`. The fusion passes only write it; one pass,
//! `outline-groups`, turns groups into `transformer.fused` regions. So every decision can be read, edited and tested in
//! the IR before anything moves.

use kforge_dialect::ir::{integer_attribute, ops, set_attribute};
use melior::{
    Context,
    ir::{
        BlockRef,
        attribute::IntegerAttribute,
        operation::{OperationLike, OperationRef},
        r#type::IntegerType,
    },
};

/// The attribute's name.
pub const GROUP: &str = "transformer.group";

/// The group of an op.
pub fn group<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>) -> Option<i64> {
    integer_attribute(op, GROUP)
}

/// Puts an op into a group.
pub fn set_group<'c>(context: &'c Context, op: OperationRef<'c, '_>, number: i64) {
    set_attribute(op, GROUP, IntegerAttribute::new(IntegerType::new(context, 64).into(), number).into());
}

/// The members of a block's group.
pub fn members<'c, 'a>(block: BlockRef<'c, 'a>, number: i64) -> Vec<OperationRef<'c, 'a>> {
    ops(block).into_iter().filter(|op| group(op) == Some(number)).collect()
}

/// Puts `ops` and all members of their groups into one group.
pub fn join<'c, 'a>(context: &'c Context, block: BlockRef<'c, 'a>, joined: &[OperationRef<'c, 'a>]) {
    let existing: Vec<i64> = joined.iter().filter_map(group).collect();
    let number =
        existing.first().copied().unwrap_or_else(|| ops(block).iter().filter_map(group).max().map_or(0, |max| max + 1));
    for op in ops(block) {
        if group(&op).is_some_and(|g| existing.contains(&g)) {
            set_group(context, op, number);
        }
    }
    joined.iter().for_each(|op| set_group(context, *op, number));
}

/// The functions of a module.
pub fn functions<'c, 'a>(module: OperationRef<'c, 'a>) -> Vec<OperationRef<'c, 'a>> {
    kforge_dialect::ir::body(&module)
        .map(ops)
        .unwrap_or_default()
        .into_iter()
        .filter(|op| kforge_dialect::ir::op_name(op) == "func.func")
        .collect()
}
