//! Tiles of a GPU's linear layers: what they take of a workgroup, which are legal, and which look promising.
//!
//! As on a CPU a tile decides where operands wait, never in which order a sum is taken. What a workgroup takes is said
//! here once: to kernels, to the rule that chooses without measurement, and to whatever a database holds.

use super::product::{Family, LANES, Product};
use kforge_target::Adapter;

/// Names the rules below; stored with what they admitted.
pub const PREDICATE: &str = "gpu-tiles-2";

/// Rows and columns of a cooperative matrix.
pub const SIDE: usize = 16;
/// Vectors of four between rows in memory, beside their own, so that rows begin at different banks: of an mma, of a gemm's
/// activations, and of its weights, which come in fours of vectors.
const MMA_PAD: usize = 2;
const GEMM_PAD: usize = 1;
const WEIGHT_PAD: usize = 4;
/// The largest number of a tile.
const MOST: usize = 1024;
/// Sums of a gemm's thread: more than it has registers.
const SUMS: usize = 256;
/// Matrices of sums of an mma's subgroup.
const MATRICES: usize = 32;
/// 32-bit registers of a thread that a candidate may take by estimate: few GPUs have more than 255.
const REGISTERS: usize = 216;
/// Workgroups that keep a large GPU busy.
const BUSY: usize = 128;

/// `[BM, BN, BK, TM, TN]` of a gemm, `[BM, BN, BK, WM, WN]` of an mma: rows and columns of a workgroup, the depth that goes
/// through its memory at a time, rows and columns of a thread or of a subgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub family: Family,
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    pub height: usize,
    pub width: usize,
}

impl Tile {
    /// A tile that an adapter has room for, of a kernel that multiplies by so many weights at once.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn new(family: Family, tile: &[usize], weights: usize, adapter: Adapter) -> Result<Tile, String> {
        let tile = Tile::shaped(family, tile)?;
        let name = family.name();
        if family == Family::Mma && !(adapter.matrices && adapter.f16) {
            return Err("mma needs an adapter with f16 and matrices; use gemm".into());
        }
        let (sums, most, of) = match family {
            Family::Mma => (tile.height * tile.width / (SIDE * SIDE) * weights, MATRICES, "matrices of a subgroup"),
            _ => (tile.height * tile.width * weights, SUMS, "sums of a thread"),
        };
        if sums > most {
            return Err(format!("{name}'s tile {:?} has {sums} {of}, over {most}", tile.numbers()));
        }
        let (threads, bytes) = (tile.threads(adapter), tile.bytes(weights));
        if threads > adapter.threads || bytes > adapter.workgroup_bytes {
            return Err(format!(
                "{name}'s tile {:?} takes {threads} threads and {bytes} bytes of a workgroup; the adapter has {} and {}",
                tile.numbers(),
                adapter.threads,
                adapter.workgroup_bytes
            ));
        }
        Ok(tile)
    }

    /// A tile whose numbers go into each other.
    fn shaped(family: Family, tile: &[usize]) -> Result<Tile, String> {
        let &[rows, columns, depth, height, width] = tile else {
            return Err(match family {
                Family::Mma => "mma has a tile [BM, BN, BK, WM, WN]".into(),
                _ => "a GPU's gemm has a tile [BM, BN, BK, TM, TN]".into(),
            });
        };
        let of = |whole: usize, part: usize| part > 0 && (1..=MOST).contains(&whole) && whole.is_multiple_of(part);
        let whole = of(rows, height) && of(columns, width);
        let (fits, needs) = match family {
            Family::Mma => (
                whole && of(depth, 32) && of(height, SIDE) && of(width, SIDE),
                "BK a multiple of 32, WM and WN of 16, BM of WM, and BN of WN",
            ),
            _ => (
                whole && of(columns, LANES) && of(depth, 8) && of(width, 4),
                "BN a multiple of 16, BK of 8, TN of 4, BM of TM, and BN of TN",
            ),
        };
        if !fits {
            return Err(format!("{}'s tile {tile:?} needs {needs}, all up to {MOST}", family.name()));
        }
        Ok(Tile { family, rows, columns, depth, height, width })
    }

    fn numbers(self) -> [usize; 5] {
        [self.rows, self.columns, self.depth, self.height, self.width]
    }

    /// Threads of a gemm, subgroups of an mma.
    pub fn parts(self) -> usize {
        self.rows / self.height * (self.columns / self.width)
    }

    pub fn threads(self, adapter: Adapter) -> usize {
        self.parts() * if self.family == Family::Mma { adapter.subgroups } else { 1 }
    }

    /// Vectors of four of a row of the activations in memory; of a gemm's, rows are columns of the depth.
    pub fn pitch(self) -> usize {
        match self.family {
            Family::Mma => self.depth / 4 + MMA_PAD,
            _ => self.rows.div_ceil(4) + GEMM_PAD,
        }
    }

    /// Vectors of four of a row of a weight in memory.
    pub fn weight_pitch(self) -> usize {
        self.columns / 4 + if self.family == Family::Mma { MMA_PAD } else { WEIGHT_PAD }
    }

    /// Vectors of four in memory: of the activations, and of one weight.
    pub fn memory(self) -> (usize, usize) {
        let rows = if self.family == Family::Mma { self.rows } else { self.depth };
        (rows * self.pitch(), self.depth * self.weight_pitch())
    }

    /// Vectors of f32, for each weight, through which an mma's sums leave.
    pub fn scratch(self) -> usize {
        if self.family == Family::Mma { self.parts() * SIDE * SIDE / 4 } else { 0 }
    }

    /// Bytes of a workgroup's memory.
    pub fn bytes(self, weights: usize) -> usize {
        let (x, w) = self.memory();
        // An mma's factors are f16.
        let vector = if self.family == Family::Mma { 8 } else { 16 };
        vector * (x + weights * w) + 16 * weights * self.scratch()
    }

    /// 32-bit registers of a thread, about: sums, the next part of the depth on its way, and operands.
    fn registers(self, weights: usize, adapter: Adapter) -> usize {
        let threads = self.threads(adapter).max(1);
        let fetched = (self.rows + weights * self.columns) * self.depth / threads;
        let (sums, operands) = match self.family {
            Family::Mma => (self.height * self.width, (self.height + SIDE) * SIDE / 2),
            _ => (self.height * self.width, 4 * self.height + self.width),
        };
        let lanes = if self.family == Family::Mma { adapter.subgroups.max(1) } else { 1 };
        (weights * sums + operands) / lanes + fetched
    }
}

/// The default tile, which needs no measurement: the first of a few that is legal and of which there are enough to keep a
/// large GPU busy, or the last. The first of all is for two workgroups or more on each multiprocessor; where there is one,
/// it had better have more threads.
pub fn rule(product: &Product) -> Vec<usize> {
    // Gate and up, whose products meet, take twice the registers and the memory.
    let tiles: &[([usize; 5], usize)] = match (product.family, product.together()) {
        (Family::Mma, 2) => {
            &[([128, 64, 32, 64, 32], BUSY), ([64, 64, 32, 32, 32], BUSY), ([32, 32, 32, 16, 16], BUSY)]
        }
        (Family::Mma, _) => &[
            ([128, 128, 32, 64, 64], 2 * BUSY),
            ([128, 128, 64, 32, 64], BUSY),
            ([64, 128, 32, 32, 64], BUSY),
            ([32, 64, 32, 16, 32], BUSY),
        ],
        (_, 2) => &[
            ([64, 64, 16, 8, 4], BUSY),
            ([64, 64, 16, 4, 4], BUSY),
            ([32, 64, 16, 2, 4], BUSY),
            ([32, 32, 8, 2, 4], BUSY),
        ],
        _ => &[
            ([128, 256, 16, 8, 8], 3 * BUSY),
            ([64, 128, 16, 8, 8], 4 * BUSY),
            ([128, 128, 32, 8, 8], BUSY),
            ([128, 128, 16, 8, 4], BUSY),
            ([64, 64, 16, 8, 4], BUSY),
            ([32, 64, 16, 4, 4], BUSY),
            ([32, 32, 8, 2, 4], BUSY),
        ],
    };
    let (rows, columns) = (product.usual_rows(), product.sections.first().map_or(0, |s| s.columns));
    let legal = || tiles.iter().filter(|(tile, _)| legal(product, tile).is_ok());
    let enough = |([bm, bn, ..], least): &&([usize; 5], usize)| rows.div_ceil(*bm) * columns.div_ceil(*bn) >= *least;
    legal().find(enough).or_else(|| legal().next_back()).map(|(tile, _)| tile.to_vec()).unwrap_or_default()
}

/// Whether the product's kernel can have a tile on its adapter.
///
/// # Errors
/// The rule that the tile breaks.
pub fn legal(product: &Product, tile: &[usize]) -> Result<(), String> {
    if product.norm {
        return Err(format!("a GPU's {} has no norm in front", product.family.name()));
    }
    Tile::new(product.family, tile, product.together(), product.adapter()).map(drop)
}

/// Legal tiles that are worth a thought.
pub fn candidates(product: &Product, tiles: &mut Vec<Vec<usize>>) {
    let (weights, adapter) = (product.together(), product.adapter());
    // What is larger than the result computes nothing with the rest.
    let most_rows = product.usual_rows().next_power_of_two().max(SIDE);
    let most_columns = product.widest().next_power_of_two().max(SIDE);
    let (depths, parts): (&[usize], &[(usize, usize)]) = match product.family {
        Family::Mma => (&[32, 64], &[(16, 16), (16, 32), (32, 16), (32, 32), (32, 64), (64, 32), (64, 64)]),
        _ => (&[8, 16, 32], &[(2, 4), (4, 4), (4, 8), (8, 4), (8, 8), (16, 4), (16, 8)]),
    };
    let threads = match product.family {
        Family::Mma => adapter.subgroups..=512,
        _ => 32..=512,
    };
    for rows in [16, 32, 64, 128, 256].into_iter().filter(|rows| *rows <= most_rows) {
        for columns in [16, 32, 64, 128, 256].into_iter().filter(|columns| *columns <= most_columns) {
            for depth in depths {
                for (height, width) in parts {
                    let numbers = [rows, columns, *depth, *height, *width];
                    let fits = Tile::new(product.family, &numbers, weights, adapter).is_ok_and(|tile| {
                        threads.contains(&tile.threads(adapter)) && tile.registers(weights, adapter) <= REGISTERS
                    });
                    if fits {
                        tiles.push(numbers.to_vec());
                    }
                }
            }
        }
    }
}

/// What a legal tile is expected to cost, in no unit: multiply-adds with the edges, times what each waits for, times the
/// part of a large GPU that too few threads leave idle.
///
/// On an H200 a gemm of 8 by 8 a thread reaches 42 TFLOP/s, of 8 by 4 36, of 4 by 4 31; docs/gpu.md has more.
pub fn cost(product: &Product, tile: &[usize]) -> f64 {
    let Ok(tile) = Tile::new(product.family, tile, product.together(), product.adapter()) else { return f64::INFINITY };
    let weights = product.together();
    let workgroups: usize = product.usual_rows().div_ceil(tile.rows)
        * product.sections.iter().map(|s| s.columns.div_ceil(tile.columns)).sum::<usize>();
    let work = (workgroups * tile.rows * tile.columns * weights) as f64 * product.depth as f64;
    let (height, width) = match tile.family {
        Family::Mma => (tile.height / SIDE, tile.width / SIDE),
        _ => (tile.height, tile.width),
    };
    let loads = (height + weights * width) as f64 / (height * weights * width) as f64;
    let (waiting, barrier) = match tile.family {
        Family::Mma => (0.2 + loads, 7.0),
        _ => (1.0 + loads, 1.6),
    };
    let memory = 1.0 + 8.0 * (1.0 / tile.rows as f64 + 1.0 / (weights * tile.columns) as f64);
    let threads = tile.threads(product.adapter());
    let idle = ((BUSY * 256) as f64 / (workgroups.max(1) * threads) as f64).max(1.0);
    let small = if threads < 128 { 1.2 } else { 1.0 };
    work * waiting * (1.0 + barrier / tile.depth as f64) * memory * idle * small
}

/// Candidates of one kind have the same depth, and thread or subgroup.
pub fn kind(tile: &[usize]) -> Vec<usize> {
    tile.get(2..).unwrap_or_default().to_vec()
}

/// Whether at most two numbers of two tiles differ, each by a factor of two.
pub fn neighbours(a: &[usize], b: &[usize]) -> bool {
    let differ = a.iter().zip(b).filter(|(a, b)| a != b).count();
    (1..=2).contains(&differ) && a.iter().zip(b).all(|(a, b)| *a <= 2 * b && *b <= 2 * a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiles::product::Section;
    use kforge_target::Target;

    const H100: Adapter = Adapter {
        f16: true,
        subgroups: 32,
        matrices: true,
        threads: 1024,
        workgroup_bytes: 49152,
        bindings: 1 << 19,
        binding_bytes: 1 << 31,
    };

    fn product(family: Family, rows: usize, roots: usize, columns: usize, adapter: Adapter) -> Product {
        Product {
            family,
            target: Target::Gpu(adapter),
            rows: Some(rows),
            depth: 576,
            sections: vec![Section { roots, columns }],
            weight_bytes: 4 * roots * columns * 576,
            packed: true,
            streams: false,
            quantised: false,
            int8: false,
            half: false,
            norm: false,
        }
    }

    #[test]
    fn every_candidate_is_legal_and_the_rule_is_the_first() {
        for family in [Family::Gemm, Family::Mma] {
            for (rows, roots, columns) in [(512, 1, 4096), (512, 2, 1536), (12, 1, 70)] {
                let product = product(family, rows, roots, columns, H100);
                let tiles = super::super::space::candidates(&product);
                assert_eq!(tiles[0], rule(&product));
                assert!(tiles.iter().all(|tile| legal(&product, tile).is_ok()));
                assert!(tiles.iter().all(|tile| cost(&product, tile).is_finite()));
                assert!(rows < 512 || tiles.len() >= 40, "{family:?} {roots}: {}", tiles.len());
            }
        }
    }

    #[test]
    fn what_is_illegal_says_why() {
        let least = Adapter::default();
        for (family, roots, adapter, tile, why) in [
            (Family::Gemm, 1, H100, &[64, 64, 16, 4][..], "a GPU's gemm has a tile [BM, BN, BK, TM, TN]"),
            (Family::Gemm, 1, H100, &[64, 64, 16, 0, 4], "needs BN a multiple of 16"),
            (Family::Gemm, 1, H100, &[usize::MAX, 64, 16, 1, 4], "all up to 1024"),
            (Family::Gemm, 1, H100, &[512, 512, 8, 32, 16], "512 sums of a thread, over 256"),
            (Family::Gemm, 1, least, &[128, 128, 16, 4, 4], "takes 1024 threads and 17664 bytes"),
            (Family::Gemm, 2, H100, &[256, 128, 32, 16, 8], "takes 256 threads and 70144 bytes"),
            (Family::Mma, 1, least, &[32, 64, 32, 16, 32], "needs an adapter with f16 and matrices"),
            (Family::Mma, 1, H100, &[32, 64, 16, 16, 32], "needs BK a multiple of 32"),
            (Family::Mma, 1, H100, &[128, 128, 32, 128, 128], "64 matrices of a subgroup, over 32"),
        ] {
            let message = legal(&product(family, 512, roots, 4096, adapter), tile).unwrap_err();
            assert!(message.contains(why), "{tile:?}: {message}");
        }
    }

    #[test]
    fn what_is_known_of_an_h100_is_ranked_so() {
        let cheaper = |family, a: [usize; 5], b: [usize; 5]| {
            let product = product(family, 4096, 1, 4096, H100);
            assert!(cost(&product, &a) < cost(&product, &b), "{a:?} {b:?}");
        };
        cheaper(Family::Gemm, [64, 128, 16, 8, 8], [64, 128, 8, 8, 8]);
        cheaper(Family::Gemm, [64, 128, 16, 8, 8], [64, 64, 16, 8, 4]);
        cheaper(Family::Gemm, [64, 64, 16, 8, 4], [64, 64, 16, 4, 4]);
        cheaper(Family::Mma, [128, 128, 32, 64, 64], [128, 128, 32, 64, 32]);
        cheaper(Family::Mma, [128, 128, 32, 64, 32], [64, 64, 32, 32, 32]);
        cheaper(Family::Mma, [64, 64, 64, 32, 32], [64, 64, 32, 32, 32]);
    }
}
