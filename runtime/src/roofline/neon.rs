//! Peaks of AArch64.

use super::peak::{CHAINS, F32Peak, Int8Peak};
use std::{
    arch::{aarch64::*, asm, is_aarch64_feature_detected as has},
    hint::black_box,
    mem::transmute,
};

/// AArch64 has 32 registers, and some cores four units with a latency of four.
const CHAINS_NEON: usize = 2 * CHAINS;

pub(super) fn features() -> Vec<&'static str> {
    let features = [("neon", has!("neon")), ("dotprod", has!("dotprod"))];
    features.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

pub(super) fn f32_peaks(peaks: &mut Vec<F32Peak>) {
    if has!("neon") {
        // SAFETY: NEON was detected.
        peaks.push(unsafe { F32Peak::new("fmla (NEON)", CHAINS_NEON, 4, f32_neon) });
    }
}

pub(super) fn int8_peaks(peaks: &mut Vec<Int8Peak>) {
    // SAFETY: each is constructed only if its features were detected.
    unsafe {
        if has!("dotprod") {
            peaks.push(Int8Peak::new("sdot (NEON)", CHAINS_NEON, 16, int8_dotprod));
        }
    }
}

#[target_feature(enable = "neon")]
fn f32_neon(a: &[f32; 16], b: &[f32; 16], rounds: u64) -> f32 {
    // SAFETY: both have at least four elements.
    let (a, b) = unsafe { (vld1q_f32(a.as_ptr()), vld1q_f32(b.as_ptr())) };
    // Opaque, so that the compiler does not see that the chains are equal.
    let mut chains = black_box([vdupq_n_f32(0.0); CHAINS_NEON]);
    for _ in 0..rounds {
        for x in &mut chains {
            *x = vfmaq_f32(b, *x, a);
        }
    }
    // SAFETY: a vector is its lanes.
    unsafe { transmute::<[float32x4_t; CHAINS_NEON], [f32; 4 * CHAINS_NEON]>(chains) }.iter().sum()
}

/// a is below 128, so it may be treated as signed.
#[target_feature(enable = "neon,dotprod")]
fn int8_dotprod(a: &[u8; 64], b: &[i8; 64], rounds: u64) -> i32 {
    // SAFETY: both have at least sixteen elements.
    let (a, b) = unsafe { (vld1q_s8(a.as_ptr().cast()), vld1q_s8(b.as_ptr())) };
    let mut chains = [vdupq_n_s32(0); CHAINS_NEON];
    for _ in 0..rounds {
        for x in &mut chains {
            // SAFETY: one instruction on registers. Its intrinsic, `vdotq_s32`, is not stable.
            unsafe {
                asm!("sdot {x:v}.4s, {a:v}.16b, {b:v}.16b", x = inout(vreg) *x, a = in(vreg) a, b = in(vreg) b,
                    options(pure, nomem, nostack, preserves_flags))
            };
        }
    }
    // SAFETY: a vector is its lanes.
    let lanes = unsafe { transmute::<[int32x4_t; CHAINS_NEON], [i32; 4 * CHAINS_NEON]>(chains) };
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}
