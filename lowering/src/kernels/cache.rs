//! Addressing of the rows of a key or value cache, in any layout, with or without a block table.
//!
//! A cache is addressed as one flat buffer: its capacity is a run-time size, which a memref shape cannot hold in an
//! inner dimension.

use crate::{
    emit::{Emitter, LANES, V},
    group::{Group, Result, Size, dims, element},
    kernels::{
        int8::{Rounded, load_word, store_word},
        shared::{Scalars, Slot, load_lanes, scatter},
    },
};
use kforge_program::{
    Layout,
    layout::{SCALE_BYTES, UNIT},
};
use melior::ir::{Type, Value, ValueLike, operation::OperationRef};

/// Parameter type of operand `i` of a group that uses caches: a flat memref of elements, or of bytes in an 8-bit
/// layout.
pub fn parameter<'c>(e: &Emitter<'c, '_>, group: &Group<'c, '_>, i: usize) -> Type<'c> {
    let is_int8 = Layout::from_name(&group.layouts[i]).is_some_and(Layout::is_int8);
    e.memref(&[None], if is_int8 { e.int(8) } else { element(group.arguments[i].r#type()) })
}

/// A cache [B, C, H, D], or [Blocks, BlockSize, H, D] with a block table, as described by the operands of a group.
#[derive(Clone)]
pub struct CacheOperand {
    /// Number of the operand.
    pub operand: usize,
    pub layout: Layout,
    pub heads: usize,
    pub depth: usize,
    /// C or BlockSize.
    rows: Slot,
    table: Option<TableOperand>,
}

#[derive(Clone)]
struct TableOperand {
    operand: usize,
    pages: Slot,
    blocks: Slot,
}

impl CacheOperand {
    /// Reads the type and layout of operand `operand`, and its block table from operand `table`.
    ///
    /// # Errors
    /// If the heads or their size are dynamic, the layout is one for weights, or it is an 8-bit layout that the type
    /// does not fit.
    pub fn new<'c, 'a>(
        group: &Group<'c, 'a>,
        op: OperationRef<'c, 'a>,
        operand: usize,
        table: Option<usize>,
        scalars: &mut Scalars,
    ) -> Result<'c, 'a, Self> {
        let [_, _, Some(heads), Some(depth)] = dims(group.arguments[operand].r#type())[..] else {
            return Err(group.unsupported(Some(op), "keys and values need four dimensions, static heads and head size"));
        };
        let name = &group.layouts[operand];
        let layout = Layout::from_name(name).filter(|layout| *layout != Layout::Rows16);
        let layout = layout.ok_or_else(|| {
            group.unsupported(
                Some(op),
                format!(
                    "the layout of a cache is row_major, keys16, head_major, keys16_i8 or head_major_i8, not '{name}'"
                ),
            )
        })?;
        let ty = group.arguments[operand].r#type();
        if layout.is_int8() && !(depth.is_multiple_of(UNIT) && element(ty).to_string() == "f32") {
            let message = format!("the layout {name} holds f32 heads of a multiple of {UNIT} elements, not {ty}");
            return Err(group.unsupported(Some(op), message));
        }
        let table = table.map(|table| TableOperand {
            operand: table,
            pages: scalars.add(group.size(table, 1..2)),
            blocks: scalars.add(group.size(operand, 0..1)),
        });
        Ok(Self { operand, layout, heads, depth, rows: scalars.add(group.size(operand, 1..2)), table })
    }

    /// Positions that a sequence can hold.
    pub fn capacity_size(&self, group: &Group) -> Size {
        let rows = group.size(self.operand, 1..2);
        match &self.table {
            Some(table) => group.size(table.operand, 1..2).times(rows),
            None => rows,
        }
    }

    /// Whether sixteen positions, starting at a multiple of sixteen, form one vector at each element of the head.
    pub fn interleaves(&self) -> bool {
        let whole = match (&self.table, self.rows) {
            (None, _) => true,
            (Some(_), Slot::Known(block)) => block.is_multiple_of(LANES),
            (Some(_), Slot::Parameter(_)) => false,
        };
        self.layout.interleaves_keys() && whole
    }

    /// The cache as a kernel sees it: `memref` holds it, `operands` are the buffers of the group's operands.
    pub fn bind<'c, 'a>(
        &self,
        e: &Emitter<'c, 'a>,
        memref: V<'c, 'a>,
        operands: &[V<'c, 'a>],
        scalars: &[V<'c, 'a>],
    ) -> Cache<'c, 'a> {
        let table = self.table.as_ref().map(|table| Table {
            memref: operands[table.operand],
            pages: table.pages.value(e, scalars),
            blocks: table.blocks.value(e, scalars),
        });
        Cache {
            memref,
            layout: self.layout,
            heads: self.heads,
            depth: self.depth,
            rows: self.rows.value(e, scalars),
            table,
        }
    }
}

/// A cache seen by a kernel under construction.
pub struct Cache<'c, 'a> {
    /// `memref<?xT>`; of bytes in an 8-bit layout.
    pub memref: V<'c, 'a>,
    layout: Layout,
    heads: usize,
    depth: usize,
    rows: V<'c, 'a>,
    table: Option<Table<'c, 'a>>,
}

struct Table<'c, 'a> {
    memref: V<'c, 'a>,
    pages: V<'c, 'a>,
    blocks: V<'c, 'a>,
}

/// The place of a row of a cache: offsets of its first element and, in an 8-bit layout, of its first scale.
#[derive(Clone, Copy)]
pub struct Row<'c, 'a> {
    pub first: V<'c, 'a>,
    scales: Option<V<'c, 'a>>,
}

impl<'c, 'a> Cache<'c, 'a> {
    /// Positions that a sequence can hold.
    pub fn capacity(&self) -> V<'c, 'a> {
        self.table.as_ref().map_or(self.rows, |table| table.pages * self.rows)
    }

    /// Whether the rows of a head are contiguous, starting at a multiple of sixteen.
    pub fn is_contiguous(&self) -> bool {
        self.table.is_none() && self.layout != Layout::RowMajor
    }

    /// Whether elements are stored as 8-bit integers with scales.
    pub fn is_int8(&self) -> bool {
        self.layout.is_int8()
    }

    /// Distance between adjacent elements of a row, in elements.
    pub fn stride(&self) -> usize {
        if self.layout.interleaves_keys() { LANES } else { 1 }
    }

    /// Elements (bytes in an 8-bit layout) that `positions` positions of a head take, a multiple of sixteen.
    pub fn extent(&self, positions: usize) -> usize {
        match self.layout.is_int8() {
            true => positions * self.depth / UNIT * (UNIT + SCALE_BYTES),
            false => positions * self.depth,
        }
    }

    /// The place of a row; the position must be below the capacity and its block must exist.
    pub fn row(&self, e: &Emitter<'c, 'a>, sequence: V<'c, 'a>, position: V<'c, 'a>, head: V<'c, 'a>) -> Row<'c, 'a> {
        let (unit, row) = self.place(e, sequence, position);
        self.offset(unit, row, head)
    }

    /// Element `d` of a row as f32.
    pub fn element(&self, e: &Emitter<'c, 'a>, row: Row<'c, 'a>, d: V<'c, 'a>) -> V<'c, 'a> {
        let value = e.load(self.memref, &[row.first + d * self.stride()]);
        match row.scales {
            None => e.widen(value),
            Some(scales) => {
                let at = scales + d / UNIT * self.scale_stride();
                e.cast("arith.sitofp", value, e.f32()) * load_word(e, self.memref, &[at], e.f32())
            }
        }
    }

    /// `lanes` elements of a row of values from `start` on as f32, at most sixteen; those past the head are zero.
    pub fn values(&self, e: &Emitter<'c, 'a>, row: Row<'c, 'a>, start: usize, lanes: usize) -> V<'c, 'a> {
        let at = row.first + start;
        match row.scales {
            None if self.depth - start < lanes => {
                load_lanes(e, self.memref, &[at], Some(e.mask(e.ci(self.depth - start))))
            }
            None => e.widen(e.vload(self.memref, &[at], lanes)),
            Some(scales) => {
                let scale = scales + start / UNIT * self.scale_stride();
                let scale = e.splat_to(load_word(e, self.memref, &[scale], e.f32()), lanes);
                self.scaled(e, at, scale, lanes)
            }
        }
    }

    /// Element `d` of `lanes` interleaved keys as f32, starting at key `key` of the sixteen that begin at `row`.
    pub fn keys(&self, e: &Emitter<'c, 'a>, row: Row<'c, 'a>, d: V<'c, 'a>, key: usize, lanes: usize) -> V<'c, 'a> {
        let at = row.first + d * LANES + key;
        match row.scales {
            None => e.widen(e.vload(self.memref, &[at], lanes)),
            Some(scales) => {
                let scale = scales + d / UNIT * self.scale_stride();
                let scale = e.vload(self.memref, &[scale + key * SCALE_BYTES], lanes * SCALE_BYTES);
                self.scaled(e, at, e.bitcast(scale, e.vector(lanes, e.f32())), lanes)
            }
        }
    }

    /// Loads integers and multiplies them by their scales.
    fn scaled(&self, e: &Emitter<'c, 'a>, at: V<'c, 'a>, scale: V<'c, 'a>, lanes: usize) -> V<'c, 'a> {
        let codes = e.vload(self.memref, &[at], lanes);
        e.cast("arith.sitofp", codes, e.vector(lanes, e.f32())) * scale
    }

    /// Stores block `index` of a row in an 8-bit layout.
    pub fn store_block(&self, e: &Emitter<'c, 'a>, row: Row<'c, 'a>, index: usize, block: &Rounded<'c, 'a>) {
        for (half, bytes) in block.bytes(e).into_iter().enumerate() {
            let at = row.first + (index * UNIT + half * LANES) * self.stride();
            match self.stride() {
                1 => e.vstore(bytes, self.memref, &[at]),
                stride => scatter(e, bytes, LANES, self.memref, at, stride),
            }
        }
        if let Some(scales) = row.scales {
            store_word(e, block.d, self.memref, &[scales + index * self.scale_stride()]);
        }
    }

    /// Bytes between the scales of adjacent blocks of a row.
    fn scale_stride(&self) -> usize {
        SCALE_BYTES * self.stride()
    }

    /// Emits `body` with the place of a row, guarded by whether the cache has such a row.
    pub fn if_row(
        &self,
        e: &Emitter<'c, 'a>,
        sequence: V<'c, 'a>,
        position: V<'c, 'a>,
        head: V<'c, 'a>,
        body: impl FnOnce(&Emitter<'c, 'a>, Row<'c, 'a>),
    ) {
        e.if_(within(position, self.capacity()), |e| {
            let (unit, row) = self.place(e, sequence, position);
            match &self.table {
                None => body(e, self.offset(unit, row, head)),
                Some(table) => e.if_(within(unit, table.blocks), |e| body(e, self.offset(unit, row, head))),
            }
        });
    }

    /// The sequence or block that holds a position, and the row inside it.
    fn place(&self, e: &Emitter<'c, 'a>, sequence: V<'c, 'a>, position: V<'c, 'a>) -> (V<'c, 'a>, V<'c, 'a>) {
        let Some(table) = &self.table else { return (sequence, position) };
        let (page, row) = position.div_rem(self.rows);
        let block = e.load(table.memref, &[sequence * table.pages + page]);
        (e.cast("arith.index_cast", block, e.index()), row)
    }

    fn offset(&self, unit: V<'c, 'a>, row: V<'c, 'a>, head: V<'c, 'a>) -> Row<'c, 'a> {
        let floats = |first| Row { first, scales: None };
        if self.layout == Layout::RowMajor {
            let row = unit * self.rows + row;
            return floats((row * self.heads + head) * self.depth);
        }
        let padded = self.rows.ceil_div(LANES) * LANES;
        let place = (unit * self.heads + head) * padded + row;
        if self.layout == Layout::HeadMajor {
            return floats(place * self.depth);
        }
        let (group, lane) = place.div_rem(LANES);
        let group = group * self.extent(LANES);
        // Within a group, keys are interleaved; values are a row apart.
        let apart = if self.layout.interleaves_keys() { 1 } else { self.depth };
        let first = group + lane * apart;
        let scales = self.layout.is_int8().then(|| {
            let apart = if self.layout.interleaves_keys() { 1 } else { self.depth / UNIT };
            group + LANES * self.depth + lane * (apart * SCALE_BYTES)
        });
        Row { first, scales }
    }
}

/// 0 <= value < end.
fn within<'c, 'a>(value: V<'c, 'a>, end: V<'c, 'a>) -> V<'c, 'a> {
    value.ge(0) & value.lt(end)
}

/// Operand numbers of the tensors that give the position and length of each sequence's new rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sequences {
    pub positions: usize,
    /// Absent if no row is padding.
    pub lengths: Option<usize>,
}

impl Sequences {
    /// Finds the operands of the group that are an op's positions and lengths.
    pub fn new<'c, 'a>(
        group: &Group<'c, 'a>,
        op: OperationRef<'c, 'a>,
        positions: Value<'c, 'a>,
        lengths: Option<Value<'c, 'a>>,
    ) -> Result<'c, 'a, Self> {
        let lengths = lengths.map(|lengths| group.outside(op, lengths)).transpose()?;
        Ok(Self { positions: group.outside(op, positions)?, lengths })
    }

    /// Position of the first new row of a sequence, as an index.
    pub fn position<'c, 'a>(&self, e: &Emitter<'c, 'a>, operands: &[V<'c, 'a>], sequence: V<'c, 'a>) -> V<'c, 'a> {
        e.cast("arith.index_cast", e.load(operands[self.positions], &[sequence]), e.index())
    }

    /// How many of the `rows` new rows of a sequence are not padding.
    pub fn length<'c, 'a>(
        &self,
        e: &Emitter<'c, 'a>,
        operands: &[V<'c, 'a>],
        sequence: V<'c, 'a>,
        rows: V<'c, 'a>,
    ) -> V<'c, 'a> {
        match self.lengths {
            Some(lengths) => {
                let length = e.cast("arith.index_cast", e.load(operands[lengths], &[sequence]), e.index());
                length.min(rows)
            }
            None => rows,
        }
    }
}
