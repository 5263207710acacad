//! Which tensors may be overwritten: `kv_update` writes into its cache, so nothing may read the old one afterwards.

use crate::group::op_name;
use kforge_dialect::{
    ir::{defining_op, first_result, identity, key, operand, ops},
    pass::PassError,
};
use melior::ir::{
    Attribute, AttributeLike, BlockLike, BlockRef, RegionLike, Value,
    operation::{OperationLike, OperationRef},
};
use rustc_hash::FxHashMap as HashMap;

/// When the values of a function are last read, and where its globals are loaded and stored: one walk of the function, so
/// that a check looks at none of its other ops.
pub(super) struct InPlace<'c, 'a> {
    ops: Vec<OperationRef<'c, 'a>>,
    /// Where each op of the block stands.
    positions: HashMap<usize, usize>,
    /// Where a value, or a view of it, is last used.
    last_uses: HashMap<usize, usize>,
    /// The accesses of each global, in program order.
    globals: HashMap<usize, Vec<Access>>,
}

/// A load or store of a global.
struct Access {
    position: usize,
    is_store: bool,
    /// Where this load or one before it is last used.
    last_use: usize,
}

impl<'c, 'a> InPlace<'c, 'a> {
    pub fn of(block: BlockRef<'c, 'a>) -> Self {
        let ops = ops(block);
        let positions = ops.iter().enumerate().map(|(position, op)| (identity(*op), position)).collect();
        let mut last_uses: HashMap<usize, usize> = HashMap::default();
        // Backwards, so that the last use of a view is known where the view is met.
        for (position, op) in ops.iter().enumerate().rev() {
            let through = first_result(op).filter(|_| is_view(*op)).and_then(|view| last_uses.get(&key(view)).copied());
            let used = through.map_or(position, |last| last.max(position));
            each_operand(*op, &mut |value| {
                last_uses.entry(key(value)).and_modify(|last| *last = used.max(*last)).or_insert(used);
            });
        }
        let mut globals: HashMap<usize, Vec<Access>> = HashMap::default();
        for (position, op) in ops.iter().enumerate() {
            let Some(global) = global(*op) else { continue };
            let accesses = globals.entry(global).or_default();
            let own = first_result(op).and_then(|value| last_uses.get(&key(value)).copied()).unwrap_or(0);
            let before = accesses.last().map_or(0, |access| access.last_use);
            let is_store = op_name(op) == "ml_program.global_store";
            accesses.push(Access { position, is_store, last_use: before.max(own) });
        }
        InPlace { ops, positions, last_uses, globals }
    }

    /// Whether operand `cache` of `op` may be overwritten: nothing may read it afterwards, nor a view of it, nor another
    /// load of the same global; and where it is a global, a store must be the next that is done with it.
    pub fn check(&self, op: OperationRef<'c, 'a>, cache: usize) -> Result<(), PassError<'c>> {
        let not_there = || PassError::at(&op, "updates an operand that it does not have");
        let mut value = operand(&op, cache).ok_or_else(not_there)?;
        let mut load = defining_op(value);
        while let Some(view) = load.filter(|def| is_view(*def)) {
            value = operand(&view, 0).ok_or_else(not_there)?;
            load = defining_op(value);
        }
        let at = self.positions.get(&identity(op)).copied().ok_or_else(not_there)?;
        let accesses = load.filter(|def| op_name(def) == "ml_program.global_load").and_then(global);
        let accesses = accesses.and_then(|global| self.globals.get(&global));
        let next = accesses.map_or(0, |accesses| accesses.partition_point(|access| access.position < at));
        let last_use = self.last_uses.get(&key(value)).copied();
        let last_load = accesses.and_then(|accesses| accesses.get(next.checked_sub(1)?)).map(|access| access.last_use);
        if let Some(reader) = last_use.max(last_load).filter(|last| *last > at) {
            return Err(PassError::at(
                &self.ops[reader],
                "uses the cache as it was before 'transformer.kv_update', which would need a copy of it",
            ));
        }
        if accesses.is_some_and(|accesses| accesses.get(next).is_none_or(|access| !access.is_store)) {
            return Err(PassError::at(
                &op,
                "updates a global in place, so the next that is done with the global must be to store the result into it",
            ));
        }
        if load.is_some_and(|def| op_name(&def) == "ml_program.global_load_const") {
            return Err(PassError::at(&op, "updates a constant global; declare it mutable"));
        }
        Ok(())
    }
}

fn is_view(op: OperationRef<'_, '_>) -> bool {
    matches!(op_name(&op).as_str(), "tensor.expand_shape" | "tensor.collapse_shape" | "tensor.cast")
}

/// The global that an op loads or stores; attributes are unique.
fn global(op: OperationRef<'_, '_>) -> Option<usize> {
    let is_access = matches!(op_name(&op).as_str(), "ml_program.global_load" | "ml_program.global_store");
    let symbol: Attribute = op.attribute("global").ok().filter(|_| is_access)?;
    Some(symbol.to_raw().ptr as usize)
}

/// Calls `visit` with all that an op uses, in its regions too.
fn each_operand<'c, 'a>(op: OperationRef<'c, 'a>, visit: &mut impl FnMut(Value<'c, 'a>)) {
    op.operands().for_each(&mut *visit);
    for region in op.regions() {
        let mut block = region.first_block();
        while let Some(inside) = block {
            ops(inside).into_iter().for_each(|op| each_operand(op, visit));
            block = inside.next_in_region();
        }
    }
}
