//! What a tile is expected to cost, so that only the promising ones are measured.
//!
//! The model knows the machine by its roofs and caches. It counts, for a GEMM, the instructions of the inner loop against
//! the chains and ports that they need, what an operand that outgrows its cache costs, dequantising, edges, and tasks that
//! leave a thread without work; for a GEMV, bytes against the read roof. It ranks; it predicts no time well.

use crate::environment::{Cpu, Environment};
use kforge_measure::Roofs;
use kforge_passes::tiles::{
    gpu,
    product::{BLOCK, Family, LANES, Product},
};

/// The least seconds that a product can take: its operations at the peak, or its weights at the read roof. The peak of
/// matrix units is not known.
pub fn least_seconds(product: &Product, roofs: &Roofs) -> f64 {
    // Without a peak of integers, they are no limit.
    let peak = if product.int8 { roofs.int8_gops.unwrap_or(f64::INFINITY) } else { roofs.f32_gflops };
    let products = product.operations() / peak / 1e9;
    // A decoder's weights are in no cache when their turn comes.
    let reads = product.weight_bytes as f64 / roofs.read_gb_s / 1e9;
    match product.family {
        Family::Gemv => products.max(reads),
        Family::Gemm => products,
        _ => reads,
    }
}

/// What a legal tile is expected to cost: seconds of a CPU.
pub fn cost(product: &Product, tile: &[usize], environment: &Environment, roofs: &Roofs) -> f64 {
    let cpu = match environment {
        Environment::Cpu(cpu) => cpu,
        Environment::Gpu(_) => return gpu::cost(product, tile),
    };
    let threads = cpu.threads.max(1) as f64;
    match (product.family, tile) {
        (Family::Gemv, [width, rest @ ..]) => {
            let registers = rest.first().copied().unwrap_or(*width);
            let ahead = rest.get(1).copied().unwrap_or(product.usual_ahead());
            gemv(product, *width, registers, ahead, threads, roofs)
        }
        (Family::Gemm, [block, height, width, rest @ ..]) => {
            let depth = rest.first().copied().unwrap_or(product.depth).min(product.depth);
            gemm(product, [*block, *height, *width, depth], cpu, threads, roofs)
        }
        _ => f64::INFINITY,
    }
}

/// Threads that `tasks` keep busy, as a factor of the time.
fn imbalance(tasks: f64, threads: f64) -> f64 {
    (tasks / threads).ceil() * threads / tasks
}

fn gemv(product: &Product, width: usize, registers: usize, ahead: usize, threads: f64, roofs: &Roofs) -> f64 {
    let tasks: f64 = product.sections.iter().map(|s| s.columns.div_ceil(width) as f64).sum();
    // Few bytes in flight leave memory waiting; too many evict each other.
    let distance = match (product.int8, ahead) {
        (_, 0) if product.quantised => 1.15,
        (_, 0) => 1.0,
        (true, 1..=3) => 1.05,
        (true, 4..=6) => 1.0,
        (true, 7..=12) => 1.02,
        (true, 13..=24) => 1.05,
        (true, _) => 1.08,
        (false, 1..=12) if product.quantised => 1.08,
        (false, _) if product.quantised => 1.0,
        // A hardware prefetcher has been there before.
        (false, _) => 1.06,
    };
    let streams = if product.int8 { 1 } else { registers / LANES * product.together() };
    let streams = match streams {
        1 if product.int8 => 1.0,
        1 => 1.1,
        2 => 1.0,
        3..=4 if product.quantised => 1.05,
        3..=4 => 0.97,
        _ => 1.1,
    };
    let reads = least_seconds(product, roofs) * distance * streams * imbalance(tasks, threads).min(1.5);
    // Each task takes a counter and normalises the row anew.
    let norm = if product.norm { product.depth as f64 * 0.4e-9 } else { 0.0 };
    reads + tasks / threads * (0.1e-6 + norm)
}

fn gemm(product: &Product, tile: [usize; 4], cpu: &Cpu, threads: f64, roofs: &Roofs) -> f64 {
    let [block, height, width, depth] = tile;
    let rows = product.usual_rows().max(1);
    let block = block.min(rows.next_multiple_of(height));
    let groups = width / LANES;
    // Registers of the machine that sixteen lanes take.
    let parts = match product.target.wide_registers() {
        32.. => 1,
        8.. => 2,
        _ => 4,
    };
    let registers = product.target.wide_registers() * parts;
    let sums = height * groups * parts;
    let loads = (groups * parts + height) as f64;
    // Two multiply-adds and two loads a cycle, each chain four cycles long.
    let mut cycles = (sums as f64 / 2.0).max(loads / 2.0).max(4.0);
    let alive = sums + groups * parts + 1;
    if alive > registers && !product.int8 {
        cycles += 2.0 * (alive - registers) as f64;
    }
    let mut slowdown = cycles / (sums as f64 / 2.0);
    if product.int8 {
        // One register of columns after the other; weights are unpacked once for all rows.
        slowdown = 1.0 + 1.5 / height as f64 + if height > 8 { 0.15 * (height - 8) as f64 } else { 0.0 };
    }
    let (l1, l2) = (cpu.cache("L1").max(32 << 10), cpu.cache("L2").max(256 << 10));
    if !product.int8 {
        let panel = 4 * depth * width;
        let window = 4 * depth * height;
        if panel + window > l1 * 3 / 4 {
            slowdown *= 1.0 + 0.08 * ((panel + window) as f64 / (l1 as f64)).log2().max(0.5);
        }
        if panel > l2 / 2 {
            slowdown *= 1.3;
        }
        if 4 * depth * block > l2 {
            slowdown *= 1.05;
        }
        if depth < product.depth {
            // The sums wait in memory between two blocks of K.
            slowdown += 3.0 * sums as f64 / (depth as f64 * cycles);
        }
    }
    let row_blocks = rows.div_ceil(block);
    let edge = (rows.div_ceil(height) * height) as f64 / rows as f64;
    let tasks: f64 = product.sections.iter().map(|s| (s.columns.div_ceil(width) * row_blocks) as f64).sum();
    let padded: f64 = product.sections.iter().map(|s| (s.columns.div_ceil(width) * width * s.roots) as f64).sum();
    let columns: f64 = product.sections.iter().map(|s| (s.columns * s.roots) as f64).sum();
    let products = least_seconds(product, roofs) * slowdown * edge * padded / columns;
    // Each block of rows copies its panel anew: some cycles for each register of weights.
    let copied = if product.streams || product.int8 { 0.0 } else { padded * product.depth as f64 * row_blocks as f64 };
    let copy = copied / LANES as f64 * parts as f64 * if product.quantised { 1.5e-9 } else { 0.5e-9 } / threads;
    let half =
        if product.half { 0.1e-9 * (rows * product.depth) as f64 * padded / width as f64 / threads } else { 0.0 };
    (products + copy + half) * imbalance(tasks, threads) + tasks / threads * 0.15e-6
}

/// Candidates by expected cost, the cheapest first; ties keep their order.
pub fn rank(product: &Product, tiles: &[Vec<usize>], environment: &Environment, roofs: &Roofs) -> Vec<usize> {
    let costs: Vec<f64> = tiles.iter().map(|tile| cost(product, tile, environment, roofs)).collect();
    let mut order: Vec<usize> = (0..tiles.len()).collect();
    order.sort_by(|a, b| costs[*a].total_cmp(&costs[*b]));
    order
}

const _: () = assert!(BLOCK == 32, "prefetch distances are in blocks of 32 columns");
