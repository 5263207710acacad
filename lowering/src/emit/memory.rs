//! Memory: loads and stores of elements and vectors, masks, stack memory, tables of constants.

use super::{Emitter, LANES, V, memref_element};
use melior::ir::{
    Attribute, Type,
    attribute::{
        DenseElementsAttribute, FlatSymbolRefAttribute, FloatAttribute, IntegerAttribute, StringAttribute,
        TypeAttribute,
    },
    r#type::MemRefType,
};

impl<'c, 'a> Emitter<'c, 'a> {
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
    /// Prefetches the cache line of an element; the address need not be valid.
    pub fn prefetch(&self, memref: V<'c, 'a>, at: &[V<'c, 'a>]) {
        let bool = |value: i64| IntegerAttribute::new(self.int(1), value).into();
        let attributes = [
            ("isWrite", bool(0)),
            ("localityHint", IntegerAttribute::new(self.int(32), 3).into()),
            ("isDataCache", bool(1)),
        ];
        self.op("memref.prefetch", &prepend(memref, at), &[], &attributes);
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

    /// References a table declared by [`constant_table`](Self::constant_table).
    pub fn get_table(&self, name: &str, length: usize) -> V<'c, 'a> {
        let memref = MemRefType::new(self.int(32), &[length as i64], None, None).into();
        self.value(
            "memref.get_global",
            &[],
            memref,
            &[("name", FlatSymbolRefAttribute::new(self.context, name).into())],
        )
    }
}

fn prepend<'c, 'a>(first: V<'c, 'a>, rest: &[V<'c, 'a>]) -> Vec<V<'c, 'a>> {
    std::iter::once(first).chain(rest.iter().copied()).collect()
}
