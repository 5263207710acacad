//! Peaks in portable Rust, for machines without intrinsics here: whatever the compiler generates for a loop.

use super::peak::{CHAINS, F32Peak, Int8Peak};
use std::hint::black_box;

/// 128 bits of f32, which every vector unit has.
const LANES: usize = 4;

pub(super) fn f32_peak() -> F32Peak {
    // SAFETY: it needs no CPU features.
    unsafe { F32Peak::new("multiply and add (plain Rust)", CHAINS, LANES, f32_rounds) }
}

pub(super) fn int8_peak() -> Int8Peak {
    // SAFETY: it needs no CPU features.
    unsafe { Int8Peak::new("widening multiply and add (plain Rust)", 1, 64, int8_rounds) }
}

fn f32_rounds(a: &[f32; 16], b: &[f32; 16], rounds: u64) -> f32 {
    // Opaque, so that the compiler does not see that the chains are equal.
    let mut chains = black_box([[0.0; LANES]; CHAINS]);
    for _ in 0..rounds {
        for chain in &mut chains {
            for (lane, x) in chain.iter_mut().enumerate() {
                *x = *x * a[lane] + b[lane];
            }
        }
    }
    chains.as_flattened().iter().sum()
}

fn int8_rounds(a: &[u8; 64], b: &[i8; 64], rounds: u64) -> i32 {
    let mut sum = 0i32;
    for _ in 0..rounds {
        // Opaque, so that the product is not hoisted.
        let dot: i32 = black_box(a).iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum();
        sum = sum.wrapping_add(dot);
    }
    sum
}
