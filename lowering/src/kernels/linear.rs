//! Linear layers: GEMV for few rows, GEMM for many, with norm, bias, activation and residual fused.
//!
//! `#transformer.kernel<"gemv", tile = [NT, NR, AHEAD]>`: a task computes NT columns for all M rows, NR columns at a
//! time. Each weight is loaded once, and used from registers; it is prefetched AHEAD blocks of 32 before its use. NR
//! defaults to NT. `#transformer.kernel<"gemm", tile = [MB, MR, NR, KC]>`: a task computes NR columns for a block of MB
//! rows, KC columns of K at a time. Weights that are not plain f32 are converted once into a panel [KC, NR] on the
//! stack, which MR rows at a time are multiplied with. KC defaults to K; if it is smaller, the task's partial sums are
//! kept in memory between blocks of K.
//! Every output element is one chain `acc = fma(w, x, acc)` with k ascending, or for quantised weights one chain over
//! blocks (`factored.rs`). This holds in both kernels and for every tile, so that a batched result equals the unbatched
//! one bit for bit.
//!
//! Activations in the layout `blocks8` are multiplied with quantised weights as integers, block by block (`int8.rs`);
//! the rest of the kernel is the same.
//!
//! Edges have no separate loops. Rows past the last are computed from the last row's data and not stored, and so are
//! column groups past the last; lanes past N are masked in the store (the packed weight has zeros there).
//!
//! A group has one *section* per output. Linear ops whose results meet in one output's epilogue are computed together
//! (gate and up under `swiglu`); those that do not (Q, K and V) are different tasks of the same launch.

use crate::{
    emit::{Emitter, LANES, V, memref_element},
    group::{Group, Partner, Result, Signature, Size, dims, element, op_name},
    kernels::{
        elementwise::{evaluate, is_elementwise},
        factored, int8,
        norm::{Norm, is_norm},
        shared::{each_lanes, load_lanes, store_lanes},
    },
    weights::{Block, Factors, Reader, Storage, Weight, unshifted},
};
use kforge_dialect::Op;
use kforge_passes::tiles::{
    cpu,
    product::{AHEAD, AHEAD_INT8, Family, PANEL_BYTES},
};
use kforge_program::{Access, Layout, layout::UNIT};
use kforge_quant::BlockFormat;
use melior::ir::{
    TypeLike, Value, ValueLike,
    operation::{OperationLike, OperationRef},
};
use std::collections::BTreeSet;

/// Rows of activations whose block sums one task computes.
const TOTALS_ROWS: usize = 8;

/// The sums of a row's blocks of one width: columns `first..first + count` of the intermediate [M, _].
#[derive(Clone, Copy)]
struct Totals {
    width: usize,
    first: usize,
    count: usize,
}

/// The linear ops that one output is computed from.
pub struct Section<'c, 'a> {
    pub output: usize,
    pub roots: Vec<OperationRef<'c, 'a>>,
    /// For each root the operand number of its bias, if it has one.
    pub biases: Vec<Option<usize>>,
    /// Columns of the output, N.
    pub columns: usize,
}

impl<'c, 'a> Section<'c, 'a> {
    /// The index of the root whose result is `value`.
    pub fn root(&self, value: Value<'c, 'a>) -> Option<usize> {
        self.roots.iter().position(|root| root.result(0).is_ok_and(|result| Value::from(result) == value))
    }
}

/// The kernel under construction.
pub struct Linear<'g, 'c, 'a> {
    group: &'g Group<'c, 'a>,
    pub sections: Vec<Section<'c, 'a>>,
    /// Operand number of the activations [M, K].
    pub input: usize,
    pub norm: Option<OperationRef<'c, 'a>>,
    /// The activations are in `blocks8`, so products are computed on integers.
    int8: bool,
    /// K.
    pub depth: usize,
    pub rows: Size,
}

/// Where activations are read from: the operand, or rows that the prologue has normalised.
#[derive(Clone, Copy)]
struct Rows<'c, 'a> {
    memref: V<'c, 'a>,
}

impl<'c, 'a> Rows<'c, 'a> {
    fn load(&self, e: &Emitter<'c, 'a>, row: V<'c, 'a>, k: V<'c, 'a>) -> V<'c, 'a> {
        e.splat(e.widen(e.load(self.memref, &[row, k])))
    }
}

/// Generates a GEMV or GEMM.
pub fn generate<'c, 'a>(group: &Group<'c, 'a>, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
    Linear::new(group)?.generate(module, name)
}

impl<'g, 'c, 'a> Linear<'g, 'c, 'a> {
    /// Analyses a group; shared by all targets.
    pub fn new(group: &'g Group<'c, 'a>) -> Result<'c, 'a, Self> {
        let mut sections = vec![];
        for (output, value) in group.yields.iter().enumerate() {
            let mut roots = vec![];
            collect_roots(group, *value, &mut roots)?;
            if roots.is_empty() {
                let message =
                    format!("has a result {output} that no linear op of its kernel makes; take it out of the group");
                return Err(group.unsupported(group.defining_op(*value), message));
            }
            let columns = dims(value.r#type()).pop().flatten();
            let columns = columns.ok_or_else(|| group.unsupported(None, "a linear's output columns must be static"))?;
            let biases = roots.iter().map(|root| group.trailing(*root, 2)).collect::<Result<_>>()?;
            sections.push(Section { output, roots, biases, columns });
        }
        let Some(first) = sections.iter().flat_map(|s| &s.roots).next().copied() else {
            return Err(group.unsupported(None, "the group has no linear op"));
        };
        let operand = |op: OperationRef<'c, 'a>, i| {
            op.operand(i).map_err(|_| group.unsupported(Some(op), "an operand is missing"))
        };
        let x = operand(first, 0)?;
        for root in sections.iter().flat_map(|s| &s.roots) {
            if operand(*root, 0)? != x {
                return Err(group.unsupported(Some(*root), "grouped linear ops must share their input"));
            }
        }
        let norm = group.defining_op(x);
        if let Some(norm) = norm.filter(|op| !is_norm(op)) {
            return Err(group.unsupported(Some(norm), format!("'{}' cannot be a linear's prologue", op_name(&norm))));
        }
        let source = norm.map_or(Ok(x), |norm| operand(norm, 0))?;
        let input =
            group.argument(source).ok_or_else(|| group.unsupported(norm, "the prologue must read an operand"))?;
        let shape = dims(source.r#type());
        let depth =
            shape.last().copied().flatten().ok_or_else(|| group.unsupported(Some(first), "K must be static"))?;
        let rows = group.size(input, 0..shape.len() - 1);
        let int8 = group.layouts[input] == "blocks8";
        Ok(Self { group, sections, input, norm, int8, depth, rows })
    }

    fn generate(&self, module: &Emitter<'c, 'a>, name: &str) -> Result<'c, 'a, Signature> {
        let group = self.group;
        let mut parameters = vec![module.index(), module.index()];
        for i in 0..group.arguments.len() {
            parameters.push(self.parameter(module, i)?);
        }
        for section in &self.sections {
            let ty = group.yields[section.output].r#type();
            parameters.push(module.memref(&[None, Some(section.columns)], element(ty)));
        }
        let totals = if group.family == Family::Gemv { vec![] } else { self.totals()? };
        let width = totals.iter().map(|totals| totals.count).sum();
        if !totals.is_empty() {
            parameters.push(module.memref(&[None, Some(width)], module.f32()));
        }
        let tasks = module.func(name, &parameters, |e, values| {
            let (task, rows, buffers) = (values[0], values[1], &values[2..]);
            match group.family {
                Family::Gemv => self.gemv(e, task, buffers),
                _ => self.gemm(e, task, rows, buffers, &totals),
            }
        })?;
        let partner = (!totals.is_empty()).then(|| {
            let name = format!("{name}_totals");
            module.func(&name, &parameters, |e, values| {
                self.emit_totals(e, values[0], values[1], &values[2..], &totals);
            });
            let tasks = self.rows.clone().ceil_div(TOTALS_ROWS);
            Partner {
                name,
                before: true,
                elements: self.rows.clone(),
                width,
                tasks,
                summary: "totals of blocks".into(),
            }
        });
        let mut access = vec![Access::Read; group.arguments.len()];
        access.extend(vec![Access::Write; self.sections.len()]);
        Ok(Signature {
            access,
            in_place: vec![None; group.yields.len()],
            scalars: vec![self.rows.clone()],
            tasks,
            summary: self.summary(),
            partner,
        })
    }

    /// The memref type of operand `i`, which depends on how the group uses it.
    fn parameter(&self, e: &Emitter<'c, 'a>, i: usize) -> Result<'c, 'a, melior::ir::Type<'c>> {
        let ty = self.group.arguments[i].r#type();
        if let Some((storage, rows, columns)) = self.group.weight(i)? {
            return Ok(storage.memref(e, rows, columns, element(ty)));
        }
        let shape = dims(ty);
        let last = shape.last().copied().flatten();
        if self.int8 && i == self.input {
            return Ok(e.memref(&[None, Some(int8::row_bytes(self.depth))], e.int(8)));
        }
        Ok(if shape.len() == 1 && i != self.input {
            e.memref(&[last], element(ty))
        } else {
            e.memref(&[None, last], element(ty))
        })
    }

    fn weight(&self, root: OperationRef<'c, 'a>, buffers: &[V<'c, 'a>]) -> Result<'c, 'a, Weight<'c, 'a>> {
        let (operand, (storage, rows, columns)) = self.stored(root)?;
        Ok(Weight { storage, rows, columns, memref: buffers[operand] })
    }

    /// The operand that is a linear op's weight, and its storage, N and K.
    pub fn stored(&self, root: OperationRef<'c, 'a>) -> Result<'c, 'a, (usize, (Storage, usize, usize))> {
        let group = self.group;
        let operand = group.operand(root, 1)?;
        let stored =
            group.weight(operand)?.ok_or_else(|| group.unsupported(Some(root), "the weight must be a matrix"))?;
        Ok((operand, stored))
    }

    /// Normalised rows `first..first + count` in stack memory, or the operand itself.
    fn prologue(&self, e: &Emitter<'c, 'a>, buffers: &[V<'c, 'a>], count: usize) -> Result<'c, 'a, Rows<'c, 'a>> {
        let source = buffers[self.input];
        let Some(op) = self.norm else { return Ok(Rows { memref: source }) };
        let norm = Norm::new(self.group, op, buffers)?;
        let scratch = e.alloca(&[count, self.depth], e.f32());
        e.loop_(e.ci(0), e.ci(count), 1, |e, row| {
            norm.emit(e, &|e, at, mask| load_lanes(e, source, &[row, at], mask), &|e, at, mask, lanes| {
                store_lanes(e, lanes, scratch, &[row, at], mask)
            });
        });
        Ok(Rows { memref: scratch })
    }

    /// Stores one row of one column group: bias, element-wise epilogue, mask.
    fn finish(
        &self,
        e: &Emitter<'c, 'a>,
        section: &Section<'c, 'a>,
        buffers: &[V<'c, 'a>],
        row: V<'c, 'a>,
        column: V<'c, 'a>,
        sums: &[V<'c, 'a>],
    ) -> Result<'c, 'a, ()> {
        let group = self.group;
        let mask = (!section.columns.is_multiple_of(LANES)).then(|| {
            let left = section.columns - column;
            e.mask(left.min(LANES))
        });
        let leaf = |value: Value<'c, 'a>| {
            if let Some(operand) = group.argument(value) {
                return Some(load_lanes(e, buffers[operand], &[row, column], mask));
            }
            let root = section.root(value)?;
            Some(match section.biases[root] {
                Some(bias) => sums[root] + load_lanes(e, buffers[bias], &[column], mask),
                None => sums[root],
            })
        };
        let lanes = evaluate(group, e, group.yields[section.output], &leaf)?;
        store_lanes(e, lanes, buffers[group.arguments.len() + section.output], &[row, column], mask);
        Ok(())
    }

    /// Emits each section, guarded by whether the task belongs to it. Returns the number of tasks.
    fn each_section(
        &self,
        e: &Emitter<'c, 'a>,
        tile: V<'c, 'a>,
        width: usize,
        mut body: impl FnMut(&Emitter<'c, 'a>, &Section<'c, 'a>, V<'c, 'a>) -> Result<'c, 'a, ()>,
    ) -> Result<'c, 'a, usize> {
        let mut first = 0;
        for section in &self.sections {
            let tiles = section.columns.div_ceil(width);
            if tiles == 0 {
                continue;
            }
            let local = tile - first;
            if self.sections.len() == 1 {
                body(e, section, local)?;
            } else {
                let is_own = tile.ge(first) & tile.lt(first + tiles);
                e.try_if(is_own, |e| body(e, section, local))?;
            }
            first += tiles;
        }
        Ok(first)
    }

    fn gemv(&self, e: &Emitter<'c, 'a>, task: V<'c, 'a>, buffers: &[V<'c, 'a>]) -> Result<'c, 'a, Size> {
        let group = self.group;
        let cpu::Tile::Gemv { rows, groups, strip, ahead } = self.tile(Family::Gemv)? else {
            return Err(group.unsupported(None, "a gemv has no such tile"));
        };
        if rows == 0 {
            return Ok(Size::Const(0));
        }
        let x = self.prologue(e, buffers, rows)?;
        let tiles = self.each_section(e, task, groups * LANES, |e, section, tile| {
            let weights = section.roots.iter().map(|r| self.weight(*r, buffers)).collect::<Result<Vec<_>>>()?;
            let strip = Strip { section, weights: &weights, groups: strip, rows, ahead };
            let first = tile * groups;
            if strip.groups == groups {
                return self.strip(e, &strip, buffers, &x, first);
            }
            let end = (first + groups).min(section.columns.div_ceil(LANES));
            let mut outcome = Ok(());
            e.loop_(first, end, strip.groups, |e, first| outcome = self.strip(e, &strip, buffers, &x, first));
            outcome
        })?;
        Ok(Size::Const(tiles))
    }

    /// Computes the columns of a GEMV that are in registers at once, starting at row group `first` of the weights.
    fn strip(
        &self,
        e: &Emitter<'c, 'a>,
        strip: &Strip<'_, 'c, 'a>,
        buffers: &[V<'c, 'a>],
        x: &Rows<'c, 'a>,
        first: V<'c, 'a>,
    ) -> Result<'c, 'a, ()> {
        let Strip { section, weights, groups, rows, ahead } = *strip;
        let last = section.columns.div_ceil(LANES) - 1;
        let indices: Vec<V> = (0..groups).map(|g| (first + g).min(last)).collect();
        // sums[root][g * rows + row]
        let sums = if self.int8 {
            let at: Vec<V> = (0..rows).map(|r| e.ci(r)).collect();
            let order = int8::Order::Stream(ahead.unwrap_or(AHEAD_INT8));
            let products = |w| Ok(int8::accumulate(e, w, self.format(w)?, &indices, x.memref, &at, order));
            weights.iter().map(products).collect::<Result<Vec<_>>>()?
        } else {
            let sums = streams(e, weights, &indices, x, rows, ahead);
            sums.ok_or_else(|| self.group.unsupported(None, "lacks the sums of a weight (compiler bug)"))?
        };
        for g in 0..groups {
            let index = first + g;
            e.try_if(index.le(last), |e| {
                (0..rows).try_for_each(|r| {
                    let sums: Vec<V> = sums.iter().map(|sums| sums[g * rows + r]).collect();
                    self.finish(e, section, buffers, e.ci(r), index * LANES, &sums)
                })
            })?;
        }
        Ok(())
    }

    /// The block sums of activations that a GEMM needs.
    fn totals(&self) -> Result<'c, 'a, Vec<Totals>> {
        let mut widths = BTreeSet::new();
        for root in self.sections.iter().flat_map(|section| &section.roots).filter(|_| !self.int8) {
            if let (_, (Storage::Quant(format), ..)) = self.stored(*root)? {
                widths.extend(factored::needs_total(format).then(|| factored::width(format)));
            }
        }
        let mut first = 0;
        let of = |width| {
            let count = self.depth / width;
            first += count;
            Totals { width, first: first - count, count }
        };
        Ok(widths.into_iter().map(of).collect())
    }

    /// Computes the block sums of [`TOTALS_ROWS`] rows.
    fn emit_totals(
        &self,
        e: &Emitter<'c, 'a>,
        task: V<'c, 'a>,
        rows: V<'c, 'a>,
        buffers: &[V<'c, 'a>],
        all: &[Totals],
    ) {
        let (x, memref) = (buffers[self.input], buffers[buffers.len() - 1]);
        let first = task * TOTALS_ROWS;
        e.loop_(first, (first + TOTALS_ROWS).min(rows), 1, |e, row| {
            for totals in all {
                e.loop_(e.ci(0), e.ci(totals.count), 1, |e, block| {
                    let first = block * totals.width;
                    let load = |at| load_lanes(e, x, &[row, first + at], None);
                    e.store(factored::total(e, totals.width, load), memref, &[row, block + totals.first]);
                });
            }
        });
    }

    fn gemm(
        &self,
        e: &Emitter<'c, 'a>,
        task: V<'c, 'a>,
        rows: V<'c, 'a>,
        buffers: &[V<'c, 'a>],
        totals: &[Totals],
    ) -> Result<'c, 'a, Size> {
        let group = self.group;
        if self.norm.is_some() {
            return Err(
                group.unsupported(self.norm, "a norm can be a gemv's prologue only; leave it out of a gemm's group")
            );
        }
        let cpu::Tile::Gemm { block, height, groups, depth } = self.tile(Family::Gemm)? else {
            return Err(group.unsupported(None, "a gemm has no such tile"));
        };
        let width = groups * LANES;
        let x = self.prologue(e, buffers, 0)?;
        let column_tiles: usize = self.sections.iter().map(|s| s.columns.div_ceil(width)).sum();
        // Neighbouring tasks share a column tile: its weights are still in the shared cache.
        let blocks = rows.ceil_div(block);
        let (tile, row_block) = task.div_rem(blocks.max(1));
        let start = row_block * block;
        let end = (start + block).min(rows);

        let totals: Vec<(Totals, V)> = totals.iter().map(|totals| (*totals, buffers[buffers.len() - 1])).collect();
        self.each_section(e, tile, width, |e, section, tile| {
            let weights = section.roots.iter().map(|r| self.weight(*r, buffers)).collect::<Result<Vec<_>>>()?;
            let first = tile * groups;
            let last = section.columns.div_ceil(LANES) - 1;
            let indices: Vec<V> = (0..groups).map(|g| (first + g).min(last)).collect();
            let panels: Vec<Panel> = weights.iter().map(|w| self.panel(e, w, groups, depth)).collect();
            let scratch = self.scratch(e, &x, height, depth);
            let tile = Tile { section, scratch, totals: &totals, indices: &indices, first, last, height, start, end };
            if depth == self.depth {
                let all = Depths { from: e.ci(0), count: depth };
                panels.iter().for_each(|panel| panel.fill(e, &indices, all));
                return each_tile(e, &tile, |e, row, at, end| {
                    let zeros = vec![e.vf(0.0); groups * height];
                    let rows = self.window(e, &tile, &x, at, all);
                    let sums = panels.iter().map(|panel| self.products(e, &tile, panel, &rows, all, &zeros));
                    let sums: Vec<Vec<V>> = sums.collect::<Result<_>>()?;
                    self.finish_tile(e, &tile, buffers, row, end, &sums)
                });
            }
            // Sums are kept in memory between blocks of K: each chain continues where the previous block left it.
            let memory = e.alloca(&[block / height, panels.len() * groups * height, LANES], e.f32());
            let place = |row: V<'c, 'a>| (row - start) / height;
            let load = |e: &Emitter<'c, 'a>, row: V<'c, 'a>, p: usize| -> Vec<V<'c, 'a>> {
                let sums = p * groups * height..(p + 1) * groups * height;
                sums.map(|i| e.vload(memory, &[place(row), e.ci(i), e.ci(0)], LANES)).collect()
            };
            let add_block = |e: &Emitter<'c, 'a>, depths: Depths<'c, 'a>, is_first: bool| {
                panels.iter().for_each(|panel| panel.fill(e, &indices, depths));
                each_tile(e, &tile, |e, row, at, _| {
                    let rows = self.window(e, &tile, &x, at, depths);
                    for (p, panel) in panels.iter().enumerate() {
                        let sums = if is_first { vec![e.vf(0.0); groups * height] } else { load(e, row, p) };
                        let sums = self.products(e, &tile, panel, &rows, depths, &sums)?;
                        for (i, sum) in sums.iter().enumerate() {
                            e.vstore(*sum, memory, &[place(row), e.ci(p * groups * height + i), e.ci(0)]);
                        }
                    }
                    Ok(())
                })
            };
            let whole = self.depth / depth * depth;
            add_block(e, Depths { from: e.ci(0), count: depth }, true)?;
            let mut outcome = Ok(());
            e.loop_(e.ci(depth), e.ci(whole), depth, |e, from| {
                outcome = add_block(e, Depths { from, count: depth }, false);
            });
            outcome?;
            if whole < self.depth {
                add_block(e, Depths { from: e.ci(whole), count: self.depth - whole }, false)?;
            }
            each_tile(e, &tile, |e, row, _, end| {
                let sums: Vec<Vec<V>> = (0..panels.len()).map(|p| load(e, row, p)).collect();
                self.finish_tile(e, &tile, buffers, row, end, &sums)
            })
        })?;
        Ok(Size::Const(column_tiles).times(self.rows.clone().ceil_div(block)))
    }

    /// Columns `depths` of rows `at` as the inner loop reads them: in place, or widened on the stack.
    fn window(
        &self,
        e: &Emitter<'c, 'a>,
        tile: &Tile<'_, 'c, 'a>,
        x: &Rows<'c, 'a>,
        at: &[V<'c, 'a>],
        depths: Depths<'c, 'a>,
    ) -> Window<'c, 'a> {
        let whole = Window { x: *x, at: at.to_vec(), depths, numbers: at.to_vec() };
        let Some(scratch) = tile.scratch else { return whole };
        for (r, row) in at.iter().enumerate() {
            each_lanes(e, depths.count, |e, k, mask| {
                let lanes = load_lanes(e, x.memref, &[*row, depths.from + k], mask);
                store_lanes(e, lanes, scratch, &[e.ci(r), k], mask);
            });
        }
        let at = (0..at.len()).map(|r| e.ci(r)).collect();
        Window { x: Rows { memref: scratch }, at, depths: Depths { from: e.ci(0), ..depths }, ..whole }
    }

    /// Adds to `sums[g * rows + r]` the product of a window of rows with a panel, over columns `depths` of K.
    fn products(
        &self,
        e: &Emitter<'c, 'a>,
        tile: &Tile<'_, 'c, 'a>,
        panel: &Panel<'c, 'a>,
        rows: &Window<'c, 'a>,
        depths: Depths<'c, 'a>,
        sums: &[V<'c, 'a>],
    ) -> Result<'c, 'a, Vec<V<'c, 'a>>> {
        let (weight, indices) = (&panel.weight, tile.indices);
        if self.int8 {
            let (format, order) = (self.format(weight)?, int8::Order::Registers);
            return Ok(int8::accumulate(e, weight, format, indices, rows.x.memref, &rows.at, order));
        }
        let PanelCopy::Codes(codes) = panel.copy else {
            return Ok(accumulate(e, panel, indices, rows, depths, (e.ci(0), depths.count), sums));
        };
        let totals = tile.totals.iter().find(|(totals, _)| totals.width == codes.width);
        let totals = totals.filter(|_| factored::needs_total(codes.format));
        if totals.is_none() && factored::needs_total(codes.format) {
            return Err(self.group.unsupported(None, "lacks the totals of its activations (compiler bug)"));
        }
        Ok(accumulate_blocks(e, panel, codes, (tile, totals), rows, depths, sums))
    }

    /// Emits the epilogue of a tile that starts at `row`; sums are `sums[root][g * height + r]`. With `end`, rows from
    /// `end` on are not stored.
    fn finish_tile(
        &self,
        e: &Emitter<'c, 'a>,
        tile: &Tile<'_, 'c, 'a>,
        buffers: &[V<'c, 'a>],
        row: V<'c, 'a>,
        end: Option<V<'c, 'a>>,
        sums: &[Vec<V<'c, 'a>>],
    ) -> Result<'c, 'a, ()> {
        let Tile { section, indices, first, last, height, .. } = *tile;
        for g in 0..indices.len() {
            let index = first + g;
            let store = |e: &Emitter<'c, 'a>, r: usize| {
                let sums: Vec<V> = sums.iter().map(|sums| sums[g * height + r]).collect();
                self.finish(e, section, buffers, row + r, index * LANES, &sums)
            };
            // A single group always exists.
            let exists = if indices.len() == 1 { e.cint(1, 1) } else { index.le(last) };
            e.try_if(exists, |e| {
                (0..height).try_for_each(|r| match end {
                    Some(end) => e.try_if((row + r).lt(end), |e| store(e, r)),
                    None => store(e, r),
                })
            })?;
        }
        Ok(())
    }

    /// Stack memory for the rows of a tile widened to f32, if they have another type: the inner loop broadcasts each
    /// element separately and would otherwise widen it each time.
    fn scratch(&self, e: &Emitter<'c, 'a>, x: &Rows<'c, 'a>, height: usize, depth: usize) -> Option<V<'c, 'a>> {
        let is_half = !self.int8 && memref_element(x.memref) != e.f32();
        (is_half && 4 * depth * height <= PANEL_BYTES / 2).then(|| e.alloca(&[height, depth], e.f32()))
    }

    /// The format of a weight that is multiplied as integers.
    fn format(&self, weight: &Weight<'c, 'a>) -> Result<'c, 'a, BlockFormat> {
        match weight.storage {
            Storage::Quant(format) => Ok(format),
            Storage::Float(_) => Err(self.group.unsupported(None, "activations in blocks8 need a quantised weight")),
        }
    }

    /// The op's tile, checked against the shape of the product.
    fn tile(&self, family: Family) -> Result<'c, 'a, cpu::Tile> {
        let streams = |root: &OperationRef<'c, 'a>| {
            let (operand, (storage, ..)) = self.stored(*root)?;
            let element = element(self.group.arguments[operand].r#type());
            Ok(storage == Storage::Float(Layout::Rows16) && element.is_f32())
        };
        let streams = self.sections.iter().flat_map(|s| &s.roots).map(streams).collect::<Result<Vec<bool>>>()?;
        let shape = cpu::Shape {
            rows: self.rows.as_const(),
            depth: self.depth,
            together: self.sections.iter().map(|s| s.roots.len()).max().unwrap_or(1),
            in_place: self.int8 || streams.into_iter().all(|streams| streams),
            int8: self.int8,
        };
        cpu::Tile::new(family, &self.group.tile, shape).map_err(|message| self.group.unsupported(None, message))
    }

    /// The source of `depth` columns of K of `groups` row groups: the weight itself, or stack memory for a copy. Scales
    /// and offsets of codes take a sixteenth more, an eighth in q6_k.
    fn panel(&self, e: &Emitter<'c, 'a>, weight: &Weight<'c, 'a>, groups: usize, depth: usize) -> Panel<'c, 'a> {
        if self.int8 || weight.streams_f32(e) {
            return Panel { weight: *weight, copy: PanelCopy::None };
        }
        let memref = e.alloca(&[depth, groups, LANES], e.f32());
        let copy = match weight.storage {
            Storage::Float(layout) => PanelCopy::Values { layout, memref },
            Storage::Quant(format) => {
                let width = factored::width(format);
                let factors = e.alloca(&[depth / width, 2, groups, LANES], e.f32());
                PanelCopy::Codes(Codes { format, width, memref, factors })
            }
        };
        Panel { weight: *weight, copy }
    }

    pub fn summary(&self) -> String {
        let roots: usize = self.sections.iter().map(|s| s.roots.len()).sum();
        let mut parts = vec![];
        parts.extend(self.norm.map(|_| "norm".to_owned()));
        let name = if self.int8 { "linear int8" } else { "linear" };
        parts.push(if roots == 1 { name.into() } else { format!("{name} x{roots}") });
        for op in &self.group.body {
            let name = op_name(op);
            if is_elementwise(&name) {
                parts.push(name.rsplit('.').next().unwrap_or_default().to_owned());
            }
        }
        parts.join("+")
    }
}

/// How a GEMV's task iterates over its columns.
#[derive(Clone, Copy)]
struct Strip<'t, 'c, 'a> {
    section: &'t Section<'c, 'a>,
    /// One for each linear op of the section.
    weights: &'t [Weight<'c, 'a>],
    /// Row groups in registers.
    groups: usize,
    /// Rows of activations.
    rows: usize,
    /// Blocks between a load and its prefetch.
    ahead: Option<usize>,
}

/// A column tile of a GEMM's task.
struct Tile<'t, 'c, 'a> {
    section: &'t Section<'c, 'a>,
    /// Rows of activations widened to f32.
    scratch: Option<V<'c, 'a>>,
    /// The block sums of activations that formats need, and the buffers that hold them.
    totals: &'t [(Totals, V<'c, 'a>)],
    /// Row groups of the weights; the first of them; and the last that exists.
    indices: &'t [V<'c, 'a>],
    first: V<'c, 'a>,
    last: usize,
    /// Rows in registers.
    height: usize,
    /// Rows of the task: `start..end`.
    start: V<'c, 'a>,
    end: V<'c, 'a>,
}

/// Columns `from..from + count` of K.
#[derive(Clone, Copy)]
struct Depths<'c, 'a> {
    from: V<'c, 'a>,
    count: usize,
}

/// Rows of activations that a tile multiplies, and the columns of K it covers.
struct Window<'c, 'a> {
    x: Rows<'c, 'a>,
    at: Vec<V<'c, 'a>>,
    depths: Depths<'c, 'a>,
    /// Row numbers in the operand.
    numbers: Vec<V<'c, 'a>>,
}

/// A weight as a GEMM reads it.
#[derive(Clone, Copy)]
struct Panel<'c, 'a> {
    /// [groups, K, 16], or blocks.
    weight: Weight<'c, 'a>,
    copy: PanelCopy<'c, 'a>,
}

/// The part of a weight that is copied to the stack: [columns of K, groups of the tile, 16] of f32.
#[derive(Clone, Copy)]
enum PanelCopy<'c, 'a> {
    /// No copy: the weight is read in place.
    None,
    /// Floats of a layout, widened.
    Values {
        layout: Layout,
        memref: V<'c, 'a>,
    },
    Codes(Codes<'c, 'a>),
}

/// The integer codes of blocks, with their scales and offsets.
#[derive(Clone, Copy)]
struct Codes<'c, 'a> {
    format: BlockFormat,
    /// Columns of a block.
    width: usize,
    memref: V<'c, 'a>,
    /// [blocks of K, (scale, offset), groups of the tile, 16] of f32.
    factors: V<'c, 'a>,
}

impl<'c, 'a> Panel<'c, 'a> {
    /// Copies columns `depths` of K to the stack, unless the weight is read in place.
    fn fill(&self, e: &Emitter<'c, 'a>, indices: &[V<'c, 'a>], depths: Depths<'c, 'a>) {
        match self.copy {
            PanelCopy::None => {}
            PanelCopy::Values { layout, memref } => self.fill_values(e, layout, memref, indices, depths),
            PanelCopy::Codes(codes) => self.fill_codes(e, codes, indices, depths),
        }
    }

    fn fill_values(
        &self,
        e: &Emitter<'c, 'a>,
        layout: Layout,
        memref: V<'c, 'a>,
        indices: &[V<'c, 'a>],
        depths: Depths<'c, 'a>,
    ) {
        for (from, to, step) in strides(depths.count) {
            e.loop_(e.ci(from), e.ci(to), step, |e, k| {
                for (g, index) in indices.iter().enumerate() {
                    let reader = self.weight.reader(e, layout, *index, depths.from + k, step, 0);
                    for i in 0..step {
                        e.vstore(reader.column(e, i), memref, &[k + i, e.ci(g), e.ci(0)]);
                    }
                }
            });
        }
    }

    fn fill_codes(&self, e: &Emitter<'c, 'a>, codes: Codes<'c, 'a>, indices: &[V<'c, 'a>], depths: Depths<'c, 'a>) {
        let Codes { format, width, memref, factors } = codes;
        let first = depths.from / UNIT;
        e.loop_(e.ci(0), e.ci(depths.count / UNIT), 1, |e, unit| {
            for (g, index) in indices.iter().enumerate() {
                let mut block = Block::new(e, self.weight.memref, format, *index, first + unit, 0);
                for i in 0..UNIT {
                    let (q, shift) = block.code(e, i);
                    let at = [unit * UNIT + i, e.ci(g), e.ci(0)];
                    e.vstore(unshifted(q, shift), memref, &at);
                }
                for number in 0..UNIT / width {
                    let at = unit * (UNIT / width) + number;
                    let Factors { scale, offset } = block.factors(e, number);
                    for (i, factor) in [Some(scale), offset].into_iter().flatten().enumerate() {
                        e.vstore(factor, factors, &[at, e.ci(i), e.ci(g), e.ci(0)]);
                    }
                }
            }
        });
    }

    /// Column `k` relative to the start of `depths`.
    fn load(&self, e: &Emitter<'c, 'a>, g: usize, index: V<'c, 'a>, depths: Depths<'c, 'a>, k: V<'c, 'a>) -> V<'c, 'a> {
        match self.copy {
            PanelCopy::None => e.vload(self.weight.memref, &[index, depths.from + k, e.ci(0)], LANES),
            PanelCopy::Values { memref, .. } | PanelCopy::Codes(Codes { memref, .. }) => {
                e.vload(memref, &[k, e.ci(g), e.ci(0)], LANES)
            }
        }
    }
}

/// Emits `body(row, rows in registers, end)` for each tile of a GEMM's task. A full tile addresses its rows by constant
/// offsets. A tile at the edge repeats its last row, and gets `end`, the first row not to store.
fn each_tile<'c, 'a>(
    e: &Emitter<'c, 'a>,
    tile: &Tile<'_, 'c, 'a>,
    mut body: impl FnMut(&Emitter<'c, 'a>, V<'c, 'a>, &[V<'c, 'a>], Option<V<'c, 'a>>) -> Result<'c, 'a, ()>,
) -> Result<'c, 'a, ()> {
    let Tile { height, start, end, .. } = *tile;
    let mut outcome = Ok(());
    e.loop_(start, end, height, |e, row| {
        let mut emit = |e: &Emitter<'c, 'a>, at: Vec<V<'c, 'a>>, end| {
            let done = body(e, row, &at, end);
            if outcome.is_ok() {
                outcome = done;
            }
        };
        let full = (row + height).le(end);
        e.if_(full, |e| emit(e, (0..height).map(|r| row + r).collect(), None));
        let edge = (row + height).gt(end);
        e.if_(edge, |e| {
            emit(e, (0..height).map(|r| (row + r).min(end - 1)).collect(), Some(end));
        });
    });
    outcome
}

/// Adds to `sums[g * rows + r]` the product of a window of rows with columns `depths` of a panel of codes, block by
/// block. `totals` are the sums of the activations of each block, where the format needs them.
fn accumulate_blocks<'c, 'a>(
    e: &Emitter<'c, 'a>,
    panel: &Panel<'c, 'a>,
    codes: Codes<'c, 'a>,
    (tile, totals): (&Tile<'_, 'c, 'a>, Option<&(Totals, V<'c, 'a>)>),
    rows: &Window<'c, 'a>,
    depths: Depths<'c, 'a>,
    sums: &[V<'c, 'a>],
) -> Vec<V<'c, 'a>> {
    let Codes { width, factors, .. } = codes;
    let height = rows.at.len();
    let first = depths.from / width;
    e.for_(e.ci(0), e.ci(depths.count / width), 1, sums, |e, block, sums| {
        let range = (block * width, width);
        let zeros = vec![e.vf(0.0); sums.len()];
        let parts = accumulate(e, panel, tile.indices, rows, depths, range, &zeros);
        let factor = |i, g| e.vload(factors, &[block, e.ci(i), e.ci(g), e.ci(0)], LANES);
        let totals: Option<Vec<V>> = totals.map(|(totals, memref)| {
            let column = first + block + totals.first;
            rows.numbers.iter().map(|row| e.load(*memref, &[*row, column])).collect()
        });
        let mut folded = vec![];
        for (g, (sums, parts)) in sums.chunks_exact(height).zip(parts.chunks_exact(height)).enumerate() {
            let (scale, offset) = (factor(0, g), totals.as_ref().map(|totals| (factor(1, g), totals)));
            for (r, (sum, part)) in sums.iter().zip(parts).enumerate() {
                let offset = offset.map(|(offset, totals)| (offset, totals[r]));
                folded.push(factored::fold(e, *sum, *part, scale, offset));
            }
        }
        folded
    })
}

/// Adds to `sums[g * rows + r]` the product of a window of rows with columns `from..from + count` of the part `depths`
/// of a panel, k ascending.
fn accumulate<'c, 'a>(
    e: &Emitter<'c, 'a>,
    panel: &Panel<'c, 'a>,
    indices: &[V<'c, 'a>],
    rows: &Window<'c, 'a>,
    depths: Depths<'c, 'a>,
    (from, count): (V<'c, 'a>, usize),
    sums: &[V<'c, 'a>],
) -> Vec<V<'c, 'a>> {
    let height = rows.at.len();
    let step = if count.is_multiple_of(4) { 4 } else { 1 };
    e.for_(from, from + count, step, sums, |e, k, carried| {
        let mut sums = carried.to_vec();
        for i in 0..step {
            let k = k + i;
            let columns: Vec<V> =
                indices.iter().enumerate().map(|(g, index)| panel.load(e, g, *index, depths, k)).collect();
            for (r, row) in rows.at.iter().enumerate() {
                let x = rows.x.load(e, *row, rows.depths.from + k);
                for (g, column) in columns.iter().enumerate() {
                    sums[g * height + r] = e.fma(*column, x, sums[g * height + r]);
                }
            }
        }
        sums
    })
}

/// Products of rows of float activations with row groups `indices` of each weight, as `sums[weight][g * rows + r]`.
/// Quantised weights share one loop, float weights another. `None` if a weight has no sums (compiler bug).
fn streams<'c, 'a>(
    e: &Emitter<'c, 'a>,
    weights: &[Weight<'c, 'a>],
    indices: &[V<'c, 'a>],
    x: &Rows<'c, 'a>,
    rows: usize,
    ahead: Option<usize>,
) -> Option<Vec<Vec<V<'c, 'a>>>> {
    let mut columns = vec![];
    let mut floats = vec![];
    for weight in weights {
        match weight.storage {
            Storage::Float(layout) => floats.push((*weight, layout)),
            Storage::Quant(format) => {
                columns.extend(indices.iter().map(|index| factored::Column { weight: *weight, format, index: *index }));
            }
        }
    }
    let quantised = factored::accumulate(e, &columns, x.memref, rows, ahead.unwrap_or(AHEAD));
    // Hardware prefetchers handle long rows of floats well, so these are not prefetched by default.
    let floats = chains(e, &floats, indices, x, rows, ahead.unwrap_or(0));
    let mut quantised = quantised.chunks_exact(indices.len() * rows);
    let mut floats = floats.chunks_exact(indices.len() * rows);
    let of = |weight: &Weight<'c, 'a>| match weight.storage {
        Storage::Quant(_) => quantised.next(),
        Storage::Float(_) => floats.next(),
    };
    weights.iter().map(of).map(|sums| sums.map(<[V]>::to_vec)).collect()
}

/// The products with float weights, as `sums[(weight * groups + g) * rows + r]`, k ascending.
fn chains<'c, 'a>(
    e: &Emitter<'c, 'a>,
    weights: &[(Weight<'c, 'a>, Layout)],
    indices: &[V<'c, 'a>],
    x: &Rows<'c, 'a>,
    rows: usize,
    ahead: usize,
) -> Vec<V<'c, 'a>> {
    let Some((first, _)) = weights.first() else { return vec![] };
    let mut sums = vec![e.vf(0.0); weights.len() * indices.len() * rows];
    for (from, to, step) in strides(first.columns) {
        sums = e.for_(e.ci(from), e.ci(to), step, &sums, |e, k, carried| {
            let mut sums = carried.to_vec();
            let readers: Vec<Reader> = weights
                .iter()
                .flat_map(|weight| indices.iter().map(move |index| (weight, index)))
                .map(|((weight, layout), index)| weight.reader(e, *layout, *index, k, step, ahead))
                .collect();
            for i in 0..step {
                let xs: Vec<V> = (0..rows).map(|r| x.load(e, e.ci(r), k + i)).collect();
                for (reader, sums) in readers.iter().zip(sums.chunks_exact_mut(rows)) {
                    let column = reader.column(e, i);
                    sums.iter_mut().zip(&xs).for_each(|(sum, x)| *sum = e.fma(column, *x, *sum));
                }
            }
            sums
        });
    }
    sums
}

/// Loops over K as (from, to, step): eight columns at a time, then single ones.
fn strides(depth: usize) -> Vec<(usize, usize, usize)> {
    let whole = depth / 8 * 8;
    let loops = [(0, whole, 8), (whole, depth, 1)];
    loops.into_iter().filter(|(from, to, _)| from < to).collect()
}

/// The linear ops that `value` is computed from through element-wise ops.
fn collect_roots<'c, 'a>(
    group: &Group<'c, 'a>,
    value: Value<'c, 'a>,
    roots: &mut Vec<OperationRef<'c, 'a>>,
) -> Result<'c, 'a, ()> {
    let Some(op) = group.defining_op(value) else { return Ok(()) };
    if Op::Linear.is(&op) {
        if !roots.contains(&op) {
            roots.push(op);
        }
        return Ok(());
    }
    match op_name(&op).as_str() {
        "arith.constant" => Ok(()),
        name if is_elementwise(name) => op.operands().try_for_each(|o| collect_roots(group, o, roots)),
        name => Err(group.unsupported(Some(op), format!("'{name}' cannot be a linear's epilogue"))),
    }
}

impl<'c, 'a> Group<'c, 'a> {
    /// Storage, N and K of operand `i`, if an op of the group uses it as a weight.
    pub fn weight(&self, i: usize) -> Result<'c, 'a, Option<(Storage, usize, usize)>> {
        let argument = self.arguments[i];
        let is_weight = self.body.iter().any(|op| {
            matches!(Op::of(op), Some(Op::Linear | Op::Embedding)) && op.operand(1).is_ok_and(|w| w == argument)
        });
        if !is_weight {
            return Ok(None);
        }
        let ty = argument.r#type();
        let packed = self.layouts[i] == "rows16";
        if let Some((format, rows, columns)) = crate::group::quant(ty) {
            if !packed {
                return Err(self.unsupported(None, "a quantised weight must have the layout rows16"));
            }
            return Ok(Some((Storage::Quant(format), rows, columns)));
        }
        match dims(ty)[..] {
            [Some(rows), Some(columns)] => {
                let layout = if packed { Layout::Rows16 } else { Layout::RowMajor };
                Ok(Some((Storage::Float(layout), rows, columns)))
            }
            _ => Err(self.unsupported(None, "a weight must be a static matrix to be compiled")),
        }
    }
}
