//! Chooses tile sizes for every selected kernel, from the registers of the module's instruction set or its GPU's limits.
//!
//! ```mlir
//! transformer.fused(...) kernel #transformer.kernel<"gemm">
//! ```
//! becomes
//! ```mlir
//! transformer.fused(...) kernel #transformer.kernel<"gemm", tile = [128, 8, 48]>
//! ```
//! A tile that is already present is kept, so a hand-written tile determines the loop nest.

use crate::tiles::{
    product::{LANES, Product},
    space,
};
use kforge_dialect::{
    KernelAttribute, Op,
    ir::{ancestor, body, dims, ops, set_attribute, string_value},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
use kforge_program::Family;
use kforge_target::Target;
use melior::ir::{
    ValueLike,
    operation::{OperationLike, OperationRef},
};

pub static INFO: PassInfo = PassInfo {
    name: "tile",
    summary: "Choose tile sizes for every selected kernel",
    anchor: "func.func",
    options: &[],
    statistics: &[StatisticInfo { name: "tiled", summary: "kernels given a tile" }],
    run,
};

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let module = ancestor(pass.op, "builtin.module").unwrap_or(pass.op);
    let target = target(module)?;
    for op in body(&pass.op).map(ops).unwrap_or_default() {
        let Some(kernel) = op.attribute("kernel").ok().and_then(KernelAttribute::from_attribute) else { continue };
        if !kernel.tile.is_empty() {
            continue;
        }
        let tile = kernel.name.parse().map_or_else(|_| vec![], |family| tile(op, family, target));
        if !tile.is_empty() {
            set_attribute(op, "kernel", KernelAttribute { tile, ..kernel }.to_attribute(pass.context));
            pass.count("tiled", 1);
        }
    }
    Ok(())
}

/// The target that a module's attribute names, or this machine's CPU.
///
/// # Errors
/// If there is none of that name.
pub fn target<'c>(module: OperationRef<'c, '_>) -> Result<Target, PassError<'c>> {
    let Ok(attribute) = module.attribute("transformer.target") else { return Ok(Target::host()) };
    let name = string_value(attribute).unwrap_or_else(|| attribute.to_string());
    name.parse().map_err(|message: String| PassError::at(&module, message))
}

fn tile(fused: OperationRef<'_, '_>, family: Family, target: Target) -> Vec<usize> {
    let inner = body(&fused).map(ops).unwrap_or_default();
    match family {
        Family::Gemv | Family::Gemm | Family::Mma => {
            Product::of(fused, target).map(|product| space::rule(&product)).unwrap_or_default()
        }
        Family::Matmul if target.is_gpu() => vec![16, 16],
        Family::Matmul => vec![4, LANES],
        Family::Attention if target.is_gpu() => vec![1, 1, 1],
        Family::Attention => {
            let op = inner.iter().find(|op| Op::Attention.is(*op));
            op.map_or(vec![], |op| attention(*op, target))
        }
        _ => vec![],
    }
}

/// Query rows, heads, and tasks per row. One row per sequence is a decode step: the query heads of a key head share its
/// loads, and several tasks split the keys. More rows give enough tasks without splitting.
fn attention(op: OperationRef<'_, '_>, target: Target) -> Vec<usize> {
    let shape = |i: usize| dims(op.operand(i).expect("attention has query and key").r#type());
    let (query, key) = (shape(0), shape(1));
    if query[1] != Some(1) {
        return vec![4, 1, 1];
    }
    let shared = query[2].unwrap_or(1).checked_div(key[2].unwrap_or(1)).unwrap_or(1).max(1);
    let most = (target.wide_registers() - 2).min(8);
    // Seven heads are split into four and three.
    let chunks = shared.div_ceil(most);
    vec![1, shared.div_ceil(chunks), 8]
}
