//! Linear layers: GEMV for a few rows, GEMM for many, with norm, bias, activation and residual fused.
//!
//! `#transformer.kernel<"gemv", tile = [NR]>`: a task computes NR columns for all M rows; weights go from memory through
//! registers into the accumulators once. `#transformer.kernel<"gemm", tile = [MB, MR, NR]>`: a task computes NR columns
//! for a block of MB rows; weights that are not plain f32 are dequantised once into a panel [K, NR] on the stack, and MR
//! rows at a time accumulate against it.
//!
//! Every output element is one chain `acc = fma(w, x, acc)` with k ascending, in both, whatever the tile: a batched
//! answer equals the one computed alone, bit for bit.
//!
//! Activations in the layout `blocks8` are multiplied as integers, block by block, where the quantised weights lie
//! (`int8.rs`); everything around the products is the same.
//!
//! Edges have no loops of their own. Rows past the last are computed on the last row's data and not stored; a column
//! group past the last likewise; lanes past N are masked in the store (the packed weight has zeros there).
//!
//! A group has one *section* for each output: the linear ops whose results meet in that output's epilogue are computed
//! together (gate and up under `swiglu`), those that do not (Q, K and V) are different tasks of the same launch.

use crate::{
    emit::{Cmp, Emitter, LANES, V, memref_element},
    group::{Group, Result, Signature, Size, dims, element, op_name},
    kernels::{
        elementwise::{evaluate, is_elementwise},
        int8,
        norm::{Norm, is_norm},
        shared::{each_lanes, load_lanes, store_lanes},
    },
    weights::{Reader, Storage, Weight},
};
use kforge_program::{Access, Layout};
use kforge_quant::BlockFormat;
use melior::ir::{
    Value, ValueLike,
    operation::{OperationLike, OperationRef},
};

/// Most rows that the GEMV keeps in registers.
pub const GEMV_ROWS: usize = 8;

/// Stack bytes that a task's panel may take.
const PANEL_BYTES: usize = 1 << 20;

/// The linear ops behind one output, and where their tasks begin.
struct Section<'c, 'a> {
    output: usize,
    roots: Vec<OperationRef<'c, 'a>>,
    /// Columns of the output, N.
    columns: usize,
}

/// The kernel under construction.
struct Linear<'g, 'c, 'a> {
    group: &'g Group<'c, 'a>,
    sections: Vec<Section<'c, 'a>>,
    /// Operand number of the activations [M, K].
    input: usize,
    norm: Option<OperationRef<'c, 'a>>,
    /// The activations are in `blocks8`: products are of integers.
    int8: bool,
    /// K.
    depth: usize,
    rows: Size,
}

/// Where activations are read: the operand, or rows that the prologue normalised.
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
    fn new(group: &'g Group<'c, 'a>) -> Result<'c, 'a, Self> {
        let mut sections = vec![];
        for (output, value) in group.yields.iter().enumerate() {
            let mut roots = vec![];
            collect_roots(group, *value, &mut roots)?;
            let columns = dims(value.r#type()).pop().flatten();
            let columns = columns.ok_or_else(|| group.unsupported(None, "a linear's output columns must be static"))?;
            sections.push(Section { output, roots, columns });
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
        if let Some(norm) = norm.filter(|op| !is_norm(&op_name(op))) {
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
        if int8 && norm.is_some() {
            return Err(group.unsupported(norm, "a norm cannot read activations in blocks8"));
        }
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
        let (e, values) = module.func(name, &parameters);
        let (task, rows, buffers) = (values[0], values[1], &values[2..]);
        let tasks = match group.kernel.as_str() {
            "gemv" => self.gemv(&e, task, buffers)?,
            _ => self.gemm(&e, task, rows, buffers)?,
        };
        e.ret();
        let mut access = vec![Access::Read; group.arguments.len()];
        access.extend(vec![Access::Write; self.sections.len()]);
        Ok(Signature {
            access,
            in_place: vec![None; group.yields.len()],
            scalars: vec![self.rows.clone()],
            tasks,
            summary: self.summary(),
            second: None,
        })
    }

    /// The memref of operand `i`, by how the group uses it.
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
        let group = self.group;
        let operand = root.operand(1).ok().and_then(|w| group.argument(w));
        let operand =
            operand.ok_or_else(|| group.unsupported(Some(root), "the weight must be an operand of the group"))?;
        let (storage, rows, columns) =
            group.weight(operand)?.ok_or_else(|| group.unsupported(Some(root), "the weight must be a matrix"))?;
        Ok(Weight { storage, rows, columns, memref: buffers[operand] })
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
            let left = e.sub(e.ci(section.columns), column);
            e.mask(e.min(left, e.ci(LANES)))
        });
        let leaf = |value: Value<'c, 'a>| {
            if let Some(operand) = group.argument(value) {
                return Some(load_lanes(e, buffers[operand], &[row, column], mask));
            }
            let root = section.roots.iter().position(|r| r.result(0).is_ok_and(|r| Value::from(r) == value))?;
            let bias = kforge_dialect::ir::operand(&section.roots[root], 2).and_then(|b| group.argument(b));
            Some(match bias {
                Some(bias) => e.addf(sums[root], load_lanes(e, buffers[bias], &[column], mask)),
                None => sums[root],
            })
        };
        let lanes = evaluate(group, e, group.yields[section.output], &leaf)?;
        store_lanes(e, lanes, buffers[group.arguments.len() + section.output], &[row, column], mask);
        Ok(())
    }

    /// Emits each section under the test that the task is one of its own. Returns the number of tasks.
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
            let local = e.sub(tile, e.ci(first));
            let mut outcome = Ok(());
            if self.sections.len() == 1 {
                outcome = body(e, section, local);
            } else {
                let from = e.cmp(Cmp::Sge, tile, e.ci(first));
                let to = e.cmp(Cmp::Slt, tile, e.ci(first + tiles));
                e.if_(e.same("arith.andi", &[from, to]), |e| outcome = body(e, section, local));
            }
            outcome?;
            first += tiles;
        }
        Ok(first)
    }

    fn gemv(&self, e: &Emitter<'c, 'a>, task: V<'c, 'a>, buffers: &[V<'c, 'a>]) -> Result<'c, 'a, Size> {
        let group = self.group;
        let rows = self.rows.as_const().filter(|m| *m <= GEMV_ROWS);
        let rows = rows
            .ok_or_else(|| group.unsupported(None, format!("gemv takes a static 0 to {GEMV_ROWS} rows; use gemm")))?;
        let [width] = group.tile[..] else {
            return Err(group.unsupported(None, "gemv's tile is [NR]: columns of a task"));
        };
        let groups = self.groups(width)?;
        if rows == 0 {
            return Ok(Size::Const(0));
        }
        let x = self.prologue(e, buffers, rows)?;
        let tiles = self.each_section(e, task, width, |e, section, tile| {
            let weights = section.roots.iter().map(|r| self.weight(*r, buffers)).collect::<Result<Vec<_>>>()?;
            let first = e.mul_c(tile, groups);
            let last = section.columns.div_ceil(LANES) - 1;
            let indices: Vec<V> = (0..groups).map(|g| e.min(e.add_c(first, g), e.ci(last))).collect();
            // sums[(root * groups + g) * rows + row]
            let mut sums = vec![e.vf(0.0); weights.len() * groups * rows];
            if self.int8 {
                let at: Vec<V> = (0..rows).map(|r| e.ci(r)).collect();
                let products =
                    |w| Ok(int8::accumulate(e, w, self.format(w)?, &indices, x.memref, &at, int8::Order::Stream));
                sums = weights.iter().map(products).collect::<Result<Vec<_>>>()?.concat();
            }
            let strides = if self.int8 { vec![] } else { strides(&weights, self.depth) };
            for (from, to, step) in strides {
                sums = e.for_(e.ci(from), e.ci(to), step, &sums, |e, k, carried| {
                    let mut sums = carried.to_vec();
                    let mut readers: Vec<Reader> = weights
                        .iter()
                        .flat_map(|weight| indices.iter().map(move |index| (weight, index)))
                        .map(|(weight, index)| weight.reader(e, *index, k))
                        .collect();
                    for i in 0..step {
                        let xs: Vec<V> = (0..rows).map(|r| x.load(e, e.ci(r), e.add_c(k, i))).collect();
                        for (reader, sums) in readers.iter_mut().zip(sums.chunks_exact_mut(rows)) {
                            let column = reader.column(e, i);
                            for (sum, x) in sums.iter_mut().zip(&xs) {
                                *sum = e.fma(column, *x, *sum);
                            }
                        }
                    }
                    sums
                });
            }
            for g in 0..groups {
                let index = e.add_c(first, g);
                let mut outcome = Ok(());
                e.if_(e.cmp(Cmp::Sle, index, e.ci(last)), |e| {
                    outcome = (0..rows).try_for_each(|r| {
                        let sums: Vec<V> = (0..weights.len()).map(|w| sums[(w * groups + g) * rows + r]).collect();
                        self.finish(e, section, buffers, e.ci(r), e.mul_c(index, LANES), &sums)
                    });
                });
                outcome?;
            }
            Ok(())
        })?;
        Ok(Size::Const(tiles))
    }

    fn gemm(
        &self,
        e: &Emitter<'c, 'a>,
        task: V<'c, 'a>,
        rows: V<'c, 'a>,
        buffers: &[V<'c, 'a>],
    ) -> Result<'c, 'a, Size> {
        let group = self.group;
        let [block, height, width] = group.tile[..] else {
            return Err(
                group.unsupported(None, "gemm's tile is [MB, MR, NR]: rows of a task, rows and columns in registers")
            );
        };
        if height == 0 || block == 0 || block % height != 0 {
            return Err(group.unsupported(None, "gemm's MB must be a positive multiple of MR"));
        }
        if self.norm.is_some() {
            return Err(
                group.unsupported(self.norm, "a norm can be a gemv's prologue only; leave it out of a gemm's group")
            );
        }
        let groups = self.groups(width)?;
        let x = self.prologue(e, buffers, 0)?;
        let column_tiles: usize = self.sections.iter().map(|s| s.columns.div_ceil(width)).sum();
        // Neighbouring tasks share a column tile: its weights are still in the shared cache.
        let blocks = e.ceil_div_c(rows, block);
        let (tile, row_block) = e.div_rem(task, e.max(blocks, e.ci(1)));
        let start = e.mul_c(row_block, block);
        let end = e.min(e.add_c(start, block), rows);

        self.each_section(e, tile, width, |e, section, tile| {
            let weights = section.roots.iter().map(|r| self.weight(*r, buffers)).collect::<Result<Vec<_>>>()?;
            let first = e.mul_c(tile, groups);
            let last = section.columns.div_ceil(LANES) - 1;
            let indices: Vec<V> = (0..groups).map(|g| e.min(e.add_c(first, g), e.ci(last))).collect();
            let panels = weights.iter().map(|w| self.panel(e, w, &indices)).collect::<Result<Vec<_>>>()?;
            let mut outcome = Ok(());
            let scratch = self.scratch(e, &x, height);
            let tile = Tile { section, panels: &panels, scratch, indices: &indices, first, last, height };
            e.loop_(start, end, height, |e, row| {
                let full = e.cmp(Cmp::Sle, e.add_c(row, height), end);
                // A full tile addresses its rows by constant distances; one at the edge computes its last row again.
                e.if_(full, |e| outcome = self.tile(e, &tile, buffers, &x, row, None));
                let edge = e.cmp(Cmp::Sgt, e.add_c(row, height), end);
                e.if_(edge, |e| {
                    let done = self.tile(e, &tile, buffers, &x, row, Some(end));
                    if outcome.is_ok() {
                        outcome = done;
                    }
                });
            });
            outcome
        })?;
        Ok(Size::Const(column_tiles).times(self.rows.clone().ceil_div(block)))
    }

    /// `height` rows from `row` on against the panels: one loop over K for each linear op, so that all registers are its
    /// accumulators, then the epilogue. With `end`, rows from there on are not stored.
    fn tile(
        &self,
        e: &Emitter<'c, 'a>,
        tile: &Tile<'_, 'c, 'a>,
        buffers: &[V<'c, 'a>],
        x: &Rows<'c, 'a>,
        row: V<'c, 'a>,
        end: Option<V<'c, 'a>>,
    ) -> Result<'c, 'a, ()> {
        let Tile { section, panels, scratch, indices, first, last, height } = *tile;
        let groups = indices.len();
        let at: Vec<V> = (0..height)
            .map(|r| {
                let row = e.add_c(row, r);
                end.map_or(row, |end| e.min(row, e.sub(end, e.ci(1))))
            })
            .collect();
        let (x, at) = match scratch {
            None => (*x, at),
            Some(scratch) => {
                for (r, row) in at.iter().enumerate() {
                    each_lanes(e, self.depth, |e, k, mask| {
                        let lanes = load_lanes(e, x.memref, &[*row, k], mask);
                        store_lanes(e, lanes, scratch, &[e.ci(r), k], mask);
                    });
                }
                (Rows { memref: scratch }, (0..height).map(|r| e.ci(r)).collect())
            }
        };
        // sums[root][g * height + r]
        let products = |panel: &Panel<'c, 'a>| match panel {
            Panel::Blocks(weight) => {
                Ok(int8::accumulate(e, weight, self.format(weight)?, indices, x.memref, &at, int8::Order::Registers))
            }
            panel => Ok(self.accumulate(e, panel, indices, &x, &at)),
        };
        let sums: Vec<Vec<V>> = panels.iter().map(products).collect::<Result<_>>()?;
        for g in 0..groups {
            let index = e.add_c(first, g);
            let mut outcome = Ok(());
            let store = |e: &Emitter<'c, 'a>, r: usize| {
                let sums: Vec<V> = sums.iter().map(|sums| sums[g * height + r]).collect();
                self.finish(e, section, buffers, e.add_c(row, r), e.mul_c(index, LANES), &sums)
            };
            // A single group always exists.
            let exists = if groups == 1 { e.cint(1, 1) } else { e.cmp(Cmp::Sle, index, e.ci(last)) };
            e.if_(exists, |e| {
                for r in 0..height {
                    let Some(end) = end else {
                        if outcome.is_ok() {
                            outcome = store(e, r);
                        }
                        continue;
                    };
                    e.if_(e.cmp(Cmp::Slt, e.add_c(row, r), end), |e| {
                        let done = store(e, r);
                        if outcome.is_ok() {
                            outcome = done;
                        }
                    });
                }
            });
            outcome?;
        }
        Ok(())
    }

    /// The products of rows `at` with one panel: `sums[g * at.len() + r]`, k ascending.
    fn accumulate(
        &self,
        e: &Emitter<'c, 'a>,
        panel: &Panel<'c, 'a>,
        indices: &[V<'c, 'a>],
        x: &Rows<'c, 'a>,
        at: &[V<'c, 'a>],
    ) -> Vec<V<'c, 'a>> {
        let height = at.len();
        let step = if self.depth.is_multiple_of(4) { 4 } else { 1 };
        e.for_(e.ci(0), e.ci(self.depth), step, &vec![e.vf(0.0); indices.len() * height], |e, k, carried| {
            let mut sums = carried.to_vec();
            for i in 0..step {
                let k = e.add_c(k, i);
                let columns: Vec<V> =
                    indices.iter().enumerate().map(|(g, index)| panel.load(e, g, *index, k)).collect();
                for (r, row) in at.iter().enumerate() {
                    let x = x.load(e, *row, k);
                    for (g, column) in columns.iter().enumerate() {
                        sums[g * height + r] = e.fma(*column, x, sums[g * height + r]);
                    }
                }
            }
            sums
        })
    }

    /// Stack memory for the rows of a tile as f32, where they are something else: the inner loop broadcasts each element
    /// for itself, and would widen it there.
    fn scratch(&self, e: &Emitter<'c, 'a>, x: &Rows<'c, 'a>, height: usize) -> Option<V<'c, 'a>> {
        let is_half = !self.int8 && memref_element(x.memref) != e.f32();
        (is_half && 4 * self.depth * height <= PANEL_BYTES / 2).then(|| e.alloca(&[height, self.depth], e.f32()))
    }

    /// The format of a weight that integers are multiplied with.
    fn format(&self, weight: &Weight<'c, 'a>) -> Result<'c, 'a, BlockFormat> {
        match weight.storage {
            Storage::Quant(format) => Ok(format),
            Storage::Float(_) => Err(self.group.unsupported(None, "activations in blocks8 need a quantised weight")),
        }
    }

    /// Row groups of a tile of `width` columns.
    fn groups(&self, width: usize) -> Result<'c, 'a, usize> {
        if width == 0 || !width.is_multiple_of(LANES) {
            return Err(self
                .group
                .unsupported(None, format!("NR must be a positive multiple of {LANES}, got {width}")));
        }
        Ok(width / LANES)
    }

    /// The columns of a task's tile, as f32: the weight itself, or a dequantised copy on the stack.
    fn panel(
        &self,
        e: &Emitter<'c, 'a>,
        weight: &Weight<'c, 'a>,
        indices: &[V<'c, 'a>],
    ) -> Result<'c, 'a, Panel<'c, 'a>> {
        if self.int8 {
            return Ok(Panel::Blocks(*weight));
        }
        if weight.streams_f32(e) {
            return Ok(Panel::Weight(weight.memref));
        }
        let bytes = 4 * self.depth * indices.len() * LANES;
        if bytes > PANEL_BYTES {
            let message = format!(
                "a panel of K = {} by {} columns takes {bytes} bytes of stack, over {PANEL_BYTES}; lower NR",
                self.depth,
                indices.len() * LANES
            );
            return Err(self.group.unsupported(None, message));
        }
        let panel = e.alloca(&[self.depth, indices.len(), LANES], e.f32());
        for (from, to, step) in strides(std::slice::from_ref(weight), self.depth) {
            e.loop_(e.ci(from), e.ci(to), step, |e, k| {
                for (g, index) in indices.iter().enumerate() {
                    let mut reader = weight.reader(e, *index, k);
                    for i in 0..step {
                        e.vstore(reader.column(e, i), panel, &[e.add_c(k, i), e.ci(g), e.ci(0)]);
                    }
                }
            });
        }
        Ok(Panel::Stack(panel))
    }

    fn summary(&self) -> String {
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

/// A column tile of a GEMM's task.
struct Tile<'t, 'c, 'a> {
    section: &'t Section<'c, 'a>,
    /// One for each linear op of the section.
    panels: &'t [Panel<'c, 'a>],
    /// Rows of activations widened to f32.
    scratch: Option<V<'c, 'a>>,
    /// Row groups of the weights, the first of them, and the last that exists.
    indices: &'t [V<'c, 'a>],
    first: V<'c, 'a>,
    last: usize,
    /// Rows in registers.
    height: usize,
}

/// Where a GEMM reads weights.
#[derive(Clone, Copy)]
enum Panel<'c, 'a> {
    /// [groups, K, 16], in place.
    Weight(V<'c, 'a>),
    /// [K, groups of the tile, 16], on the stack.
    Stack(V<'c, 'a>),
    /// Quantised, for products of integers.
    Blocks(Weight<'c, 'a>),
}

impl<'c, 'a> Panel<'c, 'a> {
    fn load(&self, e: &Emitter<'c, 'a>, g: usize, index: V<'c, 'a>, k: V<'c, 'a>) -> V<'c, 'a> {
        match self {
            Panel::Weight(memref) => e.vload(*memref, &[index, k, e.ci(0)], LANES),
            Panel::Stack(memref) => e.vload(*memref, &[k, e.ci(g), e.ci(0)], LANES),
            Panel::Blocks(weight) => weight.reader(e, index, k).column(e, 0),
        }
    }
}

/// Loops over K: whole steps, then single columns. Blocks of 32 always divide K; plain floats go eight at a time.
fn strides(weights: &[Weight<'_, '_>], depth: usize) -> Vec<(usize, usize, usize)> {
    let step = weights.iter().map(Weight::step).max().unwrap_or(1).max(8);
    let whole = depth / step * step;
    let loops = [(0, whole, step), (whole, depth, 1)];
    loops.into_iter().filter(|(from, to, _)| from < to).collect()
}

/// The linear ops that `value` is computed from through element-wise ops.
fn collect_roots<'c, 'a>(
    group: &Group<'c, 'a>,
    value: Value<'c, 'a>,
    roots: &mut Vec<OperationRef<'c, 'a>>,
) -> Result<'c, 'a, ()> {
    let Some(op) = group.defining_op(value) else { return Ok(()) };
    match op_name(&op).as_str() {
        "transformer.linear" => {
            if !roots.contains(&op) {
                roots.push(op);
            }
            Ok(())
        }
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
            matches!(op_name(op).as_str(), "transformer.linear" | "transformer.embedding")
                && op.operand(1).is_ok_and(|w| w == argument)
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
