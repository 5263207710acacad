//! The tiles that a product's kernel may have.
//!
//! A tile decides in which order outputs are computed and where operands wait, never in which order a sum is taken: all
//! candidates give the same bits. What is legal is a predicate of product and tile alone, so that a tile out of a
//! database is checked as one written by hand.

use super::{
    cpu, gpu,
    product::{BLOCK, Family, LANES, PANEL_BYTES, Product},
};

/// Names the rules below; stored with what they admitted.
const PREDICATE: &str = "linear-tiles-1";

/// The rules that admit tiles of a product.
pub fn predicate(product: &Product) -> &'static str {
    if product.target.is_gpu() { gpu::PREDICATE } else { PREDICATE }
}

/// The default tile, which needs no measurement.
pub fn rule(product: &Product) -> Vec<usize> {
    if product.target.is_gpu() {
        return gpu::rule(product);
    }
    match product.family {
        Family::Gemv => {
            // Two row groups hide the latency of the FMA chains; a wide output takes four, for fewer tasks.
            let wanted = if product.widest() >= 4096 { 4 } else { 2 };
            let rows = product.usual_rows().max(1);
            // Products of integers take one linear after the other.
            let chains = if product.int8 { rows } else { rows * product.together() };
            let room = (product.target.wide_registers() - 2).min(24) / chains;
            vec![LANES * wanted.min(room.max(1))]
        }
        // The weights are multiplied as they lie, one register of columns after the other: eight sums fit any set.
        Family::Gemm if product.int8 => vec![128, 8, LANES],
        _ => gemm_rule(product),
    }
}

/// Rows of a task, rows in registers, columns of a task: as many accumulators as fit beside one column of operands.
fn gemm_rule(product: &Product) -> Vec<usize> {
    let (depth, together) = (product.depth, product.together());
    // The linears of one output take turns in the registers, but all their panels are on the stack at once.
    let (mut height, mut groups) = match product.target.wide_registers() {
        // Three groups only where they fill every task: columns left over are a task that the others wait for. 1.3 to 1.8
        // times the time at N = 64 and 128.
        32.. if product.sections.iter().all(|s| s.columns.div_ceil(LANES).is_multiple_of(3)) => (8, 3),
        32.. => (8, 2),
        8.. => (6, 1),
        _ => (3, 1),
    };
    while groups > 1 && 4 * depth * groups * LANES * together > PANEL_BYTES {
        groups -= 1;
        height += 2;
    }
    let mut tile = vec![128usize.div_ceil(height) * height, height, groups * LANES];
    if !product.streams && 4 * depth * groups * LANES * together > PANEL_BYTES {
        // Copies of so many columns have no room: K in blocks.
        tile.push((PANEL_BYTES / (4 * groups * LANES * together) / 256 * 256).max(BLOCK));
    }
    tile
}

/// Whether the product's kernel can have a tile.
///
/// # Errors
/// The rule that the tile breaks.
pub fn legal(product: &Product, tile: &[usize]) -> Result<(), String> {
    if product.target.is_gpu() {
        return gpu::legal(product, tile);
    }
    if product.norm && product.family == Family::Gemm {
        return Err("a gemm has no norm in front".into());
    }
    cpu::Tile::new(product.family, tile, product.into()).map(drop)
}

/// Every legal tile that is worth a thought, the default first, the others in a fixed order.
pub fn candidates(product: &Product) -> Vec<Vec<usize>> {
    let mut tiles = vec![rule(product)];
    match product.family {
        _ if product.target.is_gpu() => gpu::candidates(product, &mut tiles),
        Family::Gemv => gemv_candidates(product, &mut tiles),
        _ => gemm_candidates(product, &mut tiles),
    }
    let mut seen = rustc_hash::FxHashSet::default();
    tiles.retain(|tile| legal(product, tile).is_ok() && seen.insert(spelled_out(product, tile)));
    tiles
}

/// The tile with what it leaves out: two tiles that mean the same are one candidate.
fn spelled_out(product: &Product, tile: &[usize]) -> Vec<usize> {
    match (product.family, tile) {
        (Family::Gemv, [width]) => vec![*width, *width, product.usual_ahead()],
        (Family::Gemm, [block, height, width]) => vec![*block, *height, *width, product.depth],
        _ => tile.to_vec(),
    }
}

/// Register room of a tile's sums: those that fit, and a little more, since spilling one may pay.
fn fits(product: &Product, sums: usize) -> bool {
    sums <= product.target.wide_registers()
}

fn gemv_candidates(product: &Product, tiles: &mut Vec<Vec<usize>>) {
    let rows = product.usual_rows();
    let most = product.widest().next_multiple_of(LANES);
    for width in [1, 2, 3, 4, 6, 8, 12, 16, 32].map(|groups| groups * LANES) {
        for registers in [1, 2, 3, 4].map(|groups| groups * LANES) {
            // Products of integers take one row group after the other: NR would only repeat the loop.
            let useful = if product.int8 { registers == LANES } else { width % registers == 0 };
            let sums = registers / LANES * rows * product.together();
            if !useful || width > most || (registers > LANES && !fits(product, sums)) {
                continue;
            }
            let distances: &[usize] = if product.quantised { &[0, 3, 6, 12, 24, 48] } else { &[0, 1, 2, 4] };
            tiles.extend(distances.iter().map(|ahead| vec![width, registers, *ahead]));
        }
    }
}

fn gemm_candidates(product: &Product, tiles: &mut Vec<Vec<usize>>) {
    for groups in 1..=4 {
        for height in 2..=14 {
            // Integers are multiplied one register of columns after the other.
            let narrow = product.int8 && height <= 8 && groups <= 2;
            if !narrow && !fits(product, groups * height) {
                continue;
            }
            for block in [24, 48, 96, 128, 192, 256, 512] {
                let block = usize::div_ceil(block, height) * height;
                let tile = [block, height, groups * LANES];
                tiles.push(tile.to_vec());
                let depths = [128, 256, 512].into_iter().filter(|depth| *depth < product.depth && !product.int8);
                tiles.extend(depths.map(|depth| [tile.as_slice(), &[depth]].concat()));
            }
        }
    }
}
