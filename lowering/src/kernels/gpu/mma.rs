//! Linear layers of many rows (GEMM) on matrix units: f16 operands, f32 sums.
//!
//! `#transformer.kernel<"mma", tile = [BM, BN, BK, WM, WN]>`: a workgroup computes BM rows by BN columns, a subgroup WM
//! by WN of them, in cooperative matrices of 16 x 16. As in `gemm`, parts of BK columns of K go through workgroup
//! memory ([`TileLoader`]); here they are rounded to f16 on the way:
//!
//! ```text
//! x  [BM][BK / 4 + 2] vector<4xf16>, padded by two so that rows begin at different banks
//! w  [BK][BN / 4 + 2] vector<4xf16>, per weight, likewise
//! y  [subgroups][16][4] vector<4xf32>, per weight: sums on their way to bias, epilogue and store
//! ```
//! f16 has eleven significant bits, so rounding an f32 operand (dequantised weights too) has a relative error of at
//! most 2^-11, and a product 2^-10; the sums are as accurate as elsewhere. f16 operands are not rounded.

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
use kforge_passes::tiles::{
    Family,
    gpu::{SIDE, Tile},
};
use melior::ir::{Attribute, Type, attribute::IntegerAttribute};

pub fn generate<'c, 'a>(of: Target<'_, 'c, 'a>) -> Result<'c, 'a, Signature> {
    of.check_results()?;
    let group = of.group;
    let linear = Linear::new(group)?;
    if let Some(norm) = linear.norm {
        return Err(group.unsupported(Some(norm), "a GPU's mma has no norm in front; use --fuse without norm"));
    }
    let kinds = Kinds::new(&of, &linear)?.in_halves();
    let most = linear.sections.iter().map(|s| s.roots.len()).max().unwrap_or(1);
    let tile = Tile::new(Family::Mma, &group.tile, most, of.adapter);
    let tile = tile.map_err(|message| group.unsupported(None, message))?;
    let (x, w) = tile.memory();
    let four = of.module.vector(4, of.module.f16());
    let sums = of.module.shared(&[tile.scratch()], of.module.vector(4, of.module.f32()));
    let mut shared = vec![of.module.shared(&[x], four)];
    shared.extend(vec![of.module.shared(&[w], four); most]);
    shared.extend(vec![sums; most]);
    let tiles: usize = linear.sections.iter().map(|s| s.columns.div_ceil(tile.columns)).sum();
    let buffers = parameters(&of, &linear, &kinds, true, by_quads);
    let declaration = Declaration { name: of.name, buffers, scalars: 1, shared, threads: tile.threads(of.adapter) };
    declaration.build(&of, |e, workgroup| {
        let buffers = of.buffers(e, &workgroup.buffers);
        let Tile { rows, columns, depth, .. } = tile;
        let (kinds, buffers) = (&kinds, &buffers[..]);
        let loader =
            TileLoader { linear: &linear, kinds, workgroup, buffers, rows, columns, depth, spread: true, early: true };
        let kernel = Mma { of, workgroup, buffers, loader, tile, most };
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
        format!("{} in f16", linear.summary()),
    ))
}

/// The kernel under construction.
struct Mma<'k, 'c, 'a> {
    of: Target<'k, 'c, 'a>,
    workgroup: &'k Workgroup<'c, 'a>,
    buffers: &'k [Buffer<'c, 'a>],
    loader: TileLoader<'k, 'c, 'a>,
    tile: Tile,
    /// Maximum weights per section.
    most: usize,
}

impl<'c, 'a> Mma<'_, 'c, 'a> {
    fn section(
        &self,
        e: &Emitter<'c, 'a>,
        section: &Section<'c, 'a>,
        row: V<'c, 'a>,
        column: V<'c, 'a>,
    ) -> Result<'c, 'a, ()> {
        let tile = self.tile;
        let weights = self.loader.weights(section)?;
        let subgroup = self.workgroup.thread / self.workgroup.subgroups;
        let (down, right) = subgroup.div_rem(tile.columns / tile.width);
        let (height, width) = (tile.height / SIDE, tile.width / SIDE);
        let zeros = vec![e.matrix_zero(); weights.len() * height * width];
        let keep = |e: &Emitter<'c, 'a>, part: &Part<'c, 'a>| self.keep(e, &weights, column, part);
        let (x_first, w_first) = (down * (tile.height * tile.pitch()), right * (tile.width / 4));
        let sums = self.loader.each_part(e, &weights, (row, column), &zeros, keep, |e, sums| {
            let mut sums = sums.to_vec();
            for k in 0..tile.depth / SIDE {
                let x = |i: usize| {
                    let at = x_first + (i * SIDE * tile.pitch() + k * SIDE / 4);
                    e.load_matrix(self.workgroup.shared[0], at, tile.pitch(), "AOp")
                };
                let x: Vec<V> = (0..height).map(x).collect();
                for root in 0..weights.len() {
                    for j in 0..width {
                        let at = w_first + (k * SIDE * tile.weight_pitch() + j * SIDE / 4);
                        let w = e.load_matrix(self.workgroup.shared[1 + root], at, tile.weight_pitch(), "BOp");
                        for (i, x) in x.iter().enumerate() {
                            let sum = &mut sums[(root * height + i) * width + j];
                            *sum = e.multiply_matrices(*x, w, *sum);
                        }
                    }
                }
            }
            sums
        });
        let row = row + down * tile.height;
        let column = column + right * tile.width;
        for i in 0..height {
            for j in 0..width {
                let sums: Vec<V> = (0..weights.len()).map(|root| sums[(root * height + i) * width + j]).collect();
                self.finish(e, section, subgroup, row + i * SIDE, column + j * SIDE, &sums)?;
            }
        }
        Ok(())
    }

    /// Stores a 16 x 16 matrix of a section, staged through the subgroup's workgroup memory.
    fn finish(
        &self,
        e: &Emitter<'c, 'a>,
        section: &Section<'c, 'a>,
        subgroup: V<'c, 'a>,
        row: V<'c, 'a>,
        column: V<'c, 'a>,
        sums: &[V<'c, 'a>],
    ) -> Result<'c, 'a, ()> {
        let scratch = &self.workgroup.shared[1 + self.most..];
        let first = subgroup * (SIDE * SIDE / 4);
        for (sum, memory) in sums.iter().zip(scratch) {
            e.store_matrix(*sum, *memory, first, SIDE / 4);
        }
        e.barrier();
        let lane = self.workgroup.thread % self.workgroup.subgroups;
        for round in 0..(SIDE * SIDE / 4).div_ceil(self.workgroup.subgroups) {
            let item = lane + round * self.workgroup.subgroups;
            let (down, four) = item.div_rem(SIDE / 4);
            let row = row + down;
            let column = column + four * 4;
            let is_row = row.lt(self.workgroup.scalars[0]);
            let inside = is_row & column.lt(section.columns);
            e.try_if(inside, |e| {
                let sums: Vec<V> = scratch[..sums.len()].iter().map(|m| e.load(*m, &[first + item])).collect();
                epilogue_four(e, &self.of, self.buffers, section, &sums, row, column)
            })?;
        }
        // The memory is reused immediately.
        e.barrier();
        Ok(())
    }

    /// Stores a part into workgroup memory.
    fn keep(&self, e: &Emitter<'c, 'a>, weights: &[Weight<'c, 'a>], column: V<'c, 'a>, part: &Part<'c, 'a>) {
        let (tile, shared) = (self.tile, &self.workgroup.shared);
        self.loader.each_activation(e, part, |e, row, four, value| {
            e.store(e.narrow(value, e.f16()), shared[0], &[row * tile.pitch() + four]);
        });
        self.loader.keep_weights(e, weights, column, part, &shared[1..], (e.f16(), tile.weight_pitch()));
    }
}

impl<'c, 'a> Emitter<'c, 'a> {
    fn matrix(&self, element: &str, role: &str) -> Type<'c> {
        let text = format!("!gpu.mma_matrix<{SIDE}x{SIDE}x{element}, \"{role}\">");
        Type::parse(self.context, &text).expect("the gpu dialect is loaded")
    }

    fn matrix_zero(&self) -> V<'c, 'a> {
        self.value("gpu.subgroup_mma_constant_matrix", &[self.cf(0.0)], self.matrix("f32", "COp"), &[])
    }

    /// A matrix of f16 with rows `pitch` elements of the memref apart.
    fn load_matrix(&self, memory: V<'c, 'a>, at: V<'c, 'a>, pitch: usize, role: &str) -> V<'c, 'a> {
        let attributes = [("leadDimension", self.pitch(pitch))];
        self.value("gpu.subgroup_mma_load_matrix", &[memory, at], self.matrix("f16", role), &attributes)
    }

    fn store_matrix(&self, value: V<'c, 'a>, memory: V<'c, 'a>, at: V<'c, 'a>, pitch: usize) {
        let attributes = [("leadDimension", self.pitch(pitch))];
        self.op("gpu.subgroup_mma_store_matrix", &[value, memory, at], &[], &attributes);
    }

    fn multiply_matrices(&self, a: V<'c, 'a>, b: V<'c, 'a>, sum: V<'c, 'a>) -> V<'c, 'a> {
        self.value("gpu.subgroup_mma_compute", &[a, b, sum], self.matrix("f32", "COp"), &[])
    }

    fn pitch(&self, elements: usize) -> Attribute<'c> {
        IntegerAttribute::new(self.index(), elements as i64).into()
    }
}
