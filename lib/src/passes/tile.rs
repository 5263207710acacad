//! Gives every selected kernel its tile sizes, from the register file of the module's instruction set.
//!
//! ```mlir
//! transformer.fused(...) kernel #transformer.kernel<"gemm">
//! ```
//! becomes
//! ```mlir
//! transformer.fused(...) kernel #transformer.kernel<"gemm", tile = [128, 8, 48]>
//! ```
//! A tile that is already written stays: change it by hand and the loop nest changes with it.

use crate::{
    adapter::Adapter,
    isa::Isa,
    tuner::product::{LANES, Product},
    tuner::space,
};
use kforge_dialect::{
    KernelAttribute,
    ir::{ancestor, body, dims, op_name, ops, set_attribute, string_attribute},
    pass::{PassError, PassInfo, PassRun, StatisticInfo},
};
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
    let isa = string_attribute(&module, "transformer.isa").map_or(Ok(Isa::host()), |name| name.parse());
    let isa = isa.map_err(|message: String| PassError::at(&module, message))?;
    let adapter = string_attribute(&module, "transformer.adapter").unwrap_or_default().parse();
    let adapter = adapter.map_err(|message: String| PassError::at(&module, message))?;
    for op in body(&pass.op).map(ops).unwrap_or_default() {
        let Some(kernel) = op.attribute("kernel").ok().and_then(KernelAttribute::from_attribute) else { continue };
        if !kernel.tile.is_empty() {
            continue;
        }
        let tile = tile(op, &kernel.name, isa, adapter);
        if !tile.is_empty() {
            set_attribute(op, "kernel", KernelAttribute { tile, ..kernel }.to_attribute(pass.context));
            pass.count("tiled", 1);
        }
    }
    Ok(())
}

fn tile(fused: OperationRef<'_, '_>, family: &str, isa: Isa, adapter: Adapter) -> Vec<usize> {
    let inner = body(&fused).map(ops).unwrap_or_default();
    if isa == Isa::Gpu {
        return gpu(&inner, family, adapter);
    }
    match family {
        "gemv" | "gemm" => Product::of(fused, isa).map(|product| space::rule(&product)).unwrap_or_default(),
        "matmul" => vec![4, LANES],
        "attention" => {
            let op = inner.iter().find(|op| op_name(*op) == "transformer.attention");
            op.map_or(vec![], |op| attention(*op, isa))
        }
        _ => vec![],
    }
}

/// Tiles of a GPU's kernels, within what the adapter has.
fn gpu(inner: &[OperationRef<'_, '_>], family: &str, adapter: Adapter) -> Vec<usize> {
    match family {
        "gemm" => gpu_gemm(inner, adapter),
        "mma" => gpu_mma(inner, adapter),
        "matmul" => vec![16, 16],
        "attention" => vec![1, 1, 1],
        _ => vec![],
    }
}

/// Rows that a prompt is taken to have where nothing says how many.
const PROMPT: usize = 512;
/// Workgroups that keep a large GPU busy.
const BUSY: usize = 128;

/// Rows, columns and number of a group's products.
fn products(inner: &[OperationRef<'_, '_>]) -> (usize, usize, usize) {
    let linears: Vec<_> = inner.iter().filter(|op| op_name(*op) == "transformer.linear").collect();
    let mut shape = linears.first().and_then(|op| op.result(0).ok()).map(|y| dims(y.r#type())).unwrap_or_default();
    let columns = shape.pop().flatten().unwrap_or(1);
    let rows = shape.into_iter().try_fold(1, |rows, d| d.map(|d| rows * d)).unwrap_or(PROMPT);
    (rows, columns, linears.len())
}

/// The largest of `tiles`, BM and BN first, of which there are enough, or the last.
fn largest(tiles: impl Iterator<Item = [usize; 5]> + Clone, rows: usize, columns: usize) -> Vec<usize> {
    let enough = |[bm, bn, ..]: &[usize; 5]| rows.div_ceil(*bm) * columns.div_ceil(*bn) >= BUSY;
    let tile = tiles.clone().find(enough).or_else(|| tiles.last());
    tile.map(|tile| tile.to_vec()).unwrap_or_default()
}

/// BM, BN, BK, TM, TN, within what the adapter has.
fn gpu_gemm(inner: &[OperationRef<'_, '_>], adapter: Adapter) -> Vec<usize> {
    let (rows, columns, linears) = products(inner);
    // Gate and up, whose products meet, take twice the registers and the memory.
    let tiles = match linears {
        2 => [[128, 64, 16, 8, 4], [64, 64, 16, 4, 4], [64, 64, 8, 4, 4], [32, 64, 16, 2, 4], [32, 32, 8, 2, 4]],
        _ => [[128, 128, 16, 8, 8], [64, 64, 16, 4, 4], [64, 64, 8, 4, 4], [32, 64, 16, 4, 4], [32, 32, 8, 2, 4]],
    };
    let weights = if linears == 2 { 2 } else { 1 };
    let fits = |[bm, bn, bk, tm, tn]: &[usize; 5]| {
        let bytes = 2 * 16 * (bm * (bk / 4 + 1) + weights * bk * bn / 4);
        bm / tm * (bn / tn) <= adapter.threads && bytes <= adapter.workgroup_bytes
    };
    largest(tiles.into_iter().filter(fits), rows, columns)
}

/// BM, BN, BK, WM, WN, within what the adapter has.
fn gpu_mma(inner: &[OperationRef<'_, '_>], adapter: Adapter) -> Vec<usize> {
    let (rows, columns, linears) = products(inner);
    let tiles = match linears {
        2 => [[128, 64, 32, 64, 32], [64, 64, 32, 32, 32], [32, 32, 32, 16, 16]],
        _ => [[128, 128, 32, 64, 64], [64, 128, 32, 32, 64], [32, 64, 32, 16, 32]],
    };
    let weights = if linears == 2 { 2 } else { 1 };
    let fits = |[bm, bn, bk, wm, wn]: &[usize; 5]| {
        let subgroups = bm / wm * (bn / wn);
        let bytes = 2 * 8 * ((bm + weights * bn) * (bk / 4 + 2)) + subgroups * weights * 1024;
        subgroups * adapter.subgroups <= adapter.threads && bytes <= adapter.workgroup_bytes
    };
    largest(tiles.into_iter().filter(fits), rows, columns)
}

/// Query rows, heads and tasks a row. One row a sequence is a step of decoding: the heads that share keys take one load of
/// each together, and several tasks share the keys. More rows are tasks enough.
fn attention(op: OperationRef<'_, '_>, isa: Isa) -> Vec<usize> {
    let shape = |i: usize| dims(op.operand(i).expect("attention has query and key").r#type());
    let (query, key) = (shape(0), shape(1));
    if query[1] != Some(1) {
        return vec![4, 1, 1];
    }
    let shared = query[2].unwrap_or(1).checked_div(key[2].unwrap_or(1)).unwrap_or(1).max(1);
    let most = (isa.registers() - 2).min(8);
    // Seven heads are four and three.
    let chunks = shared.div_ceil(most);
    vec![1, shared.div_ceil(chunks), 8]
}
