//! Codebooks: tables of sixteen signed bytes that codes of four bits choose from.
//!
//! ```text
//! bytes   each byte of a word is a code and becomes its entry: one byte shuffle on x86 with AVX2 or AVX-512
//! entry   one code a lane becomes an i32, on any target: the table is four words; comparisons choose one, shifts a byte
//! ```
//! The second is what `bytes` is made of where there is no shuffle, and what kernels of a GPU and gathers of rows use.

use crate::{
    emit::{Emitter, LANES, V, VectorType},
    kernels::shared::Lanes,
};
use kforge_target::ByteProducts;
use melior::ir::ValueLike;

/// The entries that the four codes of each 32-bit lane choose, byte by byte. Codes are below 16.
pub fn bytes<'c, 'a>(e: &Emitter<'c, 'a>, table: &[i8; 16], codes: V<'c, 'a>) -> V<'c, 'a> {
    if e.target.byte_products() == ByteProducts::Widened {
        let byte = |i: usize| (entry(e, table, (codes >> (8 * i)) & 15) & 255) << (8 * i);
        return (1..4).fold(byte(0), |word, i| word | byte(i));
    }
    let lanes = Lanes::of(e.target);
    match VectorType(codes.r#type()).lanes() {
        LANES => {
            let parts: Vec<V> = lanes.split(e, codes).iter().map(|part| lanes.lookup(e, table, *part)).collect();
            lanes.join(e, &parts)
        }
        _ => lanes.lookup(e, table, codes),
    }
}

/// The entry that a code below 16 chooses, of i32 or a vector of them.
pub fn entry<'c, 'a>(e: &Emitter<'c, 'a>, table: &[i8; 16], code: V<'c, 'a>) -> V<'c, 'a> {
    let ty = code.r#type();
    let word = |i: usize| {
        let bytes = [table[4 * i], table[4 * i + 1], table[4 * i + 2], table[4 * i + 3]];
        e.ci_like(i32::from_le_bytes(bytes.map(|byte| byte as u8)).into(), ty)
    };
    let (low, high) = (e.select(code.lt(4), word(0), word(1)), e.select(code.lt(12), word(2), word(3)));
    let word = e.select(code.lt(8), low, high);
    // The byte to the top, so that its sign fills the rest.
    let left = ((code & 3) ^ 3) << 3;
    e.same("arith.shrsi", &[word << left, e.ci_like(24, ty)])
}
