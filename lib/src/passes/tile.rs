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

use crate::isa::Isa;
use kforge_dialect::{
    KernelAttribute, QuantType,
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

/// Lanes of a vector, columns of a row group.
const LANES: usize = 16;
/// Stack bytes that a GEMM's panels may take.
const PANEL_BYTES: usize = 1 << 20;

fn run<'c>(pass: &PassRun<'c, '_>) -> Result<(), PassError<'c>> {
    let module = ancestor(pass.op, "builtin.module").unwrap_or(pass.op);
    let isa = string_attribute(&module, "transformer.isa").map_or(Ok(Isa::host()), |name| name.parse());
    let isa = isa.map_err(|message: String| PassError::at(&module, message))?;
    for op in body(&pass.op).map(ops).unwrap_or_default() {
        let Some(kernel) = op.attribute("kernel").ok().and_then(KernelAttribute::from_attribute) else { continue };
        if !kernel.tile.is_empty() {
            continue;
        }
        let tile = tile(op, &kernel.name, isa);
        if !tile.is_empty() {
            set_attribute(op, "kernel", KernelAttribute { tile, ..kernel }.to_attribute(pass.context));
            pass.count("tiled", 1);
        }
    }
    Ok(())
}

fn tile(fused: OperationRef<'_, '_>, family: &str, isa: Isa) -> Vec<usize> {
    let inner = body(&fused).map(ops).unwrap_or_default();
    match family {
        "gemv" | "gemm" => {
            let linears: Vec<_> = inner.iter().filter(|op| op_name(*op) == "transformer.linear").collect();
            let input = linears[0].operand(0).expect("linear has an input").r#type();
            let shape = dims(input);
            let depth = shape.last().copied().flatten().unwrap_or(0);
            let int8 = fused.attribute("transformer.layouts").is_ok_and(|a| a.to_string().contains("\"blocks8\""));
            // Linears that end in one output share the registers.
            let together = linears.len().div_ceil(fused.result_count().max(1)).max(1);
            if family == "gemv" {
                let rows = shape[..shape.len() - 1].iter().try_fold(1usize, |p, d| Some(p * (*d)?)).unwrap_or(1).max(1);
                let widest =
                    linears.iter().map(|op| rows_of(op.operand(1).expect("linear has a weight").r#type())).max();
                // Products of integers take one linear after the other.
                vec![gemv(isa, if int8 { rows } else { rows * together }, widest.unwrap_or(0))]
            } else if int8 {
                // The weights are multiplied as they lie, one register of columns after the other: eight sums fit any set.
                vec![128, 8, LANES]
            } else {
                gemm(isa, together, depth)
            }
        }
        "matmul" => vec![4, LANES],
        "attention" => {
            let op = inner.iter().find(|op| op_name(*op) == "transformer.attention");
            op.map_or(vec![], |op| attention(*op, isa))
        }
        _ => vec![],
    }
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

fn rows_of(weight: melior::ir::Type<'_>) -> usize {
    QuantType::from_type(weight).map_or_else(|| dims(weight)[0].unwrap_or(0), |q| q.rows)
}

/// Columns of a GEMV task: two row groups hide the latency of the FMA chains; a wide output takes four, for fewer tasks.
fn gemv(isa: Isa, chains: usize, widest: usize) -> usize {
    let wanted = if widest >= 4096 { 4 } else { 2 };
    let room = (isa.registers() - 2).min(24) / chains;
    LANES * wanted.min(room.max(1))
}

/// Rows of a task, rows in registers, columns of a task: as many accumulators as fit beside one column of operands.
fn gemm(isa: Isa, together: usize, depth: usize) -> Vec<usize> {
    // The linears of one output take turns in the registers, but all their panels are on the stack at once.
    let (mut height, mut groups) = match isa {
        Isa::Avx512Vnni | Isa::Avx512 => (8, 3),
        Isa::Avx2 | Isa::Neon => (6, 1),
        Isa::Sse2 => (3, 1),
    };
    while groups > 1 && 4 * depth * groups * LANES * together > PANEL_BYTES {
        groups -= 1;
        height += 2;
    }
    vec![128usize.div_ceil(height) * height, height, groups * LANES]
}
