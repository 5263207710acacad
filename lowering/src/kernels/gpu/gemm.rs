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
//! and then stored into the other half. A step of four columns of the depth takes TM vectors of x and TN of w for 4 TM TN multiply-adds. Rows past the last
//! are computed on the last and not stored; columns of the depth past the last are zero in x.

use super::{
    Target,
    buffer::Buffer,
    linear::{Kinds, each_section, epilogue, parameters},
    weights::Weight,
    workgroup::{Declaration, Workgroup},
};
use crate::{
    emit::{Cmp, Emitter, V},
    group::{Result, Signature, Size, dims},
    kernels::linear::{Linear, Section},
};
use kforge_program::{Access, layout::LANES};
use melior::ir::{Value, ValueLike};

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
    declaration.build(of.module, |e, workgroup| {
        let buffers = of.buffers(e, &workgroup.buffers);
        let kernel = Gemm { of, linear: &linear, kinds: &kinds, workgroup, buffers: &buffers, tile };
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

/// Whether rows of a tensor are whole vectors of four.
fn by_fours(value: Value<'_, '_>) -> bool {
    dims(value.r#type()).last().copied().flatten().is_some_and(|columns| columns.is_multiple_of(4))
}

/// The kernel under construction.
struct Gemm<'k, 'c, 'a> {
    of: Target<'k, 'c, 'a>,
    linear: &'k Linear<'k, 'c, 'a>,
    kinds: &'k Kinds,
    workgroup: &'k Workgroup<'c, 'a>,
    buffers: &'k [Buffer<'c, 'a>],
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
        let (tile, depth) = (self.tile, self.linear.depth);
        let mut weights = vec![];
        for root in &section.roots {
            let (operand, (_, rows, columns)) = self.linear.stored(*root)?;
            let kind = self.kinds.of(operand).expect("every root's weight has a kind");
            weights.push(Weight { kind, rows, columns, buffer: self.buffers[operand] });
        }
        // Threads side by side have neighbouring columns and the same rows.
        let across = tile.columns / tile.width;
        let (down, right) = e.div_rem_c(self.workgroup.thread, across);
        let fours = tile.width / 4;
        let zero = e.cf_like(0.0, e.vector(4, e.f32()));
        let inits = vec![zero; weights.len() * tile.height * fours];
        // The loads of a part of the depth, and the stores into a half of the memory.
        let fetch = |e: &Emitter<'c, 'a>, k| {
            let x = self.fetch_activations(e, row, k);
            (x, weights.iter().map(|weight| self.fetch_weights(e, weight, column, k)).collect::<Vec<_>>())
        };
        let keep = |e: &Emitter<'c, 'a>, half, k, (x, w): &(Vec<V<'c, 'a>>, Vec<Vec<Vec<V<'c, 'a>>>>)| {
            self.keep_activations(e, half, x);
            for (i, (weight, fetched)) in weights.iter().zip(w).enumerate() {
                self.keep_weights(e, weight, self.workgroup.shared[1 + i], half, column, k, fetched);
            }
        };
        let zeroth = e.ci(0);
        keep(e, zeroth, zeroth, &fetch(e, zeroth));
        e.barrier();
        let parts = depth.div_ceil(tile.depth);
        let (x_half, w_half) = tile.vectors();
        let sums = e.for_(zeroth, e.ci(parts), 1, &inits, |e, part, sums| {
            // After the last part comes the last again, which is not used.
            let next = e.min(e.add_c(part, 1), e.ci(parts.saturating_sub(1)));
            let k_next = e.mul_c(next, tile.depth);
            let fetched = fetch(e, k_next);
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
            keep(e, e.sub(e.ci(1), half), k_next, &fetched);
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
                    self.finish(e, section, row, column, &sums)
                });
            });
            outcome?;
        }
        Ok(())
    }

    /// Stores four columns of a row.
    fn finish(
        &self,
        e: &Emitter<'c, 'a>,
        section: &Section<'c, 'a>,
        row: V<'c, 'a>,
        column: V<'c, 'a>,
        sums: &[V<'c, 'a>],
    ) -> Result<'c, 'a, ()> {
        let at = e.add(e.mul_c(row, section.columns), column);
        let mut outcome = Ok(());
        if section.columns.is_multiple_of(4) {
            let e = e.with_lanes(4);
            e.if_(e.cmp(Cmp::Slt, column, e.ci(section.columns)), |e| {
                outcome = epilogue(e, &self.of, self.buffers, section, sums, column, at);
            });
            return outcome;
        }
        for lane in 0..4 {
            let column = e.add_c(column, lane);
            e.if_(e.cmp(Cmp::Slt, column, e.ci(section.columns)), |e| {
                let sums: Vec<V> = sums.iter().map(|sum| e.extract(*sum, lane)).collect();
                outcome = epilogue(e, &self.of, self.buffers, section, &sums, column, e.add_c(at, lane));
            });
            std::mem::replace(&mut outcome, Ok(()))?;
        }
        Ok(())
    }

    /// Columns `k..k + BK` of rows `row..row + BM` of the activations: what this thread loads of them.
    fn fetch_activations(&self, e: &Emitter<'c, 'a>, row: V<'c, 'a>, k: V<'c, 'a>) -> Vec<V<'c, 'a>> {
        let (tile, depth) = (self.tile, self.linear.depth);
        let x = self.buffers[self.linear.input];
        let last = e.sub(self.workgroup.scalars[0], e.ci(1));
        let across = tile.depth / 4;
        let value = |i| {
            let (local, four) = e.div_rem_c(i, across);
            let row = e.min(e.add(row, local), last);
            let column = e.add(k, e.mul_c(four, 4));
            let zero = e.cf_like(0.0, e.vector(4, e.f32()));
            if depth.is_multiple_of(4) {
                let load = |e: &Emitter<'c, 'a>| x.load_four(e, e.div_rem_c(e.add(e.mul_c(row, depth), column), 4).0);
                if depth.is_multiple_of(tile.depth) {
                    return load(e);
                }
                let inside = e.cmp(Cmp::Slt, column, e.ci(depth));
                return e.if_else(inside, &[zero.r#type()], |e| vec![load(e)], |_| vec![zero])[0];
            }
            let lane = |lane| {
                let column = e.add_c(column, lane);
                let inside = e.cmp(Cmp::Slt, column, e.ci(depth));
                let load = |e: &Emitter<'c, 'a>| vec![x.load(e, e.add(e.mul_c(row, depth), column))];
                e.if_else(inside, &[e.f32()], load, |e| vec![e.cf(0.0)])[0]
            };
            e.from_elements(&(0..4).map(lane).collect::<Vec<_>>())
        };
        self.items(e, tile.rows * across).into_iter().map(value).collect()
    }

    fn keep_activations(&self, e: &Emitter<'c, 'a>, half: V<'c, 'a>, values: &[V<'c, 'a>]) {
        let tile = self.tile;
        let across = tile.depth / 4;
        let first = e.mul_c(half, tile.vectors().0);
        self.each(e, tile.rows * across, values, |e, i, value| {
            let (local, four) = e.div_rem_c(i, across);
            let at = e.add(first, e.add(e.mul_c(local, tile.pitch()), four));
            e.store(*value, self.workgroup.shared[0], &[at]);
        });
    }

    /// Where a thread's item of columns `k..k + BK` of the depth of weights `column..column + BN` is: packed rows, unit and
    /// thread of the weight, then the columns of the depth and the four of weights in the tile.
    fn place(
        &self,
        e: &Emitter<'c, 'a>,
        weight: &Weight<'c, 'a>,
        column: V<'c, 'a>,
        k: V<'c, 'a>,
        item: V<'c, 'a>,
    ) -> ([V<'c, 'a>; 3], V<'c, 'a>, V<'c, 'a>) {
        let (tile, kind) = (self.tile, weight.kind);
        let (count, fours) = (kind.count(), kind.fours());
        let (threads, steps) = (4 / fours, tile.depth / count);
        // Threads of a step that take its columns one after another.
        let along = kind.width() / count;
        let last_step = (self.linear.depth / kind.width()).saturating_sub(1);
        let last_group = weight.rows.div_ceil(LANES).saturating_sub(1);
        let (rest, thread) = e.div_rem_c(item, threads);
        let (group, step) = e.div_rem_c(rest, steps);
        let at = e.add(e.div_rem_c(k, count).0, step);
        let (unit, place) = e.div_rem_c(at, along);
        // Past the end anything will do: x is zero there, or the column is not stored.
        let unit = e.min(unit, e.ci(last_step));
        let packed = e.min(e.add(e.div_rem_c(column, LANES).0, group), e.ci(last_group));
        let four = e.add(e.mul_c(group, LANES / 4), e.mul_c(thread, fours));
        ([packed, unit, e.add(e.mul_c(place, threads), thread)], e.mul_c(step, count), four)
    }

    /// Items of a part of a weight.
    fn weight_items(&self, weight: &Weight<'c, 'a>) -> usize {
        let kind = weight.kind;
        self.tile.columns / LANES * (self.tile.depth / kind.count()) * (4 / kind.fours())
    }

    /// What this thread loads of a part of a weight, for each of its items.
    fn fetch_weights(
        &self,
        e: &Emitter<'c, 'a>,
        weight: &Weight<'c, 'a>,
        column: V<'c, 'a>,
        k: V<'c, 'a>,
    ) -> Vec<Vec<V<'c, 'a>>> {
        let fetch = |item| {
            let ([packed, unit, thread], ..) = self.place(e, weight, column, k, item);
            weight.fetch(e, packed, unit, thread)
        };
        self.items(e, self.weight_items(weight)).into_iter().map(fetch).collect()
    }

    #[allow(clippy::too_many_arguments)]
    fn keep_weights(
        &self,
        e: &Emitter<'c, 'a>,
        weight: &Weight<'c, 'a>,
        memory: V<'c, 'a>,
        half: V<'c, 'a>,
        column: V<'c, 'a>,
        k: V<'c, 'a>,
        fetched: &[Vec<V<'c, 'a>>],
    ) {
        let first = e.mul_c(half, self.tile.vectors().1);
        self.each(e, self.weight_items(weight), fetched, |e, item, fetched| {
            let ([packed, unit, thread], depth, four) = self.place(e, weight, column, k, item);
            let slice = weight.decode(e, packed, unit, thread, fetched);
            let first = e.add(first, four);
            for (c, values) in slice.weights(e).into_iter().enumerate() {
                let row = e.mul_c(e.add_c(depth, c), self.tile.columns / 4);
                for (r, value) in values.into_iter().enumerate() {
                    e.store(value, memory, &[e.add_c(e.add(first, row), r)]);
                }
            }
        });
    }

    /// The numbers of this thread's things of `count` to do; one past the last is the last.
    fn items(&self, e: &Emitter<'c, 'a>, count: usize) -> Vec<V<'c, 'a>> {
        let (thread, threads) = (self.workgroup.thread, self.workgroup.threads);
        let item = |round: usize| {
            let item = e.add_c(thread, round * threads);
            if (round + 1) * threads > count { e.min(item, e.ci(count - 1)) } else { item }
        };
        (0..count.div_ceil(threads)).map(item).collect()
    }

    /// Does this thread's things of `count`, each with what was made for it.
    fn each<T>(&self, e: &Emitter<'c, 'a>, count: usize, made: &[T], body: impl Fn(&Emitter<'c, 'a>, V<'c, 'a>, &T)) {
        let (thread, threads) = (self.workgroup.thread, self.workgroup.threads);
        for (round, made) in made.iter().enumerate() {
            let item = e.add_c(thread, round * threads);
            if (round + 1) * threads > count {
                e.if_(e.cmp(Cmp::Slt, item, e.ci(count)), |e| body(e, item, made));
            } else {
                body(e, item, made);
            }
        }
    }
}
