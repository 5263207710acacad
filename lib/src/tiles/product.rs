//! What a kernel of linear layers has to do: the facts that the choice of its tile depends on.

use kforge_dialect::{
    KernelAttribute, Op, QuantType,
    ir::{body, defining_op, dims, ops, string_value},
};
pub use kforge_program::Family;
use kforge_target::{Adapter, Target};
use melior::ir::{
    BlockLike, Type, TypeLike, ValueLike,
    attribute::ArrayAttribute,
    operation::{OperationLike, OperationRef},
    r#type::{RankedTensorType, ShapedTypeLike},
};

/// Lanes of a vector, columns of a row group.
pub const LANES: usize = 16;

/// Columns of a block of quantised weights, in which prefetch distances and depths are counted.
pub const BLOCK: usize = 32;

/// Most rows that a GEMV keeps in registers.
pub const GEMV_ROWS: usize = 8;

/// Stack bytes that a task's panels may take.
pub const PANEL_BYTES: usize = 1 << 20;

/// Blocks between a load and its prefetch: the sweeps in test/data/sweeps say so.
pub const AHEAD: usize = 24;

/// The same for products of integers.
pub const AHEAD_INT8: usize = 6;

/// Rows that a GEMM with a dynamic number of them is chosen for: on a CPU, and on a GPU, which takes a prompt at once.
const USUAL_ROWS: usize = 128;
const USUAL_ROWS_OF_GPU: usize = 512;

/// The linear layers behind one output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Linear layers that meet in the output's epilogue.
    pub roots: usize,
    /// N.
    pub columns: usize,
}

/// A group of linear layers, as its kernel sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// One whose tile is chosen: [`Family::Gemv`], [`Family::Gemm`] or [`Family::Mma`].
    pub family: Family,
    pub target: Target,
    /// M; `None` where it is known when called only.
    pub rows: Option<usize>,
    /// K.
    pub depth: usize,
    pub sections: Vec<Section>,
    /// Bytes of all weights.
    pub weight_bytes: usize,
    /// Every weight lies in the layout `rows16`.
    pub packed: bool,
    /// Every weight is f32 and packed, so that a GEMM reads it in place.
    pub streams: bool,
    /// Some weight is quantised.
    pub quantised: bool,
    /// Activations are in `blocks8`, products of integers.
    pub int8: bool,
    /// Activations are f16 or bf16.
    pub half: bool,
    /// A norm comes first.
    pub norm: bool,
}

impl Product {
    /// The product of a `transformer.fused` with a selected kernel; `None` if that is none whose tile is chosen, as a GPU's
    /// GEMV, which has none.
    pub fn of(fused: OperationRef, target: Target) -> Option<Product> {
        let kernel = fused.attribute("kernel").ok().and_then(KernelAttribute::from_attribute)?;
        let families: &[Family] =
            if target.is_gpu() { &[Family::Gemm, Family::Mma] } else { &[Family::Gemv, Family::Gemm] };
        let family = kernel.name.parse().ok().filter(|family| families.contains(family))?;
        let block = body(&fused)?;
        let inner = ops(block);
        let linears: Vec<_> = inner.iter().filter(|op| Op::Linear.is(*op)).collect();
        let input = linears.first()?.operand(0).ok()?;
        let shape = dims(input.r#type());
        let depth = shape.last().copied().flatten().unwrap_or(0);
        let rows = shape[..shape.len() - 1].iter().try_fold(1usize, |product, d| product.checked_mul((*d)?));
        let layouts = layouts(fused);
        let (mut weight_bytes, mut packed, mut streams, mut quantised) = (0usize, true, true, false);
        for linear in &linears {
            let weight = linear.operand(1).ok()?;
            let operand = (0..block.argument_count()).find(|i| block.argument(*i).is_ok_and(|a| weight == a.into()));
            packed &= operand.and_then(|i| layouts.get(i)).is_some_and(|l| l == "rows16");
            let bytes = match QuantType::from_type(weight.r#type()) {
                Some(q) => {
                    (streams, quantised) = (false, true);
                    q.format.bytes(q.rows, q.columns).unwrap_or(0)
                }
                None => {
                    let size = element_bytes(weight.r#type()).unwrap_or(0);
                    streams &= size == 4;
                    dims(weight.r#type()).into_iter().try_fold(size, |product, d| product.checked_mul(d?)).unwrap_or(0)
                }
            };
            weight_bytes = weight_bytes.saturating_add(bytes);
        }
        let results: Vec<Option<usize>> = fused.results().map(|r| dims(r.r#type()).last().copied().flatten()).collect();
        // Linear layers that end in one output share the registers.
        let roots = linears.len().div_ceil(results.len().max(1));
        let sections = results.into_iter().map(|columns| Section { roots, columns: columns.unwrap_or(0) });
        Some(Product {
            family,
            target,
            rows,
            depth,
            sections: sections.collect(),
            weight_bytes,
            packed,
            streams: streams && packed,
            quantised,
            int8: layouts.iter().any(|l| l == "blocks8"),
            half: element_bytes(input.r#type()) == Some(2),
            norm: defining_op(input).is_some(),
        })
    }

    /// What a GPU has; of a CPU, what every adapter has.
    pub fn adapter(&self) -> Adapter {
        self.target.adapter().unwrap_or_default()
    }

    /// M, or the number that a dynamic one stands for.
    pub fn usual_rows(&self) -> usize {
        self.rows.unwrap_or(if self.target.is_gpu() { USUAL_ROWS_OF_GPU } else { USUAL_ROWS })
    }

    /// Blocks between a load and its prefetch in a GEMV whose tile says nothing of it.
    pub fn usual_ahead(&self) -> usize {
        match (self.int8, self.quantised) {
            (true, _) => AHEAD_INT8,
            (false, true) => AHEAD,
            // Long rows of floats are what hardware prefetchers are made for.
            (false, false) => 0,
        }
    }

    /// Linear layers of one output, at most.
    pub fn together(&self) -> usize {
        self.sections.iter().map(|s| s.roots).max().unwrap_or(1).max(1)
    }

    /// Columns of the widest output.
    pub fn widest(&self) -> usize {
        self.sections.iter().map(|s| s.columns).max().unwrap_or(0)
    }

    /// Operations, a multiply-add being two.
    pub fn operations(&self) -> f64 {
        let columns: f64 = self.sections.iter().map(|s| (s.roots * s.columns) as f64).sum();
        2.0 * self.usual_rows() as f64 * self.depth as f64 * columns
    }
}

/// The names in `transformer.layouts`.
fn layouts(fused: OperationRef) -> Vec<String> {
    let Some(names) = fused.attribute("transformer.layouts").ok().and_then(|a| ArrayAttribute::try_from(a).ok()) else {
        return vec![];
    };
    (0..names.len()).filter_map(|i| string_value(names.element(i).ok()?)).collect()
}

/// Bytes of a float tensor's element.
fn element_bytes(ty: Type) -> Option<usize> {
    let element = RankedTensorType::try_from(ty).ok()?.element();
    if element.is_f32() {
        Some(4)
    } else if element.is_f16() || element.is_bf16() {
        Some(2)
    } else {
        None
    }
}
