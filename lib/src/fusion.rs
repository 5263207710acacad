//! Fusion annotation: which ops become one kernel.
//!
//! A group is a number in the discardable attribute `transformer.group`. The fusion passes only write it; one pass,
//! `outline-groups`, turns groups into `transformer.fused` regions. So every decision can be read, edited and tested in
//! the IR before anything moves.

use kforge_dialect::ir::{identity, integer_attribute, ops, set_attribute};
use melior::{
    Context,
    ir::{
        BlockRef,
        attribute::IntegerAttribute,
        operation::{OperationLike, OperationRef},
        r#type::IntegerType,
    },
};
use rustc_hash::FxHashMap as HashMap;
use std::collections::BTreeMap;

/// The attribute's name.
pub const GROUP: &str = "transformer.group";

/// The group of an op.
pub fn group<'c: 'a, 'a>(op: &impl OperationLike<'c, 'a>) -> Option<i64> {
    integer_attribute(op, GROUP)
}

/// The groups of a block, read once and kept up to date, so that a pass is linear in the ops of the block. No op may be
/// added, moved or erased while it is in use.
pub struct Groups<'c, 'a> {
    context: &'c Context,
    /// Where each op of the block stands.
    positions: HashMap<usize, usize>,
    /// The ops of each group, in program order.
    members: BTreeMap<i64, Vec<OperationRef<'c, 'a>>>,
}

impl<'c, 'a> Groups<'c, 'a> {
    pub fn of(context: &'c Context, block: BlockRef<'c, 'a>) -> Self {
        let mut groups = Groups { context, positions: HashMap::default(), members: BTreeMap::new() };
        for (position, op) in ops(block).into_iter().enumerate() {
            groups.positions.insert(identity(op), position);
            if let Some(number) = group(&op) {
                groups.members.entry(number).or_default().push(op);
            }
        }
        groups
    }

    /// Whether an op is of the block itself, so that it can join a group.
    pub fn holds(&self, op: OperationRef<'c, 'a>) -> bool {
        self.positions.contains_key(&identity(op))
    }

    /// The ops of a group, in program order.
    pub fn members(&self, number: i64) -> &[OperationRef<'c, 'a>] {
        self.members.get(&number).map_or(&[], Vec::as_slice)
    }

    /// Every group with its ops.
    pub fn into_members(self) -> BTreeMap<i64, Vec<OperationRef<'c, 'a>>> {
        self.members
    }

    /// The first op of the group that an op is in, or the op itself.
    pub fn first(&self, op: OperationRef<'c, 'a>) -> OperationRef<'c, 'a> {
        group(&op).and_then(|number| self.members(number).first().copied()).unwrap_or(op)
    }

    /// Puts `joined`, ops of the block, and all members of their groups into one group.
    pub fn join(&mut self, joined: &[OperationRef<'c, 'a>]) {
        let number = joined.iter().find_map(group).unwrap_or_else(|| self.unused());
        for op in joined {
            match group(op) {
                Some(old) if old == number => {}
                Some(old) => {
                    self.members.remove(&old).unwrap_or_default().into_iter().for_each(|op| self.add(op, number))
                }
                None => self.add(*op, number),
            }
        }
    }

    fn add(&mut self, op: OperationRef<'c, 'a>, number: i64) {
        let attribute = IntegerAttribute::new(IntegerType::new(self.context, 64).into(), number);
        set_attribute(op, GROUP, attribute.into());
        let place = |op: &OperationRef| self.positions.get(&identity(*op)).copied();
        let members = self.members.entry(number).or_default();
        members.insert(members.partition_point(|member| place(member) < place(&op)), op);
    }

    /// The number after the greatest.
    fn unused(&self) -> i64 {
        let Some((greatest, _)) = self.members.last_key_value() else { return 0 };
        let after = greatest.checked_add(1);
        // A module may have the greatest of all numbers.
        after.unwrap_or_else(|| (0..).find(|n| !self.members.contains_key(n)).unwrap_or_default())
    }
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
