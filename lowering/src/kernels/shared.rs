//! Loads and stores of sixteen lanes that every kernel family uses.

use crate::{
    emit::{Emitter, LANES, V, memref_element},
    group::Size,
};

/// The sizes that a kernel takes as scalars. One that is known now costs no parameter and folds into the arithmetic.
#[derive(Default)]
pub struct Scalars {
    sizes: Vec<Size>,
}

/// A size in a kernel.
#[derive(Clone, Copy)]
pub enum Slot {
    Known(usize),
    /// The scalar of this number.
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

/// Sixteen lanes as f32; lanes outside `mask` are zero and not touched.
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

/// Runs `body(e, start, mask)` over a row of `length` elements known now: a loop of whole vectors, then the masked rest.
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

/// Folds a row of `length` elements into `inits.len()` interleaved accumulators, so that their chains overlap.
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
            carried.iter().enumerate().map(|(i, c)| body(e, e.add_c(start, i * LANES), None, *c)).collect()
        });
    }
    for (i, start) in (whole..length).step_by(LANES).enumerate() {
        let mask = (length - start < LANES).then(|| e.mask(e.ci(length - start)));
        carried[i] = body(e, e.ci(start), mask, carried[i]);
    }
    carried
}
