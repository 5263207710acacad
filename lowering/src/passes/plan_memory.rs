//! Gives every intermediate buffer a place in one arena; buffers whose lives do not meet share bytes.
//!
//! ```mlir
//! %y = memref.alloc(%s) : memref<?x576xf32>
//! ```
//! becomes
//! ```mlir
//! %y = memref.alloc(%s) {transformer.first = 0 : i64, transformer.last = 2 : i64, transformer.offset = 4608 : i64}
//! ```
//! `first` and `last` are launches. Sizes may depend on dynamic dimensions: buffers with the same dynamic dimensions
//! form a class, planned by itself in bytes per unit of their product, so that one plan is right for every length. The
//! classes follow each other in the arena, in order of appearance. Results of the function are no intermediates.

use kforge_dialect::{
    ir::{body, dims, element, key, op_name, ops, set_attribute},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use kforge_program::arena::{Lifetime, place};
use melior::ir::{
    Type, Value, ValueLike,
    attribute::IntegerAttribute,
    operation::{OperationLike, OperationRef},
    r#type::{IntegerType, MemRefType, ShapedTypeLike},
};
use std::collections::HashMap;

pub static INFO: PassInfo = PassInfo {
    name: "plan-memory",
    summary: "Place intermediate buffers in one arena",
    anchor: "func.func",
    options: &[],
    statistics: &[
        StatisticInfo { name: "buffers", summary: "buffers placed" },
        StatisticInfo { name: "static-bytes", summary: "bytes of the arena's static part" },
        StatisticInfo { name: "static-bytes-unshared", summary: "the same without sharing" },
    ],
    run,
};

/// Every buffer begins on a cache line.
const ALIGNMENT: i64 = 64;

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let Some(block) = body(&pass.op) else { return Ok(()) };
    let ops = ops(block);
    let launches: Vec<OperationRef> = ops.iter().copied().filter(|op| op_name(op) == "transformer.launch").collect();
    // First and last launch of every value, in one walk.
    let mut lives: HashMap<usize, (usize, usize)> = HashMap::new();
    for (i, launch) in launches.iter().enumerate() {
        for operand in launch.operands() {
            lives.entry(key(operand)).and_modify(|life| life.1 = i).or_insert((i, i));
        }
    }
    let returned: Vec<usize> =
        ops.iter().filter(|op| op_name(*op) == "func.return").flat_map(|op| op.operands()).map(key).collect();
    // Classes by their dynamic sizes.
    let mut classes: Vec<(Vec<usize>, Vec<Planned>)> = vec![];
    for op in ops.iter().filter(|op| op_name(*op) == "memref.alloc") {
        let buffer: Value = op.result(0).expect("an alloc has a result").into();
        let Some((first, last)) = lives.get(&key(buffer)).copied().filter(|_| !returned.contains(&key(buffer))) else {
            continue;
        };
        let mut sizes: Vec<usize> = op.operands().map(key).collect();
        sizes.sort_unstable();
        let life = Lifetime { bytes: unit_bytes(buffer.r#type()), first, last };
        match classes.iter_mut().find(|(class, _)| *class == sizes) {
            Some((_, members)) => members.push((*op, life)),
            None => classes.push((sizes, vec![(*op, life)])),
        }
    }
    let i64 = IntegerType::new(pass.context, 64).into();
    for (sizes, members) in &classes {
        let lives: Vec<Lifetime> = members.iter().map(|(_, life)| *life).collect();
        let (offsets, end) = place(&lives);
        for ((op, life), offset) in members.iter().zip(offsets) {
            for (name, value) in
                [("first", life.first as i64), ("last", life.last as i64), ("offset", offset), ("class", end)]
            {
                set_attribute(*op, &format!("transformer.{name}"), IntegerAttribute::new(i64, value).into());
            }
        }
        pass.count("buffers", members.len());
        if sizes.is_empty() {
            pass.count("static-bytes", end as usize);
            pass.count("static-bytes-unshared", lives.iter().map(|l| l.bytes as usize).sum());
        }
    }
    Ok(())
}

/// An alloc and when it is needed.
type Planned<'c, 'a> = (OperationRef<'c, 'a>, Lifetime);

/// Bytes of a buffer for each unit of its dynamic dimensions' product, rounded up to whole cache lines.
fn unit_bytes(ty: Type<'_>) -> i64 {
    let element = MemRefType::try_from(ty).map_or(element(ty), |m| m.element());
    let width = element_bytes(element);
    let elements: usize = dims(ty).into_iter().flatten().product();
    ((elements * width) as i64 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
}

/// Bytes of an f32, i32, f16 or bf16.
fn element_bytes(element: Type<'_>) -> usize {
    match element.to_string().as_str() {
        "f16" | "bf16" => 2,
        _ => 4,
    }
}
