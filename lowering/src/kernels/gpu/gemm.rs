//! Linear layers of many rows: tiles through memory of the workgroup.
//!
//! `#transformer.kernel<"gemm", tile = [BM, BN, BK, TM, TN]>`: a workgroup computes BM rows by BN columns, a thread TM by TN
//! of them in registers. For each BK of the depth the threads bring the activations and the weights, as f32, into memory
//! of the workgroup:
//!
//! ```text
//! x  [BM][BK / 4] vector<4xf32>, one more for each row, so that rows begin at different banks
//! w  [BK][BN / 4] vector<4xf32>
//! ```
//! twice over: while the products of one part of the depth are summed, the next is on its way from memory, in registers,
//! and then stored into the other half. A step of four columns of the depth takes TM vectors of x and TN of w for 4 TM TN
//! multiply-adds. Rows past the last are computed on the last and not stored; columns of the depth past the last are zero
//! in x.

use super::{
    Target,
    bring::{Bring, Part, Place},
    buffer::Buffer,
    linear::{Kinds, by_fours, each_section, epilogue_four, parameters},
    weights::Weight,
    workgroup::{Declaration, Workgroup},
};
use crate::{
    emit::{Cmp, Emitter, V},
    group::{Result, Signature, Size},
    kernels::linear::{Linear, Section},
};
use kforge_program::{Access, layout::LANES};

/// BM, BN, BK, TM, TN.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    columns: usize,
    depth: usize,
    height: usize,
    width: usize,
}

impl Tile {
    fn new(tile: &[usize]) -> std::result::Result<Tile, String> {
        let &[rows, columns, depth, height, width] = tile else {
            return Err("a GPU's gemm has a tile [BM, BN, BK, TM, TN]".into());
        };
        let of = |whole: usize, part: usize| part > 0 && whole > 0 && whole.is_multiple_of(part);
        if !(of(columns, LANES) && of(depth, 8) && of(width, 4) && of(rows, height) && of(columns, width)) {
            return Err(format!(
                "gemm's tile {tile:?} needs BN a multiple of 16, BK of 8, TN of 4, BM of TM, and BN of TN"
            ));
        }
        Ok(Tile { rows, columns, depth, height, width })
    }

    fn threads(self) -> usize {
        self.rows / self.height * (self.columns / self.width)
    }

    /// Vectors of a row of x.
    fn pitch(self) -> usize {
        self.depth / 4 + 1
    }

    /// Vectors in memory: of x, and of one weight.
    fn vectors(self) -> (usize, usize) {
        (self.rows * self.pitch(), self.depth * self.columns / 4)
    }
}

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    let linear = Linear::new(group)?;
    if let Some(norm) = linear.norm {
        return Err(group.unsupported(Some(norm), "a GPU's gemm has no norm in front; use --fuse without norm"));
    }
    let tile = Tile::new(&group.tile).map_err(|message| group.unsupported(None, message))?;
    let kinds = Kinds::new(&of, &linear)?;
    let most = linear.sections.iter().map(|s| s.roots.len()).max().unwrap_or(1);
    let (x, w) = tile.vectors();
    let (threads, bytes) = (tile.threads(), 2 * 16 * (x + most * w));
    if threads > of.adapter.threads || bytes > of.adapter.workgroup_bytes {
        return Err(group.unsupported(
            None,
            format!(
                "gemm's tile {:?} takes {threads} threads and {bytes} bytes of a workgroup; the adapter has {} and {}",
                group.tile, of.adapter.threads, of.adapter.workgroup_bytes
            ),
        ));
    }
    let four = of.module.vector(4, of.module.f32());
    let mut shared = vec![(2 * x, four)];
    shared.extend(vec![(2 * w, four); most]);
    let tiles: usize = linear.sections.iter().map(|s| s.columns.div_ceil(tile.columns)).sum();
    let declaration = Declaration {
        name: of.name,
        buffers: parameters(&of, &linear, &kinds, true, by_fours),
        scalars: 1,
        shared,
        threads,
        subgroups: of.adapter.subgroups,
    };
    declaration.build_in_pieces(of.pieces, of.module, |e, workgroup| {
        let buffers = of.buffers(e, &workgroup.buffers);
        let Tile { rows, columns, depth, .. } = tile;
        let bring =
            Bring { linear: &linear, kinds: &kinds, workgroup, buffers: &buffers, rows, columns, depth, run: 1 };
        let kernel = Gemm { of, workgroup, buffers: &buffers, bring, tile };
        let row_tiles = e.ceil_div_c(workgroup.scalars[0], tile.rows);
        let (column, row) = e.div_rem(workgroup.task, row_tiles);
        let first = e.mul_c(row, tile.rows);
        each_section(e, &linear.sections, column, tile.columns, |e, section, column| {
            kernel.section(e, section, first, e.mul_c(column, tile.columns))
        })
    })?;
    let mut access = vec![Access::Read; group.arguments.len()];
    access.extend(vec![Access::Write; group.yields.len()]);
    Ok(Signature {
        access,
        in_place: vec![None; group.yields.len()],
        tasks: linear.rows.clone().ceil_div(tile.rows).times(Size::Const(tiles)),
        scalars: vec![linear.rows.clone()],
        summary: linear.summary(),
        partner: None,
    })
}

/// The kernel under construction.
struct Gemm<'k, 'c, 'a> {
    of: Target<'k, 'c, 'a>,
    workgroup: &'k Workgroup<'c, 'a>,
    buffers: &'k [Buffer<'c, 'a>],
    bring: Bring<'k, 'c, 'a>,
    tile: Tile,
}

impl<'c, 'a> Gemm<'_, 'c, 'a> {
    fn section(
        &self,
        e: &Emitter<'c, 'a>,
        section: &Section<'c, 'a>,
        row: V<'c, 'a>,
        column: V<'c, 'a>,
    ) -> Result<'c, 'a, ()> {
        let tile = self.tile;
        let weights = self.bring.weights(section)?;
        // Threads side by side have neighbouring columns and the same rows.
        let across = tile.columns / tile.width;
        let (down, right) = e.div_rem_c(self.workgroup.thread, across);
        let fours = tile.width / 4;
        let zero = e.cf_like(0.0, e.vector(4, e.f32()));
        let inits = vec![zero; weights.len() * tile.height * fours];
        let keep = |e: &Emitter<'c, 'a>, half, part: &Part<'c, 'a>| self.keep(e, &weights, half, column, part);
        let parts = self.bring.parts();
        keep(e, e.ci(0), &self.bring.fetch(e, &weights, (row, column), e.ci(0)));
        e.barrier();
        let (x_half, w_half) = tile.vectors();
        let sums = e.for_(e.ci(0), e.ci(parts), 1, &inits, |e, part, sums| {
            // After the last part comes the last again, which is not used.
            let next = e.min(e.add_c(part, 1), e.ci(parts.saturating_sub(1)));
            let fetched = self.bring.fetch(e, &weights, (row, column), next);
            let (_, half) = e.div_rem_c(part, 2);
            let (x_first, w_first) = (e.mul_c(half, x_half), e.mul_c(half, w_half));
            let mut sums = sums.to_vec();
            for k in 0..tile.depth / 4 {
                let x: Vec<Vec<V>> = (0..tile.height)
                    .map(|i| {
                        let local = e.add_c(down, i * (tile.rows / tile.height));
                        let at = e.add_c(e.add(x_first, e.mul_c(local, tile.pitch())), k);
                        let four = e.load(self.workgroup.shared[0], &[at]);
                        (0..4).map(|lane| e.splat_to(e.extract(four, lane), 4)).collect()
                    })
                    .collect();
                for (root, _) in weights.iter().enumerate() {
                    for lane in 0..4 {
                        for j in 0..fours {
                            let at = e.add_c(e.add(w_first, right), (4 * k + lane) * tile.columns / 4 + j * across);
                            let w = e.load(self.workgroup.shared[1 + root], &[at]);
                            for (i, x) in x.iter().enumerate() {
                                let sum = &mut sums[(root * tile.height + i) * fours + j];
                                *sum = e.fma(w, x[lane], *sum);
                            }
                        }
                    }
                }
            }
            keep(e, e.sub(e.ci(1), half), &fetched);
            e.barrier();
            sums
        });
        for i in 0..tile.height {
            let row = e.add(row, e.add_c(down, i * (tile.rows / tile.height)));
            let mut outcome = Ok(());
            e.if_(e.cmp(Cmp::Slt, row, self.workgroup.scalars[0]), |e| {
                outcome = (0..fours).try_for_each(|j| {
                    let column = e.add(column, e.mul_c(e.add_c(right, j * across), 4));
                    let sums: Vec<V> =
                        (0..weights.len()).map(|root| sums[(root * tile.height + i) * fours + j]).collect();
                    let mut outcome = Ok(());
                    e.if_(e.cmp(Cmp::Slt, column, e.ci(section.columns)), |e| {
                        outcome = epilogue_four(e, &self.of, self.buffers, section, &sums, row, column);
                    });
                    outcome
                });
            });
            outcome?;
        }
        Ok(())
    }

    /// Stores a part into a half of the memory.
    fn keep(
        &self,
        e: &Emitter<'c, 'a>,
        weights: &[Weight<'c, 'a>],
        half: V<'c, 'a>,
        column: V<'c, 'a>,
        part: &Part<'c, 'a>,
    ) {
        let tile = self.tile;
        let (x_half, w_half) = tile.vectors();
        let first = e.mul_c(half, x_half);
        self.bring.each_activation(e, part, |e, row, four, value| {
            let at = e.add(first, e.add(e.mul_c(row, tile.pitch()), four));
            e.store(value, self.workgroup.shared[0], &[at]);
        });
        let first = e.mul_c(half, w_half);
        for (i, weight) in weights.iter().enumerate() {
            let values = |e: &Emitter<'c, 'a>, [group, unit, thread]: Place<'c, 'a>, fetched: &[V<'c, 'a>]| {
                weight.decode(e, group, unit, thread, fetched).weights(e)
            };
            self.bring.each_weight(e, weight, i, column, part, values, |e, k, four, columns| {
                for (c, fours) in columns.into_iter().enumerate() {
                    let row = e.add(first, e.mul_c(e.add_c(k, c), tile.columns / 4));
                    for (r, value) in fours.into_iter().enumerate() {
                        e.store(value, self.workgroup.shared[1 + i], &[e.add_c(e.add(row, four), r)]);
                    }
                }
            });
        }
    }
}
