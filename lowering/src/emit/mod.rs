//! A small, typed builder for kernels in upstream dialects.
//!
//! Kernels are built as `func`, `scf`, `arith`, `memref` and `vector` ops. Each method of [`Emitter`] appends one op
//! and returns its value, and so does each operator between values ([`V`]): `row * depth + k` is an `arith.muli` and an
//! `arith.addi`. On a CPU vectors always have [`LANES`] lanes; LLVM splits them into registers of the target, so that a
//! kernel and its packed weights are the same for AVX-512, AVX2, SSE and NEON. On a GPU a kernel uses scalars or vec4;
//! parallelism comes from the threads of a workgroup.

mod constants;
mod control;
mod memory;
mod operators;
mod vector;

pub use operators::Operand;

use kforge_target::Target;
use melior::{
    Context,
    ir::{
        Attribute, BlockLike, BlockRef, Identifier, Location, Region, Type, TypeLike, Value, ValueLike,
        operation::{OperationBuilder, OperationRef},
        r#type::{IntegerType, MemRefType, ShapedTypeLike},
    },
};
use std::cell::Cell;

/// Lanes of every vector a kernel computes with; the interleave of the `rows16` and `keys16` layouts.
pub const LANES: usize = 16;

/// The insertion point: the end of a block. All emitters and values of a kernel share one builder, so that an operator
/// appends to the block under construction, not to the one that defines its operands.
pub struct Builder<'c, 'a> {
    context: &'c Context,
    location: Cell<Location<'c>>,
    block: Cell<BlockRef<'c, 'a>>,
}

/// An SSA value of a kernel under construction.
#[derive(Clone, Copy)]
pub struct V<'c, 'a> {
    value: Value<'c, 'a>,
    builder: &'a Builder<'c, 'a>,
}

/// Appends ops to the block under construction.
#[derive(Clone, Copy)]
pub struct Emitter<'c, 'a> {
    builder: &'a Builder<'c, 'a>,
    pub context: &'c Context,
    /// The target of the kernel.
    pub target: Target,
    /// Lanes per value: [`LANES`], or on a GPU the vector width of a thread, where one lane is a scalar.
    pub lanes: usize,
}

impl<'c, 'a> Builder<'c, 'a> {
    /// Appends to the end of `block`.
    pub fn new(context: &'c Context, block: BlockRef<'c, 'a>, location: Location<'c>) -> Self {
        Self { context, location: Cell::new(location), block: Cell::new(block) }
    }

    fn append(
        &self,
        name: &str,
        operands: &[V<'c, 'a>],
        results: &[Type<'c>],
        attributes: &[(&str, Attribute<'c>)],
        regions: Vec<Region<'c>>,
    ) -> OperationRef<'c, 'a> {
        let operands: Vec<Value> = operands.iter().map(|operand| operand.value).collect();
        let attributes: Vec<_> =
            attributes.iter().map(|(name, value)| (Identifier::new(self.context, name), *value)).collect();
        let op = OperationBuilder::new(name, self.location.get())
            .add_operands(&operands)
            .add_results(results)
            .add_attributes(&attributes)
            .add_regions_vec(regions)
            .build()
            .expect("an op with given result types always builds");
        self.block.get().append_operation(op)
    }

    fn value(
        &'a self,
        name: &str,
        operands: &[V<'c, 'a>],
        result: Type<'c>,
        attributes: &[(&str, Attribute<'c>)],
    ) -> V<'c, 'a> {
        let op = self.append(name, operands, &[result], attributes, vec![]);
        V { value: op.result(0).expect("one result").into(), builder: self }
    }
}

impl<'c> ValueLike<'c> for V<'c, '_> {
    fn to_raw(&self) -> mlir_sys::MlirValue {
        self.value.to_raw()
    }
}

impl<'c, 'a> From<V<'c, 'a>> for Value<'c, 'a> {
    fn from(v: V<'c, 'a>) -> Self {
        v.value
    }
}

impl<'c, 'a> Emitter<'c, 'a> {
    pub fn new(builder: &'a Builder<'c, 'a>, target: Target) -> Self {
        Self { builder, context: builder.context, target, lanes: LANES }
    }

    /// The same with another number of lanes.
    pub fn with_lanes(&self, lanes: usize) -> Self {
        Self { lanes, ..*self }
    }

    /// The block under construction.
    pub fn block(&self) -> BlockRef<'c, 'a> {
        self.builder.block.get()
    }

    /// Location of the ops that are appended.
    pub fn location(&self) -> Location<'c> {
        self.builder.location.get()
    }

    pub fn set_location(&self, location: Location<'c>) {
        self.builder.location.set(location);
    }

    /// Appends what `body` emits to another block.
    pub fn inside<T>(&self, block: BlockRef<'c, 'a>, body: impl FnOnce(&Self) -> T) -> T {
        let outer = self.builder.block.replace(block);
        let result = body(self);
        self.builder.block.set(outer);
        result
    }

    /// Wraps a value that was created without an emitter.
    pub fn wrap(&self, value: impl Into<Value<'c, 'a>>) -> V<'c, 'a> {
        V { value: value.into(), builder: self.builder }
    }

    // Types.

    pub fn index(&self) -> Type<'c> {
        Type::index(self.context)
    }
    pub fn f32(&self) -> Type<'c> {
        Type::float32(self.context)
    }
    pub fn f64(&self) -> Type<'c> {
        Type::float64(self.context)
    }
    pub fn f16(&self) -> Type<'c> {
        Type::float16(self.context)
    }
    pub fn int(&self, bits: u32) -> Type<'c> {
        IntegerType::new(self.context, bits).into()
    }
    pub fn vector(&self, lanes: usize, element: Type<'c>) -> Type<'c> {
        Type::vector(&[lanes as u64], element)
    }
    /// f32 in all lanes, the type of an accumulator: `vector<16xf32>`.
    pub fn vf32(&self) -> Type<'c> {
        self.all_lanes(self.f32())
    }
    /// i32 in all lanes.
    pub fn vi32(&self) -> Type<'c> {
        self.all_lanes(self.int(32))
    }
    fn all_lanes(&self, element: Type<'c>) -> Type<'c> {
        if self.lanes == 1 { element } else { self.vector(self.lanes, element) }
    }
    /// A contiguous memref type; `None` is a dynamic leading dimension, which addressing never needs. bf16 is
    /// represented by i16: on targets without bf16 registers LLVM would pass a bf16 through f32 and call a library
    /// function to convert back.
    pub fn memref(&self, dims: &[Option<usize>], element: Type<'c>) -> Type<'c> {
        let element = if element == Type::bfloat16(self.context) { self.int(16) } else { element };
        let dims: Vec<i64> = dims.iter().map(|d| d.map_or(i64::MIN, |d| d as i64)).collect();
        MemRefType::new(element, &dims, None, None).into()
    }

    // Ops.

    /// Appends any op.
    pub fn op(
        &self,
        name: &str,
        operands: &[V<'c, 'a>],
        results: &[Type<'c>],
        attributes: &[(&str, Attribute<'c>)],
    ) -> OperationRef<'c, 'a> {
        self.builder.append(name, operands, results, attributes, vec![])
    }

    /// Appends an op of one result.
    pub fn value(
        &self,
        name: &str,
        operands: &[V<'c, 'a>],
        result: Type<'c>,
        attributes: &[(&str, Attribute<'c>)],
    ) -> V<'c, 'a> {
        self.builder.value(name, operands, result, attributes)
    }

    /// Appends an op whose result has the type of its first operand.
    pub fn same(&self, name: &str, operands: &[V<'c, 'a>]) -> V<'c, 'a> {
        self.value(name, operands, operands[0].r#type(), &[])
    }

    pub fn select(&self, condition: V<'c, 'a>, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.value("arith.select", &[condition, a, b], a.r#type(), &[])
    }

    pub fn cast(&self, name: &str, a: V<'c, 'a>, to: Type<'c>) -> V<'c, 'a> {
        self.value(name, &[a], to, &[])
    }
}

/// The element type of a memref value.
pub fn memref_element<'c>(memref: V<'c, '_>) -> Type<'c> {
    MemRefType::try_from(memref.r#type()).expect("a memref").element()
}

/// A vector type seen as a shaped type, which melior has no wrapper for.
#[derive(Clone, Copy)]
pub struct VectorType<'c>(pub Type<'c>);

impl<'c> TypeLike<'c> for VectorType<'c> {
    fn to_raw(&self) -> mlir_sys::MlirType {
        self.0.to_raw()
    }
}
impl<'c> ShapedTypeLike<'c> for VectorType<'c> {}

impl<'c> VectorType<'c> {
    pub fn element(self) -> Type<'c> {
        ShapedTypeLike::element(&self)
    }
    pub fn lanes(self) -> usize {
        // SAFETY: the wrapped type is a vector, which always has one static dimension here.
        unsafe { mlir_sys::mlirShapedTypeGetDimSize(self.0.to_raw(), 0) as usize }
    }
}
