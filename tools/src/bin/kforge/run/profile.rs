//! `kforge-run bench model --profile`: the time of each kernel, and its share of the machine's limit.
//!
//! The minimum work of a launch follows from the launch program: it reads the weights that it binds and the filled
//! positions of a cache, and the program has its number of operations. Activations are not counted: the previous launch has
//! just written them, so they are in the CPU's caches.

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use kforge_measure::Roofs;
use kforge_program::{Access, Arithmetic, Buffer, DimSource, Family, Function, Global, Program, Role};
use kforge_runtime::KernelTime;
use std::time::Duration;

/// Describes the roofs.
pub fn limits(roofs: &Roofs) -> String {
    let read = if roofs.int8_gops.is_some() { "reading weights and caches" } else { "copies" };
    let int8 = roofs.int8_gops.map(|rate| format!(", int8 at {rate:.0} GOP/s")).unwrap_or_default();
    format!("{read} at {:.1} GB/s, f32 at {:.0} GFLOP/s{int8}", roofs.read_gb_s, roofs.f32_gflops)
}

/// One call of `prefill` or `decode`.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Positions in the caches before it, and after it.
    pub before: usize,
    pub after: usize,
    /// Capacity of the caches, in positions.
    pub capacity: usize,
}

/// The minimum work of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Bytes of weights and caches.
    pub bytes: u64,
    /// Operations on f32, on f16 matrix units, and on 8-bit integers; a multiply-add is two.
    pub f32: u64,
    pub f16: u64,
    pub int8: u64,
}

/// Adds the work of a call to that of each kernel.
///
/// # Errors
/// If the program has sizes without a value.
pub fn add(program: &Program, function: &Function, call: Call, work: &mut [Work]) -> Result<()> {
    let rows = call.after - call.before;
    // The inputs are ids [1, rows], positions [1], and for a prefill the row whose logits are wanted.
    let symbols: Vec<i64> = function
        .symbols
        .iter()
        .map(|symbol| match symbol.source {
            DimSource::Input { input: 0, .. } => rows as i64,
            DimSource::Input { .. } => 1,
            DimSource::Global { .. } => call.capacity as i64,
        })
        .collect();
    let filled = |whole: u64| whole * call.after as u64 / call.capacity.max(1) as u64;
    for launch in &function.launches {
        let (kernel, work) = (&program.kernels[launch.kernel], &mut work[launch.kernel]);
        // A companion binds the operands of the main kernel, but reads an intermediate or activations.
        if kernel.role == Role::Companion {
            continue;
        }
        let mut reads_cache = false;
        for (buffer, access) in launch.buffers.iter().zip(&kernel.params) {
            let Buffer::Global(index) = *buffer else { continue };
            let global = &program.globals[index];
            let bytes = bytes(global, call.capacity)?;
            reads_cache |= global.mutable && access.reads();
            work.bytes += match (global.mutable, *access) {
                (true, Access::Read) => filled(bytes),
                // On a GPU, an attention that appends its own row to the cache.
                (true, Access::ReadWrite) if kernel.family == Some(Family::Attention) => filled(bytes),
                // A cache update writes rows and reads none.
                (true, _) => 0,
                // An embedding reads one row of its table per token.
                (false, _) if kernel.family == Some(Family::Embedding) => {
                    bytes * rows as u64 / extent(global, 0).max(1)
                }
                (false, _) => bytes,
            };
        }
        let Some(operations) = &launch.operations else { continue };
        let operations = u64::try_from(operations.eval(&symbols).map_err(anyhow::Error::msg)?)?;
        let of_cache = reads_cache && kernel.family == Some(Family::Attention);
        let operations = if of_cache { filled(operations) } else { operations };
        match kernel.arithmetic {
            Arithmetic::F32 => work.f32 += operations,
            Arithmetic::F16 => work.f16 += operations,
            Arithmetic::Int8 => work.int8 += operations,
        }
    }
    Ok(())
}

/// Bytes of a global in its layout; a cache has room for `capacity` positions.
fn bytes(global: &Global, capacity: usize) -> Result<u64> {
    let mut ty = global.ty.clone();
    for dim in &mut ty.dims {
        if dim.as_const().is_none_or(|d| d < 0) {
            *dim = kforge_program::Expr::Const(capacity as i64);
        }
    }
    let bytes = ty.bytes(global.layout).eval(&[]).map_err(anyhow::Error::msg)?;
    Ok(u64::try_from(bytes)?)
}

fn extent(global: &Global, axis: usize) -> u64 {
    global.ty.dims.get(axis).and_then(|d| d.as_const()).and_then(|d| u64::try_from(d).ok()).unwrap_or(0)
}

/// Bytes of all weights: the footprint that a decoder reads repeatedly.
///
/// # Errors
/// If a weight's size overflows.
pub fn weights(program: &Program) -> Result<usize> {
    let bytes = program.globals.iter().filter(|g| !g.mutable).map(|g| bytes(g, 0));
    Ok(usize::try_from(bytes.sum::<Result<u64>>()?)?)
}

/// The minimum time of the work in seconds, and its limit; `None` if that limit was not measured.
fn limit(work: Work, roof: &Roofs) -> Option<(f64, &'static str)> {
    let reading = work.bytes as f64 / roof.read_gb_s / 1e9;
    let int8 = match (work.int8, roof.int8_gops) {
        (0, _) => 0.0,
        (operations, roof) => operations as f64 / roof? / 1e9,
    };
    // The roof of matrix units is not measured.
    if work.f16 > 0 {
        return None;
    }
    let computing = work.f32 as f64 / roof.f32_gflops / 1e9 + int8;
    Some(match computing > reading {
        true if work.int8 > work.f32 => (computing, "int8"),
        true => (computing, "FMA"),
        false => (reading, "reading"),
    })
}

/// A table of kernels, by time.
pub fn table(program: &Program, times: &[KernelTime], work: &[Work], roof: &Roofs) -> Table {
    let total: Duration = times.iter().map(|t| t.time).sum();
    let mut order: Vec<usize> = (0..times.len()).filter(|i| times[*i].launches > 0).collect();
    order.sort_by_key(|i| std::cmp::Reverse(times[*i].time));
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "kernel",
        "computes",
        "launches",
        "ms",
        "us a launch",
        "share",
        "GB/s",
        "GFLOP/s",
        "limit",
        "of it",
    ]);
    for i in order {
        let (kernel, work, KernelTime { launches, time }) = (&program.kernels[i], work[i], times[i]);
        let seconds = time.as_secs_f64();
        let rate = |count: u64| if count == 0 { String::new() } else { format!("{:.1}", count as f64 / seconds / 1e9) };
        // Neither limit applies to kernels that read only activations.
        let limit = limit(work, roof).filter(|_| work.bytes > 0);
        table.add_row([
            kernel.name.clone(),
            kernel.summary.clone(),
            launches.to_string(),
            format!("{:.2}", seconds * 1e3),
            format!("{:.1}", seconds * 1e6 / launches as f64),
            format!("{:.1} %", 100.0 * seconds / total.as_secs_f64()),
            rate(work.bytes),
            rate(work.f32 + work.f16 + work.int8),
            limit.map_or(String::new(), |(_, by)| by.into()),
            limit.map_or(String::new(), |(least, _)| format!("{:.0} %", 100.0 * least / seconds)),
        ]);
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(if i < 2 { CellAlignment::Left } else { CellAlignment::Right });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use kforge_program::{Element, Expr, Kernel, Launch, Layout, Symbol, TensorType};

    fn global(name: &str, dims: &[i64], element: Element, mutable: bool) -> Global {
        let dims = dims.iter().map(|d| Expr::Const(*d)).collect();
        Global { name: name.into(), ty: TensorType { dims, element }, layout: Layout::RowMajor, mutable, value: None }
    }

    #[test]
    fn work_by_hand() {
        let kernel = |family, arithmetic, params: &[Access]| Kernel {
            name: String::new(),
            summary: String::new(),
            family: Some(family),
            role: Role::Main,
            arithmetic,
            params: params.to_vec(),
            scalars: 1,
        };
        let launch = |kernel, buffers: &[Buffer], rows: Expr, operations: Option<i64>| Launch {
            operations: operations.map(|each| rows.clone().times(Expr::Const(each))),
            kernel,
            tasks: Expr::Const(1),
            buffers: buffers.to_vec(),
            scalars: vec![rows],
            barrier: true,
        };
        use Access::{Read, ReadWrite, Write};
        use Buffer::{Global as G, Input as I, Local as L};
        let rows = Expr::Sym(0);
        let program = Program {
            version: Program::VERSION,
            globals: vec![
                global("table", &[10, 32], Element::F32, false),
                global("w", &[4, 32], Element::Quant(kforge_quant::BlockFormat::Q4_0), false),
                global("k_cache", &[1, -1, 2, 8], Element::F32, true),
                global("norm", &[32], Element::F32, false),
            ],
            kernels: vec![
                kernel(Family::Embedding, Arithmetic::F32, &[Read, Read, Write]),
                kernel(Family::Gemm, Arithmetic::Int8, &[Read, Read, Read, Write]),
                kernel(Family::Rope, Arithmetic::F32, &[Read, ReadWrite]),
                kernel(Family::Attention, Arithmetic::F32, &[Read, Read, Write]),
                kernel(Family::Attention, Arithmetic::F32, &[Read, ReadWrite, Write]),
                Kernel { role: Role::Companion, ..kernel(Family::Gemm, Arithmetic::Int8, &[Read, Read, Read, Write]) },
            ],
            functions: vec![Function {
                name: "prefill".into(),
                symbols: vec![Symbol { name: "in0.1".into(), source: DimSource::Input { input: 0, axis: 1 } }],
                inputs: vec![],
                outputs: vec![],
                checks: vec![],
                locals: vec![],
                arena: Expr::Const(0),
                launches: vec![
                    launch(0, &[I(0), G(0), L(0)], rows.clone(), None),
                    launch(5, &[L(0), G(1), G(3), L(1)], rows.clone(), None),
                    launch(1, &[L(0), G(1), G(3), L(1)], rows.clone(), Some(2 * 4 * 32)),
                    launch(1, &[L(0), G(1), G(3), L(1)], rows.clone(), Some(2 * 4 * 32)),
                    launch(2, &[L(1), G(2)], rows.clone(), Some(16)),
                    launch(3, &[L(1), G(2), L(2)], rows.clone(), Some(4 * 8 * 20)),
                    launch(4, &[L(1), G(2), L(2)], rows, Some(4 * 8 * 20)),
                ],
            }],
            binding_bytes: None,
        };
        let mut work = [Work::default(); 6];
        let call = Call { before: 2, after: 5, capacity: 20 };
        add(&program, &program.functions[0], call, &mut work).unwrap();
        // Three rows of the table.
        assert_eq!(work[0], Work { bytes: 3 * 32 * 4, ..Work::default() });
        // Both launches: four rows of one block of 18 bytes and the norm; 2 x 3 x 4 x 32 operations.
        assert_eq!(work[1], Work { bytes: 2 * (4 * 18 + 128), int8: 2 * 768, ..Work::default() });
        assert_eq!(work[2], Work { f32: 3 * 16, ..Work::default() });
        // Five of twenty positions, and of the operations of as many.
        assert_eq!(work[3], Work { bytes: 5 * 2 * 8 * 4, f32: 3 * 4 * 8 * 5, ..Work::default() });
        // A companion kernel binds the main kernel's operands, and is not counted.
        assert_eq!(work[5], Work::default());
        assert_eq!(work[4], work[3], "one that also updates the cache reads as much of it");
        assert_eq!(weights(&program).unwrap(), 10 * 32 * 4 + 4 * 18 + 128);
    }

    /// A position of a cache of two heads of 64 in 8 bits: 64 integers and two scales each.
    #[test]
    fn caches_of_8_bits_are_counted_in_their_layout() {
        let cache = global("k_cache", &[1, -1, 2, 64], Element::F32, true);
        let layouts = [(Layout::Keys16, 2 * 256), (Layout::Keys16Int8, 2 * 72), (Layout::HeadMajorInt8, 2 * 72)];
        for (layout, position) in layouts {
            assert_eq!(bytes(&Global { layout, ..cache.clone() }, 32).unwrap(), 32 * position, "{layout}");
        }
    }

    #[test]
    fn the_limit_is_what_takes_longest() {
        let roof = Roofs { f32_gflops: 100.0, int8_gops: Some(200.0), read_gb_s: 10.0 };
        let work = Work { bytes: 10, ..Work::default() };
        assert_eq!(limit(Work { f32: 50, ..work }, &roof), Some((1e-9, "reading")));
        assert_eq!(limit(Work { f32: 200, ..work }, &roof), Some((2e-9, "FMA")));
        assert_eq!(limit(Work { int8: 600, ..work }, &roof), Some((3e-9, "int8")));
        assert_eq!(limit(Work { int8: 600, ..work }, &Roofs { int8_gops: None, ..roof }), None);
        assert_eq!(limit(Work { f16: 600, ..work }, &roof), None);
    }
}
