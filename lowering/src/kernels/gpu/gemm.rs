//! Linear layers of many rows (GEMM), tiled through workgroup memory.
//!
//! `#transformer.kernel<"gemm", tile = [BM, BN, BK, TM, TN]>`: a workgroup computes BM rows by BN columns, a thread TM
//! by TN of them in registers. For each BK columns of K the threads load activations and weights into workgroup memory,
//! as f32 ([`TileLoader`]):
//!
//! ```text
//! x  [BK][BM / 4 + 1] vec4 of f32, padded by one so that columns of K begin at different banks
//! w  [BK][BN / 4 + 4] vec4 of f32, per weight, likewise
//! ```
//! For each column of K a thread loads TM / 4 vectors of x and TN / 4 of w for TM TN multiply-adds. Rows past the last
//! are computed from the last row's data and not stored; columns past K are zero in x.

use super::{
    buffer::Buffer,
    linear::{Kinds, by_quads, each_section, epilogue_four, parameters},
    target::Target,
    tile_loader::{Part, TileLoader},
    weights::Weight,
    workgroup::{Declaration, Workgroup},
};
use crate::{
    emit::{Emitter, V},
    group::{Result, Signature, Size},
    kernels::linear::{Linear, Section},
};
use kforge_passes::tiles::gpu::Tile;
use kforge_program::Family;

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    let linear = Linear::new(group)?;
    if let Some(norm) = linear.norm {
        return Err(group.unsupported(Some(norm), "a GPU's gemm has no norm in front; use --fuse without norm"));
    }
    let kinds = Kinds::new(&of, &linear)?;
    let most = linear.sections.iter().map(|s| s.roots.len()).max().unwrap_or(1);
    let tile = Tile::new(Family::Gemm, &group.tile, most, of.adapter);
    let tile = tile.map_err(|message| group.unsupported(None, message))?;
    let (x, w) = tile.memory();
    let f32 = of.module.f32();
    // Activations are stored one float at a time.
    let mut shared = vec![of.module.shared(&[x, 4], f32)];
    shared.extend(vec![of.module.shared(&[w], of.module.vector(4, f32)); most]);
    let tiles: usize = linear.sections.iter().map(|s| s.columns.div_ceil(tile.columns)).sum();
    let declaration = Declaration {
        name: of.name,
        buffers: parameters(&of, &linear, &kinds, true, by_quads),
        scalars: 1,
        shared,
        threads: tile.threads(of.adapter),
    };
    declaration.build(&of, |e, workgroup| {
        let buffers = of.buffers(e, &workgroup.buffers);
        let Tile { rows, columns, depth, .. } = tile;
        let (kinds, buffers) = (&kinds, &buffers[..]);
        let loader = TileLoader {
            linear: &linear,
            kinds,
            workgroup,
            buffers,
            rows,
            columns,
            depth,
            spread: false,
            early: false,
        };
        let kernel = Gemm { of, workgroup, buffers, loader, tile };
        let row_tiles = workgroup.scalars[0].ceil_div(tile.rows);
        let (column, row) = workgroup.task.div_rem(row_tiles);
        let first = row * tile.rows;
        each_section(e, &linear.sections, column, tile.columns, |e, section, column| {
            kernel.section(e, section, first, column * tile.columns)
        })
    })?;
    Ok(of.signature(
        linear.rows.clone().ceil_div(tile.rows).times(Size::Const(tiles)),
        vec![linear.rows.clone()],
        linear.summary(),
    ))
}

/// The kernel under construction.
struct Gemm<'k, 'c, 'a> {
    of: Target<'k, 'c, 'a>,
    workgroup: &'k Workgroup<'c, 'a>,
    buffers: &'k [Buffer<'c, 'a>],
    loader: TileLoader<'k, 'c, 'a>,
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
        let weights = self.loader.weights(section)?;
        // Adjacent threads have adjacent columns and the same rows.
        let across = tile.columns / tile.width;
        let (down, right) = self.workgroup.thread.div_rem(across);
        let quads = tile.width / 4;
        let zero = e.cf_like(0.0, e.vector(4, e.f32()));
        let zeros = vec![zero; weights.len() * tile.height * quads];
        let rows: Vec<V> = (0..tile.height).map(|i| self.row(down, i)).collect();
        let places = self.places(e, down, &rows);
        let keep = |e: &Emitter<'c, 'a>, part: &Part<'c, 'a>| self.keep(e, &weights, column, part);
        let sums = self.loader.each_part(e, &weights, (row, column), &zeros, keep, |e, sums| {
            let mut sums = sums.to_vec();
            for k in 0..tile.depth {
                let x = self.activations(e, k, &places);
                for root in 0..weights.len() {
                    for j in 0..quads {
                        let at = right + (k * tile.weight_pitch() + j * across);
                        let w = e.load(self.workgroup.shared[1 + root], &[at]);
                        for (i, x) in x.iter().enumerate() {
                            let sum = &mut sums[(root * tile.height + i) * quads + j];
                            *sum = e.fma(w, *x, *sum);
                        }
                    }
                }
            }
            sums
        });
        for (i, local) in rows.into_iter().enumerate() {
            let row = row + local;
            e.try_if(row.lt(self.workgroup.scalars[0]), |e| {
                (0..quads).try_for_each(|j| {
                    let column = column + (right + j * across) * 4;
                    let sums: Vec<V> =
                        (0..weights.len()).map(|root| sums[(root * tile.height + i) * quads + j]).collect();
                    e.try_if(column.lt(section.columns), |e| {
                        epilogue_four(e, &self.of, self.buffers, section, &sums, row, column)
                    })
                })
            })?;
        }
        Ok(())
    }

    /// Column `k` of the part: each row's activation broadcast to all lanes; `places` has the vec4 and lane of each
    /// row.
    fn activations(&self, e: &Emitter<'c, 'a>, k: usize, places: &[(V<'c, 'a>, V<'c, 'a>)]) -> Vec<V<'c, 'a>> {
        let memory = self.workgroup.shared[0];
        let first = k * self.tile.pitch();
        let x: Vec<V> = if places.len().is_multiple_of(4) {
            // The thread's rows are whole vec4.
            let four = |at: &[(V<'c, 'a>, V<'c, 'a>)]| e.vload(memory, &[at[0].0 + first, e.ci(0)], 4);
            let lanes = |four| (0..4).map(move |lane| e.extract(four, lane));
            places.chunks(4).map(four).flat_map(lanes).collect()
        } else {
            places.iter().map(|(four, lane)| e.load(memory, &[*four + first, *lane])).collect()
        };
        x.into_iter().map(|x| e.splat_to(x, 4)).collect()
    }

    /// The vec4 index and the lane in workgroup memory of each of a thread's rows.
    fn places(&self, e: &Emitter<'c, 'a>, down: V<'c, 'a>, rows: &[V<'c, 'a>]) -> Vec<(V<'c, 'a>, V<'c, 'a>)> {
        let four = |i: usize| (down + i / 4 * (self.tile.rows / self.tile.height), e.ci(i % 4));
        match rows.len().is_multiple_of(4) {
            true => (0..rows.len()).map(four).collect(),
            false => rows.iter().map(|row| row.div_rem(4)).collect(),
        }
    }

    /// Tile row of row `i` of the thread at vertical position `down`: each thread owns runs of four rows (else two,
    /// else one), interleaved with those of its neighbours.
    fn row(&self, down: V<'c, 'a>, i: usize) -> V<'c, 'a> {
        let Tile { rows, height, .. } = self.tile;
        let run = [4, 2].into_iter().find(|run| height.is_multiple_of(*run)).unwrap_or(1);
        down * run + (i / run * run * (rows / height) + i % run)
    }

    /// Stores a part into workgroup memory.
    fn keep(&self, e: &Emitter<'c, 'a>, weights: &[Weight<'c, 'a>], column: V<'c, 'a>, part: &Part<'c, 'a>) {
        let (tile, shared) = (self.tile, &self.workgroup.shared);
        self.loader.each_activation(e, part, |e, row, four, value| {
            let ((of_rows, row), value) = (row.div_rem(4), e.widen(value));
            let at = four * (4 * tile.pitch()) + of_rows;
            for lane in 0..4 {
                e.store(e.extract(value, lane), shared[0], &[at + lane * tile.pitch(), row]);
            }
        });
        self.loader.keep_weights(e, weights, column, part, &shared[1..], (e.f32(), tile.weight_pitch()));
    }
}
