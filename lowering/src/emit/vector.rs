//! Vectors: multiply-add, lanes, reductions, intrinsics.

use super::{Emitter, V, VectorType};
use melior::ir::{
    Attribute, Type, TypeLike, ValueLike,
    attribute::{DenseI64ArrayAttribute, StringAttribute},
};

impl<'c, 'a> Emitter<'c, 'a> {
    /// a * b + c on vectors, rounded once if the target has FMA: `math.fma` guarantees that, `vector.fma` only permits
    /// it. Without FMA it rounds twice, as the intrinsic would call `fmaf`.
    pub fn fma(&self, a: V<'c, 'a>, b: V<'c, 'a>, c: V<'c, 'a>) -> V<'c, 'a> {
        if self.target.has_fma() { self.same("math.fma", &[a, b, c]) } else { a * b + c }
    }
    /// Calls an LLVM intrinsic that has no MLIR op.
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
    pub fn splat(&self, scalar: V<'c, 'a>) -> V<'c, 'a> {
        if self.lanes == 1 { scalar } else { self.splat_to(scalar, self.lanes) }
    }
    pub fn splat_to(&self, scalar: V<'c, 'a>, lanes: usize) -> V<'c, 'a> {
        self.value("vector.broadcast", &[scalar], self.vector(lanes, scalar.r#type()), &[])
    }
    /// Reduces a vector to a scalar; `kind` is `add`, `maxnumf`, ...
    pub fn reduce(&self, kind: &str, vector: V<'c, 'a>) -> V<'c, 'a> {
        let kind = Attribute::parse(self.context, &format!("#vector.kind<{kind}>")).expect("a reduction kind");
        let element = VectorType(vector.r#type()).element();
        self.value("vector.reduction", &[vector], element, &[("kind", kind)])
    }
    pub fn extract(&self, vector: V<'c, 'a>, lane: usize) -> V<'c, 'a> {
        let position = DenseI64ArrayAttribute::new(self.context, &[lane as i64]).into();
        self.value("vector.extract", &[vector], VectorType(vector.r#type()).element(), &[("static_position", position)])
    }
    /// Extracts a lane whose index is a run-time value.
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
}
