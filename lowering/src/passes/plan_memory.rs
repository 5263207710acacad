//! Gives every intermediate buffer a place in one arena; buffers whose lives do not meet share bytes.
//!
//! ```mlir
//! %y = memref.alloc(%s) : memref<?x576xf32>
//! ```
//! becomes
//! ```mlir
//! %y = memref.alloc(%s) {transformer.class = 0 : i64, transformer.first = 0 : i64, transformer.last = 2 : i64,
//!                         transformer.offset = 4608 : i64} : memref<?x576xf32>
//! ```
//! `first` and `last` are launches. Sizes may depend on dynamic dimensions: buffers with the same dynamic dimensions
//! form a class, planned by itself in bytes per unit of their product, so that one plan is right for every length. The
//! function says how the classes share the arena:
//! ```mlir
//! transformer.arena = [array<i64: 9216>, array<i64: 2304, 4608>]
//! ```
//! For each class the bytes of its unit; then, for each class before it, the bytes of that one's unit that are in use
//! while this class lives, above which it begins. Results of the function are no intermediates.

use kforge_dialect::{
    Op,
    ir::{body, dims, element, key, op_name, ops, set_attribute},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use kforge_program::arena::{Lifetime, place};
use melior::ir::{
    Attribute, Type, Value, ValueLike,
    attribute::{ArrayAttribute, DenseI64ArrayAttribute, IntegerAttribute},
    operation::{OperationLike, OperationRef},
    r#type::{IntegerType, MemRefType, ShapedTypeLike},
};
use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};

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
    let launches: Vec<OperationRef> = ops.iter().copied().filter(|op| Op::Launch.is(op)).collect();
    // First and last launch of every value, in one walk.
    let mut lives: HashMap<usize, (usize, usize)> = HashMap::default();
    for (i, launch) in launches.iter().enumerate() {
        for operand in launch.operands() {
            lives.entry(key(operand)).and_modify(|life| life.1 = i).or_insert((i, i));
        }
    }
    let returned: HashSet<usize> =
        ops.iter().filter(|op| op_name(*op) == "func.return").flat_map(|op| op.operands()).map(key).collect();
    // Classes by their dynamic sizes.
    let mut classes: Vec<(Vec<usize>, Vec<Planned>)> = vec![];
    let mut numbers: HashMap<Vec<usize>, usize> = HashMap::default();
    for op in ops.iter().filter(|op| op_name(*op) == "memref.alloc") {
        let buffer: Value = op.result(0).expect("an alloc has a result").into();
        let Some((first, last)) = lives.get(&key(buffer)).copied().filter(|_| !returned.contains(&key(buffer))) else {
            continue;
        };
        let mut sizes: Vec<usize> = op.operands().map(key).collect();
        sizes.sort_unstable();
        let bytes = unit_bytes(buffer.r#type()).ok_or_else(|| {
            let message =
                "has a size that cannot be planned: use elements of f32, i32, f16 or bf16, and less than 2^63 bytes";
            PassError::at(op, message)
        })?;
        let life = Lifetime { bytes, first, last };
        let class = *numbers.entry(sizes.clone()).or_insert(classes.len());
        if class == classes.len() {
            classes.push((sizes, vec![]));
        }
        classes[class].1.push((*op, life));
    }
    let integer = |value: i64| IntegerAttribute::new(IntegerType::new(pass.context, 64).into(), value).into();
    let mut arena: Vec<Attribute> = vec![];
    let mut planned: Vec<(Vec<Lifetime>, Vec<i64>)> = vec![];
    let spans: Vec<Lifetime> = classes.iter().map(|(_, members)| span(members)).collect();
    for (class, (sizes, members)) in classes.iter().enumerate() {
        let lives: Vec<Lifetime> = members.iter().map(|(_, life)| *life).collect();
        let (offsets, end) = place(&lives, |life| spans[class + 1..].iter().any(|span| span.meets(life)));
        for ((op, life), offset) in members.iter().zip(&offsets) {
            for (name, value) in
                [("first", life.first as i64), ("last", life.last as i64), ("offset", *offset), ("class", class as i64)]
            {
                set_attribute(*op, &format!("transformer.{name}"), integer(value));
            }
        }
        let in_use = |(lives, offsets): &(Vec<Lifetime>, Vec<i64>)| {
            let meeting = lives.iter().zip(offsets).filter(|(life, _)| life.meets(&spans[class]));
            meeting.map(|(life, offset)| offset + life.bytes).max().unwrap_or(0)
        };
        let row: Vec<i64> = [end].into_iter().chain(planned.iter().map(in_use)).collect();
        arena.push(DenseI64ArrayAttribute::new(pass.context, &row).into());
        pass.count("buffers", members.len());
        if sizes.is_empty() {
            pass.count("static-bytes", end as usize);
            pass.count("static-bytes-unshared", lives.iter().map(|l| l.bytes as usize).sum());
        }
        planned.push((lives, offsets));
    }
    if !arena.is_empty() {
        set_attribute(pass.op, "transformer.arena", ArrayAttribute::new(pass.context, &arena).into());
    }
    Ok(())
}

/// An alloc and when it is needed.
type Planned<'c, 'a> = (OperationRef<'c, 'a>, Lifetime);

/// From the first to the last launch of all.
fn span(members: &[Planned]) -> Lifetime {
    let first = members.iter().map(|(_, life)| life.first).min().unwrap_or(0);
    let last = members.iter().map(|(_, life)| life.last).max().unwrap_or(0);
    Lifetime { bytes: 0, first, last }
}

/// Bytes of a buffer for each unit of its dynamic dimensions' product, rounded up to whole cache lines, unless they are too
/// many or of an element that no buffer has.
pub fn unit_bytes(ty: Type<'_>) -> Option<i64> {
    let element = MemRefType::try_from(ty).map_or(element(ty), |m| m.element());
    let width = element_bytes(element)?;
    let bytes = dims(ty).into_iter().flatten().try_fold(width, usize::checked_mul)?;
    let end = i64::try_from(bytes).ok()?.checked_add(ALIGNMENT - 1)?;
    Some(end / ALIGNMENT * ALIGNMENT)
}

/// Bytes of an f32, i32, f16 or bf16.
fn element_bytes(element: Type<'_>) -> Option<usize> {
    match element.to_string().as_str() {
        "f16" | "bf16" => Some(2),
        "f32" | "i32" => Some(4),
        _ => None,
    }
}
