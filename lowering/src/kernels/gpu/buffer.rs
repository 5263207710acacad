//! Tensors in GPU buffers, accessed one element or four at a time.
//!
//! f16 is an element type if the adapter supports it. If it does not, and for bf16, which WGSL lacks, two values share
//! a 32-bit word. Two threads cannot write halves of one word safely, so such buffers are read-only.

use crate::emit::{Emitter, V, VectorType, memref_element};
use kforge_target::Adapter;
use melior::ir::{Type, TypeLike};

/// How the elements of a buffer are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// f32, i32 or f16 elements.
    Plain,
    /// Two f16 per 32-bit word.
    Halves,
    /// Two bf16 per 32-bit word.
    Bf16Halves,
}

/// A buffer seen by a kernel under construction.
#[derive(Clone, Copy)]
pub struct Buffer<'c, 'a> {
    pub memref: V<'c, 'a>,
    kept: Kept,
}

impl Kept {
    pub fn of<'c>(e: &Emitter<'c, '_>, adapter: Adapter, element: Type<'c>) -> Kept {
        if element == Type::bfloat16(e.context) {
            Kept::Bf16Halves
        } else if element == e.f16() && !adapter.f16 {
            Kept::Halves
        } else {
            Kept::Plain
        }
    }
}

/// The flat memref type of a tensor; of vec4 if `four`, in which case the number of elements must be a multiple of
/// four.
pub fn buffer_type<'c>(e: &Emitter<'c, '_>, adapter: Adapter, element: Type<'c>, four: bool) -> Type<'c> {
    match Kept::of(e, adapter, element) {
        Kept::Plain if four => e.memref(&[None], e.vector(4, element)),
        Kept::Plain => e.memref(&[None], element),
        _ => e.memref(&[None], e.int(32)),
    }
}

impl<'c, 'a> Buffer<'c, 'a> {
    /// `element` is the tensor's element type.
    pub fn new(e: &Emitter<'c, 'a>, adapter: Adapter, element: Type<'c>, memref: V<'c, 'a>) -> Self {
        Buffer { memref, kept: Kept::of(e, adapter, element) }
    }

    /// Whether the memref's elements are vec4.
    pub fn in_quads(&self) -> bool {
        memref_element(self.memref).is_vector()
    }

    /// Element `index` as f32.
    pub fn load(&self, e: &Emitter<'c, 'a>, index: V<'c, 'a>) -> V<'c, 'a> {
        self.load_by(e, index, &|at| e.load(self.memref, &[at]))
    }

    /// The same; `load` performs the memory accesses.
    pub fn load_by(&self, e: &Emitter<'c, 'a>, index: V<'c, 'a>, load: &dyn Fn(V<'c, 'a>) -> V<'c, 'a>) -> V<'c, 'a> {
        match self.kept {
            Kept::Plain if self.in_quads() => {
                let (four, lane) = index.div_rem(4);
                e.widen(e.extract_at(load(four), lane))
            }
            Kept::Plain => e.widen(load(index)),
            Kept::Halves => {
                let (word, lane) = index.div_rem(2);
                e.extract_at(e.halves_of(load(word)), lane)
            }
            Kept::Bf16Halves => {
                let (word, lane) = index.div_rem(2);
                let word = load(word);
                let odd = e.cast("arith.index_cast", lane, e.int(32));
                let shift = (1 - odd) * 16;
                let high = (word << shift) & e.cint(32, -65536);
                e.bitcast(high, e.f32())
            }
        }
    }

    /// Elements `4 index` to `4 index + 3` as f32.
    pub fn load_four(&self, e: &Emitter<'c, 'a>, index: V<'c, 'a>) -> V<'c, 'a> {
        self.load_four_by(e, index, &|at| e.load(self.memref, &[at]))
    }

    /// The same; `load` performs the memory accesses.
    pub fn load_four_by(
        &self,
        e: &Emitter<'c, 'a>,
        index: V<'c, 'a>,
        load: &dyn Fn(V<'c, 'a>) -> V<'c, 'a>,
    ) -> V<'c, 'a> {
        if self.kept == Kept::Plain && self.in_quads() {
            return e.widen(load(index));
        }
        let first = index * 4;
        let elements: Vec<V> = (0..4).map(|i| self.load_by(e, first + i, load)).collect();
        e.from_elements(&elements)
    }

    /// As many elements as `e` has lanes, one or four, starting at element `index * lanes`.
    pub fn load_lanes(&self, e: &Emitter<'c, 'a>, index: V<'c, 'a>) -> V<'c, 'a> {
        if e.lanes == 1 { self.load(e, index) } else { self.load_four(e, index) }
    }

    /// Stores an f32 or a vec4 of f32, rounded to the buffer's element type.
    pub fn store(&self, e: &Emitter<'c, 'a>, value: V<'c, 'a>, index: V<'c, 'a>) {
        let stored = memref_element(self.memref);
        let element = if stored.is_vector() { VectorType(stored).element() } else { stored };
        e.store(e.narrow(value, element), self.memref, &[index]);
    }
}

impl<'c, 'a> Emitter<'c, 'a> {
    /// Converts the two f16 of a word to f32.
    pub fn halves_of(&self, word: V<'c, 'a>) -> V<'c, 'a> {
        let word = self.splat_to(word, 1);
        let halves = self.bitcast(word, self.vector(2, self.f16()));
        self.cast("arith.extf", halves, self.vector(2, self.f32()))
    }

    /// Converts the four bytes of a word to f32; `extend` is the op that extends a byte.
    pub fn bytes_of(&self, word: V<'c, 'a>, extend: &str) -> V<'c, 'a> {
        let bytes = self.bitcast(self.splat_to(word, 1), self.vector(4, self.int(8)));
        let ints = self.cast(extend, bytes, self.vector(4, self.int(32)));
        self.cast("arith.sitofp", ints, self.vector(4, self.f32()))
    }
}
