//! Helpers that every kernel family uses: sizes as scalars, loads and stores of sixteen lanes, x86 registers.

use crate::{
    emit::{Emitter, LANES, V, memref_element},
    group::Size,
};
use kforge_target::Target;
use melior::ir::Type;

/// The sizes that a kernel takes as scalars. A size known at compile time takes no parameter and folds into the
/// arithmetic.
#[derive(Default)]
pub struct Scalars {
    sizes: Vec<Size>,
}

/// A size in a kernel.
#[derive(Clone, Copy)]
pub enum Slot {
    Known(usize),
    /// The index of the scalar.
    Parameter(usize),
}

impl Scalars {
    pub fn add(&mut self, size: Size) -> Slot {
        if let Some(known) = size.as_const() {
            return Slot::Known(known);
        }
        let number = self.sizes.iter().position(|s| *s == size).unwrap_or(self.sizes.len());
        if number == self.sizes.len() {
            self.sizes.push(size);
        }
        Slot::Parameter(number)
    }
    pub fn sizes(&self) -> &[Size] {
        &self.sizes
    }
    pub fn into_sizes(self) -> Vec<Size> {
        self.sizes
    }
}

impl Slot {
    pub fn value<'c, 'a>(self, e: &Emitter<'c, 'a>, scalars: &[V<'c, 'a>]) -> V<'c, 'a> {
        match self {
            Slot::Known(size) => e.ci(size),
            Slot::Parameter(number) => scalars[number],
        }
    }
}

/// Loads sixteen lanes as f32; lanes outside `mask` are zero and their memory is not accessed.
pub fn load_lanes<'c, 'a>(
    e: &Emitter<'c, 'a>,
    memref: V<'c, 'a>,
    at: &[V<'c, 'a>],
    mask: Option<V<'c, 'a>>,
) -> V<'c, 'a> {
    e.widen(match mask {
        Some(mask) => e.masked_load(memref, at, mask),
        None => e.vload(memref, at, LANES),
    })
}

/// Stores f32 lanes, rounded to the buffer's element.
pub fn store_lanes<'c, 'a>(
    e: &Emitter<'c, 'a>,
    lanes: V<'c, 'a>,
    memref: V<'c, 'a>,
    at: &[V<'c, 'a>],
    mask: Option<V<'c, 'a>>,
) {
    let lanes = e.narrow(lanes, memref_element(memref));
    match mask {
        Some(mask) => e.masked_store(lanes, memref, at, mask),
        None => e.vstore(lanes, memref, at),
    }
}

/// Stores the first `lanes` lanes, each `stride` elements after the one before.
pub fn scatter<'c, 'a>(
    e: &Emitter<'c, 'a>,
    vector: V<'c, 'a>,
    lanes: usize,
    memref: V<'c, 'a>,
    at: V<'c, 'a>,
    stride: usize,
) {
    for lane in 0..lanes {
        e.store(e.extract(vector, lane), memref, &[at + lane * stride]);
    }
}

/// Emits `body(e, start, mask)` over a row of static `length`: a loop of whole vectors, then the masked rest.
pub fn each_lanes<'c, 'a>(
    e: &Emitter<'c, 'a>,
    length: usize,
    body: impl Fn(&Emitter<'c, 'a>, V<'c, 'a>, Option<V<'c, 'a>>),
) {
    let whole = length / LANES * LANES;
    if whole > 0 {
        e.loop_(e.ci(0), e.ci(whole), LANES, |e, start| body(e, start, None));
    }
    if whole < length {
        body(e, e.ci(whole), Some(e.mask(e.ci(length - whole))));
    }
}

/// Folds a row of `length` elements into `inits.len()` interleaved accumulators, which hides the latency of each.
pub fn fold_lanes<'c, 'a>(
    e: &Emitter<'c, 'a>,
    length: usize,
    inits: &[V<'c, 'a>],
    body: impl Fn(&Emitter<'c, 'a>, V<'c, 'a>, Option<V<'c, 'a>>, V<'c, 'a>) -> V<'c, 'a>,
) -> Vec<V<'c, 'a>> {
    let step = inits.len() * LANES;
    let whole = length / step * step;
    let mut carried = inits.to_vec();
    if whole > 0 {
        carried = e.for_(e.ci(0), e.ci(whole), step, &carried, |e, start, carried| {
            carried.iter().enumerate().map(|(i, c)| body(e, start + i * LANES, None, *c)).collect()
        });
    }
    for (i, start) in (whole..length).step_by(LANES).enumerate() {
        let mask = (length - start < LANES).then(|| e.mask(e.ci(length - start)));
        carried[i] = body(e, e.ci(start), mask, carried[i]);
    }
    carried
}

/// Sixteen lanes of 32 bits as the x86 registers that hold them, for instructions that no vector op expresses.
#[derive(Clone, Copy)]
pub struct Lanes {
    /// 32-bit lanes of a register.
    lanes: usize,
}

impl Lanes {
    pub fn of(target: Target) -> Lanes {
        Lanes { lanes: target.lanes().max(8) }
    }
    pub fn parts(self) -> usize {
        LANES / self.lanes
    }

    /// A register of integers.
    pub fn ty<'c>(self, e: &Emitter<'c, '_>, bits: usize) -> Type<'c> {
        e.vector(self.lanes * 32 / bits, e.int(bits as u32))
    }

    /// A `vector<16xi32>` as registers.
    pub fn split<'c, 'a>(self, e: &Emitter<'c, 'a>, v: V<'c, 'a>) -> Vec<V<'c, 'a>> {
        let part = |p: usize| -> Vec<i64> { (p * self.lanes..(p + 1) * self.lanes).map(|i| i as i64).collect() };
        match self.parts() {
            1 => vec![v],
            parts => (0..parts).map(|p| e.shuffle(v, v, &part(p))).collect(),
        }
    }

    /// Registers back into a vector of sixteen lanes.
    pub fn join<'c, 'a>(self, e: &Emitter<'c, 'a>, parts: &[V<'c, 'a>]) -> V<'c, 'a> {
        let all: Vec<i64> = (0..LANES as i64).collect();
        if let [low, high] = parts { e.shuffle(*low, *high, &all) } else { parts[0] }
    }

    /// Broadcasts a 32-bit value to a register.
    pub fn splat<'c, 'a>(self, e: &Emitter<'c, 'a>, value: V<'c, 'a>) -> V<'c, 'a> {
        e.splat_to(value, self.lanes)
    }

    /// Bitcasts a register to 16-bit lanes.
    pub fn halves<'c, 'a>(self, e: &Emitter<'c, 'a>, v: V<'c, 'a>) -> V<'c, 'a> {
        e.bitcast(v, self.ty(e, 16))
    }

    /// Bitcasts a register to bytes.
    pub fn bytes<'c, 'a>(self, e: &Emitter<'c, 'a>, v: V<'c, 'a>) -> V<'c, 'a> {
        e.bitcast(v, self.ty(e, 8))
    }

    /// Unsigned bytes of `a` times signed bytes of `b`, adjacent products added into 16 bits with saturation.
    pub fn maddubs<'c, 'a>(self, e: &Emitter<'c, 'a>, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        let name = if self.lanes == 16 { "llvm.x86.avx512.pmaddubs.w.512" } else { "llvm.x86.avx2.pmadd.ub.sw" };
        e.intrinsic(name, &[self.bytes(e, a), self.bytes(e, b)], self.ty(e, 16))
    }

    /// Looks up each byte of `indices`, all below 16, in a table of sixteen bytes.
    pub fn lookup<'c, 'a>(self, e: &Emitter<'c, 'a>, table: &[i8; 16], indices: V<'c, 'a>) -> V<'c, 'a> {
        let words = table.as_chunks().0.iter().map(|word: &[i8; 4]| i32::from_le_bytes(word.map(|byte| byte as u8)));
        // The instruction works on each 16-byte lane separately, so the table is repeated.
        let table: Vec<i32> = words.cycle().take(self.lanes).collect();
        let name = if self.lanes == 16 { "llvm.x86.avx512.pshuf.b.512" } else { "llvm.x86.avx2.pshuf.b" };
        let operands = [self.bytes(e, e.vi_lanes(&table)), self.bytes(e, indices)];
        e.bitcast(e.intrinsic(name, &operands, self.ty(e, 8)), self.ty(e, 32))
    }

    /// `sum` plus four adjacent products of unsigned bytes of `a` and signed bytes of `b`.
    pub fn dpbusd<'c, 'a>(self, e: &Emitter<'c, 'a>, sum: V<'c, 'a>, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        e.intrinsic("llvm.x86.avx512.vpdpbusd.512", &[sum, self.bytes(e, a), self.bytes(e, b)], self.ty(e, 32))
    }

    /// Signed 16-bit lanes of `a` times those of `b`, adjacent products added into 32 bits.
    pub fn madd<'c, 'a>(self, e: &Emitter<'c, 'a>, a: V<'c, 'a>, b: V<'c, 'a>) -> V<'c, 'a> {
        let name = if self.lanes == 16 { "llvm.x86.avx512.pmaddw.d.512" } else { "llvm.x86.avx2.pmadd.wd" };
        e.intrinsic(name, &[a, b], self.ty(e, 32))
    }
}
