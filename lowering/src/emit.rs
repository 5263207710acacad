//! A small, typed voice for writing kernels in upstream dialects.
//!
//! Kernels are built as `func`, `scf`, `arith`, `memref` and `vector` ops. [`Emitter`] is an insertion point: each method
//! appends one op to its block and returns the value. On a CPU lanes are always [`LANES`] wide; LLVM splits the vectors to
//! the registers of the target, so that a kernel and its packed weights read the same on AVX-512, AVX2, SSE and NEON. On a
//! GPU they are one or four, by kernel, and a workgroup's threads are what is wide.

use kforge_passes::isa::Isa;
use melior::{
    Context,
    ir::{
        Attribute, Block, BlockLike, BlockRef, Identifier, Location, Region, RegionLike, Type, TypeLike, Value,
        ValueLike,
        attribute::{
            DenseElementsAttribute, DenseI64ArrayAttribute, FlatSymbolRefAttribute, FloatAttribute, IntegerAttribute,
            StringAttribute, TypeAttribute,
        },
        operation::{OperationBuilder, OperationLike, OperationRef},
        r#type::{FunctionType, IntegerType, MemRefType, ShapedTypeLike},
    },
};

/// Lanes of every vector a kernel computes with; the interleave of the `rows16` and `keys16` layouts.
pub const LANES: usize = 16;

/// An SSA value.
pub type V<'c, 'a> = Value<'c, 'a>;

/// An insertion point at the end of a block.
#[derive(Clone, Copy)]
pub struct Emitter<'c, 'a> {
    pub context: &'c Context,
    pub block: BlockRef<'c, 'a>,
    pub location: Location<'c>,
    /// What the target's vector unit can do without a library call.
    pub isa: Isa,
    /// Lanes of a value: [`LANES`], or what a thread of a GPU computes at once, where one lane is a scalar.
    pub lanes: usize,
}

/// Integer comparison predicates of `arith.cmpi`, as the dialect numbers them.
#[derive(Clone, Copy)]
pub enum Cmp {
    Eq = 0,
    Ne = 1,
    Slt = 2,
    Sle = 3,
    Sgt = 4,
    Sge = 5,
}

impl<'c, 'a> Emitter<'c, 'a> {
    pub fn new(context: &'c Context, block: BlockRef<'c, 'a>, location: Location<'c>, isa: Isa) -> Self {
        Self { context, block, location, isa, lanes: LANES }
    }

    /// The same with other lanes.
    pub fn with_lanes(&self, lanes: usize) -> Self {
        Self { lanes, ..*self }
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
    /// All lanes as f32, the type of an accumulator: `vector<16xf32>`.
    pub fn vf32(&self) -> Type<'c> {
        self.all_lanes(self.f32())
    }
    /// All lanes as i32.
    pub fn vi32(&self) -> Type<'c> {
        self.all_lanes(self.int(32))
    }
    fn all_lanes(&self, element: Type<'c>) -> Type<'c> {
        if self.lanes == 1 { element } else { self.vector(self.lanes, element) }
    }
    /// A contiguous memref; `None` is a dynamic leading dimension, which addressing never needs. A bf16 is kept as the
    /// i16 of its bits: where LLVM has no bf16 registers it would move one through f32 and call a library to get back.
    pub fn memref(&self, dims: &[Option<usize>], element: Type<'c>) -> Type<'c> {
        let element = if element == Type::bfloat16(self.context) { self.int(16) } else { element };
        let dims: Vec<i64> = dims.iter().map(|d| d.map_or(i64::MIN, |d| d as i64)).collect();
        MemRefType::new(element, &dims, None, None).into()
    }

    // Ops.

    pub fn attributes(&self, attributes: &[(&str, Attribute<'c>)]) -> Vec<(Identifier<'c>, Attribute<'c>)> {
        attributes.iter().map(|(name, value)| (Identifier::new(self.context, name), *value)).collect()
    }

    /// Appends any op.
    pub fn op(
        &self,
        name: &str,
        operands: &[V<'c, 'a>],
        results: &[Type<'c>],
        attributes: &[(&str, Attribute<'c>)],
    ) -> OperationRef<'c, 'a> {
        let op = OperationBuilder::new(name, self.location)
            .add_operands(operands)
            .add_results(results)
            .add_attributes(&self.attributes(attributes))
            .build()
            .expect("an op with given result types always builds");
        self.block.append_operation(op)
    }

    /// Appends an op of one result.
    pub fn value(
        &self,
        name: &str,
        operands: &[V<'c, 'a>],
        result: Type<'c>,
        attributes: &[(&str, Attribute<'c>)],
    ) -> V<'c, 'a> {
        self.op(name, operands, &[result], attributes).result(0).expect("one result").into()
    }

    /// Appends an op whose result has the type of its first operand.
    pub fn same(&self, name: &str, operands: &[V<'c, 'a>]) -> V<'c, 'a> {
        self.value(name, operands, operands[0].r#type(), &[])
    }

    // Constants.

    pub fn constant(&self, value: Attribute<'c>, ty: Type<'c>) -> V<'c, 'a> {
        self.value("arith.constant", &[], ty, &[("value", value)])
    }
    pub fn ci(&self, value: usize) -> V<'c, 'a> {
        self.constant(IntegerAttribute::new(self.index(), value as i64).into(), self.index())
    }
    pub fn cint(&self, bits: u32, value: i64) -> V<'c, 'a> {
        let ty = self.int(bits);
        self.constant(IntegerAttribute::new(ty, value).into(), ty)
    }
    pub fn cf(&self, value: f32) -> V<'c, 'a> {
        self.constant(FloatAttribute::new(self.context, self.f32(), value as f64).into(), self.f32())
    }
    /// A constant of the type `like`: an f32 or i32 scalar or vector.
    pub fn cf_like(&self, value: f32, like: Type<'c>) -> V<'c, 'a> {
        let element = FloatAttribute::new(self.context, self.f32(), value as f64).into();
        if like == self.f32() {
            self.cf(value)
        } else {
            self.constant(DenseElementsAttribute::splat(like, element).into(), like)
        }
    }
    pub fn ci_like(&self, value: i64, like: Type<'c>) -> V<'c, 'a> {
        if !like.is_vector() {
            return self.constant(IntegerAttribute::new(like, value).into(), like);
        }
        let element = ShapedTypeLike::element(&VectorType(like));
        self.constant(DenseElementsAttribute::splat(like, IntegerAttribute::new(element, value).into()).into(), like)
    }
    /// All lanes of one constant.
    pub fn vf(&self, value: f32) -> V<'c, 'a> {
        self.cf_like(value, self.vf32())
    }
    /// `vector<16xf32>` of given lanes.
    pub fn vf_lanes(&self, values: &[f32]) -> V<'c, 'a> {
        let ty = self.vector(values.len(), self.f32());
        let text: Vec<String> = values.iter().map(|v| format!("0x{:08X}", v.to_bits())).collect();
        let source = format!("dense<[{}]> : {ty}", text.join(", "));
        self.constant(Attribute::parse(self.context, &source).expect("a dense literal"), ty)
    }

    /// A vector of f64 of given lanes.
    pub fn vd_lanes(&self, values: &[f64]) -> V<'c, 'a> {
        let ty = self.vector(values.len(), self.f64());
        let text: Vec<String> = values.iter().map(|v| format!("0x{:016X}", v.to_bits())).collect();
        let source = format!("dense<[{}]> : {ty}", text.join(", "));
        self.constant(Attribute::parse(self.context, &source).expect("a dense literal"), ty)
    }

    /// A vector of i32 of given lanes.
    pub fn vi_lanes(&self, values: &[i32]) -> V<'c, 'a> {
        let ty = self.vector(values.len(), self.int(32));
        let source = format!("dense<{values:?}> : {ty}");
        self.constant(Attribute::parse(self.context, &source).expect("a dense literal"), ty)
    }

    // Index arithmetic; constants fold away in canonicalisation.

    pub fn add(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.addi", &[a, b])
    }
    pub fn sub(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.subi", &[a, b])
    }
    pub fn mul(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.muli", &[a, b])
    }
    pub fn add_c(&self, a: V<'c, 'a>, b: usize) -> V<'c, 'a> {
        if b == 0 { a } else { self.add(a, self.ci(b)) }
    }
    pub fn mul_c(&self, a: V<'c, 'a>, b: usize) -> V<'c, 'a> {
        if b == 1 { a } else { self.mul(a, self.ci(b)) }
    }
    /// Unsigned quotient and remainder by a constant.
    pub fn div_rem_c(&self, a: V<'c, 'a>, b: usize) -> (V<'c, 'a>, V<'c, 'a>) {
        self.div_rem(a, self.ci(b))
    }
    pub fn div_rem(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> (V<'c, 'a>, V<'c, 'a>) {
        (self.same("arith.divui", &[a, b]), self.same("arith.remui", &[a, b]))
    }
    /// ceil(a / b) for a constant b.
    pub fn ceil_div_c(&self, a: V<'c, 'a>, b: usize) -> V<'c, 'a> {
        if b == 1 { a } else { self.div_rem_c(self.add_c(a, b - 1), b).0 }
    }
    pub fn min(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.minsi", &[a, b])
    }
    pub fn max(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.maxsi", &[a, b])
    }
    pub fn cmp(&self, predicate: Cmp, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        let i64 = self.int(64);
        let ty = a.r#type();
        let result = if ty.is_vector() { self.vector(VectorType(ty).lanes(), self.int(1)) } else { self.int(1) };
        self.value("arith.cmpi", &[a, b], result, &[("predicate", IntegerAttribute::new(i64, predicate as i64).into())])
    }
    pub fn select(&self, condition: V<'c, 'a>, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.value("arith.select", &[condition, a, b], a.r#type(), &[])
    }
    pub fn cast(&self, name: &str, a: V<'c, 'a>, to: Type<'c>) -> V<'c, 'a> {
        self.value(name, &[a], to, &[])
    }

    // f32 arithmetic on scalars and vectors.

    pub fn addf(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.addf", &[a, b])
    }
    pub fn subf(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.subf", &[a, b])
    }
    pub fn mulf(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.mulf", &[a, b])
    }
    pub fn divf(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.divf", &[a, b])
    }
    pub fn maxf(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.maxnumf", &[a, b])
    }
    pub fn minf(&self, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        self.same("arith.minnumf", &[a, b])
    }
    /// a * b + c on vectors, in one rounding where the target has FMA: `math.fma` promises that, `vector.fma` only permits
    /// it. Elsewhere two: the intrinsic would call `fmaf`.
    pub fn fma(&self, a: V<'c, 'a>, b: V<'c, 'a>, c: V<'c, 'a>) -> V<'c, 'a> {
        if self.isa.has_fma() { self.same("math.fma", &[a, b, c]) } else { self.addf(self.mulf(a, b), c) }
    }
    /// A call of an intrinsic of LLVM that no op stands for.
    pub fn intrinsic(&self, name: &str, operands: &[V<'c, 'a>], result: Type<'c>) -> V<'c, 'a> {
        let segments = Attribute::parse(self.context, &format!("array<i32: {}, 0>", operands.len()));
        let none = Attribute::parse(self.context, "array<i32>");
        let attributes = [
            ("intrin", StringAttribute::new(self.context, name).into()),
            ("operandSegmentSizes", segments.expect("segment sizes")),
            ("op_bundle_sizes", none.expect("no bundles")),
        ];
        self.value("llvm.call_intrinsic", operands, result, &attributes)
    }
    /// Asks for the cache line of an element, which need not exist.
    pub fn prefetch(&self, memref: V<'c, 'a>, at: &[V<'c, 'a>]) {
        let bool = |value: i64| IntegerAttribute::new(self.int(1), value).into();
        let attributes = [
            ("isWrite", bool(0)),
            ("localityHint", IntegerAttribute::new(self.int(32), 3).into()),
            ("isDataCache", bool(1)),
        ];
        self.op("memref.prefetch", &prepend(memref, at), &[], &attributes);
    }
    pub fn splat(&self, scalar: V<'c, 'a>) -> V<'c, 'a> {
        if self.lanes == 1 { scalar } else { self.splat_to(scalar, self.lanes) }
    }
    pub fn splat_to(&self, scalar: V<'c, 'a>, lanes: usize) -> V<'c, 'a> {
        self.value("vector.broadcast", &[scalar], self.vector(lanes, scalar.r#type()), &[])
    }
    /// Folds a vector into a scalar: kind is `add`, `maxnumf`, ...
    pub fn reduce(&self, kind: &str, vector: V<'c, 'a>) -> V<'c, 'a> {
        let kind = Attribute::parse(self.context, &format!("#vector.kind<{kind}>")).expect("a reduction kind");
        let element = VectorType(vector.r#type()).element();
        self.value("vector.reduction", &[vector], element, &[("kind", kind)])
    }
    pub fn extract(&self, vector: V<'c, 'a>, lane: usize) -> V<'c, 'a> {
        let position = DenseI64ArrayAttribute::new(self.context, &[lane as i64]).into();
        self.value("vector.extract", &[vector], VectorType(vector.r#type()).element(), &[("static_position", position)])
    }
    /// A lane that is known when the kernel runs.
    pub fn extract_at(&self, vector: V<'c, 'a>, lane: V<'c, 'a>) -> V<'c, 'a> {
        let position = DenseI64ArrayAttribute::new(self.context, &[i64::MIN]).into();
        let element = VectorType(vector.r#type()).element();
        self.value("vector.extract", &[vector, lane], element, &[("static_position", position)])
    }
    pub fn from_elements(&self, elements: &[V<'c, 'a>]) -> V<'c, 'a> {
        self.value("vector.from_elements", elements, self.vector(elements.len(), elements[0].r#type()), &[])
    }
    pub fn shuffle(&self, a: V<'c, 'a>, b: V<'c, 'a>, mask: &[i64]) -> V<'c, 'a> {
        let result = self.vector(mask.len(), VectorType(a.r#type()).element());
        self.value(
            "vector.shuffle",
            &[a, b],
            result,
            &[("mask", DenseI64ArrayAttribute::new(self.context, mask).into())],
        )
    }
    pub fn bitcast(&self, a: V<'c, 'a>, to: Type<'c>) -> V<'c, 'a> {
        self.cast(if to.is_vector() { "vector.bitcast" } else { "arith.bitcast" }, a, to)
    }

    // Memory.

    pub fn load(&self, memref: V<'c, 'a>, indices: &[V<'c, 'a>]) -> V<'c, 'a> {
        let element = memref_element(memref);
        self.value("memref.load", &prepend(memref, indices), element, &[])
    }
    pub fn store(&self, value: V<'c, 'a>, memref: V<'c, 'a>, indices: &[V<'c, 'a>]) {
        let mut operands = vec![value, memref];
        operands.extend_from_slice(indices);
        self.op("memref.store", &operands, &[], &[]);
    }
    pub fn vload(&self, memref: V<'c, 'a>, indices: &[V<'c, 'a>], lanes: usize) -> V<'c, 'a> {
        let result = self.vector(lanes, memref_element(memref));
        self.value("vector.load", &prepend(memref, indices), result, &[])
    }
    pub fn vstore(&self, value: V<'c, 'a>, memref: V<'c, 'a>, indices: &[V<'c, 'a>]) {
        let mut operands = vec![value, memref];
        operands.extend_from_slice(indices);
        self.op("vector.store", &operands, &[], &[]);
    }
    /// A mask of the first `count` lanes.
    pub fn mask(&self, count: V<'c, 'a>) -> V<'c, 'a> {
        self.value("vector.create_mask", &[count], self.vector(LANES, self.int(1)), &[])
    }
    /// Loads the lanes of `mask`, zero elsewhere, without touching memory past them.
    pub fn masked_load(&self, memref: V<'c, 'a>, indices: &[V<'c, 'a>], mask: V<'c, 'a>) -> V<'c, 'a> {
        let element = memref_element(memref);
        let ty = self.vector(LANES, element);
        let zero = if element == self.f32() || element == self.f16() {
            let zero = FloatAttribute::new(self.context, element, 0.0).into();
            self.constant(DenseElementsAttribute::splat(ty, zero).into(), ty)
        } else {
            self.ci_like(0, ty)
        };
        let mut operands = prepend(memref, indices);
        operands.extend([mask, zero]);
        self.value("vector.maskedload", &operands, ty, &[])
    }
    pub fn masked_store(&self, value: V<'c, 'a>, memref: V<'c, 'a>, indices: &[V<'c, 'a>], mask: V<'c, 'a>) {
        let mut operands = prepend(memref, indices);
        operands.extend([mask, value]);
        self.op("vector.maskedstore", &operands, &[], &[]);
    }
    /// Stack memory of a task, 64-byte aligned.
    pub fn alloca(&self, dims: &[usize], element: Type<'c>) -> V<'c, 'a> {
        let dims: Vec<_> = dims.iter().map(|d| Some(*d)).collect();
        let segments = Attribute::parse(self.context, "array<i32: 0, 0>").expect("an array literal");
        let alignment = IntegerAttribute::new(self.int(64), 64).into();
        self.value(
            "memref.alloca",
            &[],
            self.memref(&dims, element),
            &[("operandSegmentSizes", segments), ("alignment", alignment)],
        )
    }

    /// Declares a table of constants beside the functions of this block, a module's body.
    pub fn constant_table(&self, name: &str, values: &[i32]) {
        let memref = MemRefType::new(self.int(32), &[values.len() as i64], None, None).into();
        let source = format!("dense<{values:?}> : tensor<{}xi32>", values.len());
        self.op(
            "memref.global",
            &[],
            &[],
            &[
                ("sym_name", StringAttribute::new(self.context, name).into()),
                ("sym_visibility", StringAttribute::new(self.context, "private").into()),
                ("type", TypeAttribute::new(memref).into()),
                ("initial_value", Attribute::parse(self.context, &source).expect("a dense literal")),
                ("constant", Attribute::unit(self.context)),
            ],
        );
    }

    /// A table that was declared.
    pub fn get_table(&self, name: &str, length: usize) -> V<'c, 'a> {
        let memref = MemRefType::new(self.int(32), &[length as i64], None, None).into();
        self.value(
            "memref.get_global",
            &[],
            memref,
            &[("name", FlatSymbolRefAttribute::new(self.context, name).into())],
        )
    }

    // Control flow.

    fn child(&self, op: OperationRef<'c, 'a>, region: usize) -> Emitter<'c, 'a> {
        let block = op.region(region).ok().and_then(|r| r.first_block()).expect("a region with a block");
        Emitter { block, ..*self }
    }

    fn with_regions(
        &self,
        name: &str,
        operands: &[V<'c, 'a>],
        results: &[Type<'c>],
        regions: Vec<Region<'c>>,
    ) -> OperationRef<'c, 'a> {
        let op = OperationBuilder::new(name, self.location)
            .add_operands(operands)
            .add_results(results)
            .add_regions_vec(regions)
            .build()
            .expect("a structured op with given result types always builds");
        self.block.append_operation(op)
    }

    /// `scf.for iv = lower to upper step step iter_args(inits)`; the body returns the values it yields.
    pub fn for_(
        &self,
        lower: V<'c, 'a>,
        upper: V<'c, 'a>,
        step: usize,
        inits: &[V<'c, 'a>],
        body: impl FnOnce(&Emitter<'c, 'a>, V<'c, 'a>, &[V<'c, 'a>]) -> Vec<V<'c, 'a>>,
    ) -> Vec<V<'c, 'a>> {
        let types: Vec<Type<'c>> = inits.iter().map(|v| v.r#type()).collect();
        let mut arguments = vec![(self.index(), self.location)];
        arguments.extend(types.iter().map(|t| (*t, self.location)));
        let region = Region::new();
        region.append_block(Block::new(&arguments));
        let mut operands = vec![lower, upper, self.ci(step)];
        operands.extend_from_slice(inits);
        let op = self.with_regions("scf.for", &operands, &types, vec![region]);
        let inner = self.child(op, 0);
        let arguments: Vec<V> =
            (0..=inits.len()).map(|i| inner.block.argument(i).expect("an argument").into()).collect();
        let yields = body(&inner, arguments[0], &arguments[1..]);
        inner.op("scf.yield", &yields, &[], &[]);
        op.results().map(Into::into).collect()
    }

    /// A loop without carried values.
    pub fn loop_(
        &self,
        lower: V<'c, 'a>,
        upper: V<'c, 'a>,
        step: usize,
        body: impl FnOnce(&Emitter<'c, 'a>, V<'c, 'a>),
    ) {
        self.for_(lower, upper, step, &[], |e, iv, _| {
            body(e, iv);
            vec![]
        });
    }

    /// `scf.if` without results and without an else.
    pub fn if_(&self, condition: V<'c, 'a>, then: impl FnOnce(&Emitter<'c, 'a>)) {
        let region = Region::new();
        region.append_block(Block::new(&[]));
        let op = self.with_regions("scf.if", &[condition], &[], vec![region, Region::new()]);
        let inner = self.child(op, 0);
        then(&inner);
        inner.op("scf.yield", &[], &[], &[]);
    }

    /// `scf.if` with results.
    pub fn if_else(
        &self,
        condition: V<'c, 'a>,
        results: &[Type<'c>],
        then: impl FnOnce(&Emitter<'c, 'a>) -> Vec<V<'c, 'a>>,
        otherwise: impl FnOnce(&Emitter<'c, 'a>) -> Vec<V<'c, 'a>>,
    ) -> Vec<V<'c, 'a>> {
        let regions: Vec<Region> = (0..2)
            .map(|_| {
                let region = Region::new();
                region.append_block(Block::new(&[]));
                region
            })
            .collect();
        let op = self.with_regions("scf.if", &[condition], results, regions);
        let inner = self.child(op, 0);
        let yields = then(&inner);
        inner.op("scf.yield", &yields, &[], &[]);
        let inner = self.child(op, 1);
        let yields = otherwise(&inner);
        inner.op("scf.yield", &yields, &[], &[]);
        op.results().map(Into::into).collect()
    }

    /// What `body` gives of one number out of `count`, which `number` is.
    pub fn switch(
        &self,
        number: V<'c, 'a>,
        count: usize,
        results: &[Type<'c>],
        body: impl Fn(&Emitter<'c, 'a>, usize) -> Vec<V<'c, 'a>>,
    ) -> Vec<V<'c, 'a>> {
        let regions = (0..count).map(|_| {
            let region = Region::new();
            region.append_block(Block::new(&[]));
            region
        });
        // The default comes first, and is the last.
        let cases: Vec<i64> = (0..count as i64 - 1).collect();
        let op = OperationBuilder::new("scf.index_switch", self.location)
            .add_operands(&[number])
            .add_results(results)
            .add_attributes(&self.attributes(&[("cases", DenseI64ArrayAttribute::new(self.context, &cases).into())]))
            .add_regions_vec(regions.collect())
            .build()
            .expect("a structured op with given result types always builds");
        let op = self.block.append_operation(op);
        for case in 0..count {
            let inner = self.child(op, (case + 1) % count);
            let yields = body(&inner, case);
            inner.op("scf.yield", &yields, &[], &[]);
        }
        op.results().map(Into::into).collect()
    }

    /// Appends `func.func private @name(arguments)` to this block (a module's body) and returns an emitter for its body
    /// and its arguments; the caller ends it with [`ret`](Self::ret).
    pub fn func(&self, name: &str, arguments: &[Type<'c>]) -> (Emitter<'c, 'a>, Vec<V<'c, 'a>>) {
        let located: Vec<_> = arguments.iter().map(|t| (*t, self.location)).collect();
        let region = Region::new();
        region.append_block(Block::new(&located));
        let ty = FunctionType::new(self.context, arguments, &[]);
        let op = OperationBuilder::new("func.func", self.location)
            .add_attributes(&self.attributes(&[
                ("sym_name", StringAttribute::new(self.context, name).into()),
                ("sym_visibility", StringAttribute::new(self.context, "private").into()),
                ("function_type", TypeAttribute::new(ty.into()).into()),
            ]))
            .add_regions([region])
            .build()
            .expect("a function always builds");
        let op = self.block.append_operation(op);
        let inner = self.child(op, 0);
        let arguments = (0..arguments.len()).map(|i| inner.block.argument(i).expect("an argument").into()).collect();
        (inner, arguments)
    }
    pub fn ret(&self) {
        self.op("func.return", &[], &[], &[]);
    }
}

fn prepend<'c, 'a>(first: V<'c, 'a>, rest: &[V<'c, 'a>]) -> Vec<V<'c, 'a>> {
    std::iter::once(first).chain(rest.iter().copied()).collect()
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
