//! Codebooks: tables of sixteen signed bytes, indexed by 4-bit codes.
//!
//! ```text
//! bytes   replaces each byte of a word, a code, by its entry: one byte shuffle on x86 with AVX2 or AVX-512
//! entry   looks up one code per lane as an i32, on any target: the table is four words; comparisons select a word,
//!         a shift the byte
//! ```
//! `bytes` is built from `entry` where there is no byte shuffle. GPU kernels and row gathers use `entry`.

use crate::{
    emit::{Emitter, LANES, V, VectorType},
    kernels::shared::Lanes,
};
use kforge_target::ByteProducts;
use melior::ir::ValueLike;

/// Looks up the four codes of each 32-bit lane, byte by byte. Codes must be below 16.
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

/// Looks up a code below 16, given as an i32 or a vector of i32.
pub fn entry<'c, 'a>(e: &Emitter<'c, 'a>, table: &[i8; 16], code: V<'c, 'a>) -> V<'c, 'a> {
    let ty = code.r#type();
    let word = |i: usize| {
        let bytes = [table[4 * i], table[4 * i + 1], table[4 * i + 2], table[4 * i + 3]];
        e.ci_like(i32::from_le_bytes(bytes.map(|byte| byte as u8)).into(), ty)
    };
    let (low, high) = (e.select(code.lt(4), word(0), word(1)), e.select(code.lt(12), word(2), word(3)));
    let word = e.select(code.lt(8), low, high);
    // Shifts the byte to the top, so that the arithmetic shift back extends its sign.
    let left = ((code & 3) ^ 3) << 3;
    e.same("arith.shrsi", &[word << left, e.ci_like(24, ty)])
}
