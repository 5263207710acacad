//! Turns each fusion group into a `transformer.fused` region, and each op left alone into one of its own.
//!
//! ```mlir
//! %n = transformer.rms_norm %x, %g {transformer.group = 0 : i64}
//! %y = transformer.linear %n, %w {transformer.group = 0 : i64}
//! ```
//! becomes
//! ```mlir
//! %y = transformer.fused(%a = %x, %b = %g, %c = %w) -> (...) {
//!   %0 = transformer.rms_norm %a, %b
//!   %1 = transformer.linear %0, %c
//!   transformer.yield %1
//! }
//! ```
//! The region stands where the group's first op stood; what it needs from between is moved up. A group whose ops need
//! each other through an op outside cannot be one kernel: that is an error at that op. Constants are copied inside.
//! Views, constants, sizes and global accesses are no kernels and stay. A `transformer.quantize` that only a cache update
//! reads is outlined with it, fused or not: the kernel that finds the integers is the one that can keep them.

use crate::fusion::{GROUP, group, join, members};
use kforge_dialect::{
    ir::{body, defining_op, erase, key, move_before, op_name, ops, remove_attribute, replace_uses, users},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use melior::ir::{
    Block, BlockLike, BlockRef, Region, RegionLike, Type, Value, ValueLike,
    operation::{OperationBuilder, OperationLike, OperationRef},
    r#type::RankedTensorType,
};
use std::collections::HashMap;

pub static INFO: PassInfo = PassInfo {
    name: "outline-groups",
    summary: "Make every fusion group, and every op left alone, a transformer.fused region",
    anchor: "func.func",
    options: &[],
    statistics: &[
        StatisticInfo { name: "outlined", summary: "fused regions made" },
        StatisticInfo { name: "ops", summary: "ops moved into them" },
    ],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    for op in ops(block) {
        if group(&op).is_none() && is_computation(op) {
            let joined: Vec<OperationRef> = std::iter::once(op).chain(rounded_update(op)).collect();
            join(pass.context, block, &joined);
        }
    }
    let mut numbers: Vec<i64> = vec![];
    for number in ops(block).iter().filter_map(group) {
        if !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    for number in numbers {
        let group = members(block, number);
        pass.count("ops", group.len());
        outline(block, &group)?;
        pass.count("outlined", 1);
    }
    Ok(())
}

/// The cache update that alone reads what a `quantize` makes.
fn rounded_update<'c, 'a>(op: OperationRef<'c, 'a>) -> Option<OperationRef<'c, 'a>> {
    let rows = op.results().next().filter(|_| op_name(&op) == "transformer.quantize")?.into();
    let [update] = users(rows)[..] else { return None };
    let is_update = op_name(&update) == "transformer.kv_update" && update.operand(1).is_ok_and(|v| v == rows);
    is_update.then_some(update)
}

/// Whether an op becomes part of a kernel.
fn is_computation(op: OperationRef<'_, '_>) -> bool {
    let name = op_name(&op);
    let tensor = op.results().next().is_some_and(|r| RankedTensorType::try_from(r.r#type()).is_ok());
    match name.split_once('.') {
        Some(("transformer", rest)) => !matches!(rest, "fused" | "launch" | "yield"),
        Some(("arith", "constant")) => false,
        Some(("arith" | "math", _)) => tensor,
        _ => false,
    }
}

fn outline<'c>(block: BlockRef<'c, '_>, group: &[OperationRef<'c, '_>]) -> Result<(), PassError<'c>> {
    let inside = |value: Value| defining_op(value).is_some_and(|def| group.contains(&def));
    let anchor = group[0];
    let (mut inputs, mut constants): (Vec<Value>, Vec<OperationRef>) = (vec![], vec![]);
    for value in group.iter().flat_map(|op| op.operands()).filter(|v| !inside(*v)) {
        match defining_op(value).filter(|def| op_name(def) == "arith.constant") {
            Some(constant) if !constants.contains(&constant) => constants.push(constant),
            None if !inputs.contains(&value) => inputs.push(value),
            _ => {}
        }
    }
    for input in &inputs {
        hoist(*input, anchor, group)?;
    }
    let outputs: Vec<Value> = group
        .iter()
        .flat_map(|op| op.results())
        .map(Value::from)
        .filter(|v| users(*v).iter().any(|u| !group.contains(u)))
        .collect();

    let types: Vec<Type> = inputs.iter().map(|v| v.r#type()).collect();
    let located: Vec<_> = types.iter().map(|t| (*t, anchor.location())).collect();
    let region = Region::new();
    let inner = region.append_block(Block::new(&located));
    let mut mapping: HashMap<usize, Value> = HashMap::new();
    for (i, input) in inputs.iter().enumerate() {
        mapping.insert(key(*input), inner.argument(i).expect("an argument for each input").into());
    }
    for op in constants.iter().chain(group) {
        let operands: Vec<Value> = op.operands().map(|v| mapping[&key(v)]).collect();
        let copy = inner.append_operation((**op).clone());
        remove_attribute(copy, GROUP);
        for (i, operand) in operands.into_iter().enumerate() {
            kforge_dialect::ir::set_operand(copy, i, operand);
        }
        for (old, new) in op.results().zip(copy.results()) {
            mapping.insert(key(old), new.into());
        }
    }
    let yields: Vec<Value> = outputs.iter().map(|v| mapping[&key(*v)]).collect();
    let terminator = OperationBuilder::new("transformer.yield", anchor.location()).add_operands(&yields).build();
    inner.append_operation(terminator.expect("a yield always builds"));
    let results: Vec<Type> = outputs.iter().map(|v| v.r#type()).collect();
    let fused = OperationBuilder::new("transformer.fused", anchor.location())
        .add_operands(&inputs)
        .add_results(&results)
        .add_regions([region])
        .build()
        .expect("a fused op with given result types always builds");
    let fused = block.insert_operation_before(anchor, fused);
    for (old, new) in outputs.iter().zip(fused.results()) {
        replace_uses(*old, new.into());
    }
    group.iter().rev().for_each(|op| erase(*op));
    Ok(())
}

/// Moves what defines `value`, and what that needs, before `anchor`.
fn hoist<'c, 'a>(
    value: Value<'c, 'a>,
    anchor: OperationRef<'c, 'a>,
    group: &[OperationRef<'c, 'a>],
) -> Result<(), PassError<'c>> {
    let Some(def) = defining_op(value) else { return Ok(()) };
    if def.block() != anchor.block() || def.is_before_in_block(anchor) {
        return Ok(());
    }
    if group.contains(&def) {
        return Err(PassError::at(
            &anchor,
            "is in a group whose ops need each other through an op outside it; take one out of the group",
        ));
    }
    if op_name(&def) == "ml_program.global_load" {
        let mut between = anchor.next_in_block();
        while let Some(op) = between.filter(|op| *op != def) {
            if op_name(&op) == "ml_program.global_store" {
                return Err(PassError::at(&def, "cannot move above a store to a global, as its group needs"));
            }
            between = op.next_in_block();
        }
    }
    for operand in def.operands() {
        hoist(operand, anchor, group)?;
    }
    move_before(def, anchor);
    Ok(())
}
