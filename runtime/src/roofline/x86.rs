//! Peaks of x86-64 with AVX2 and later extensions.

use super::{
    peak::{CHAINS, F32Peak, Int8Peak},
    read::{Line, Walk, sum},
};
use std::{
    arch::{asm, is_x86_feature_detected as has, x86_64::*},
    hint::black_box,
    mem::transmute,
};

/// `maddubs` and `madd` need a third instruction to add, with a latency of one: six chains are enough, and their
/// products, three left operands by two right ones, fit in sixteen registers.
const LEFT: usize = 3;
const RIGHT: usize = 2;

pub(super) fn features() -> Vec<&'static str> {
    let features = [
        ("avx2", has!("avx2")),
        ("fma", has!("fma")),
        ("avxvnni", has!("avxvnni")),
        ("avx512f", has!("avx512f")),
        ("avx512vnni", has!("avx512vnni")),
    ];
    features.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

pub(super) fn f32_peaks(peaks: &mut Vec<F32Peak>) {
    // SAFETY: each is constructed only if its features were detected.
    unsafe {
        if has!("avx512f") {
            peaks.push(F32Peak::new("vfmadd (AVX-512)", CHAINS, 16, f32_avx512));
        }
        if has!("avx2") && has!("fma") {
            peaks.push(F32Peak::new("vfmadd (AVX2)", CHAINS, 8, f32_avx2));
        }
    }
}

pub(super) fn int8_peaks(peaks: &mut Vec<Int8Peak>) {
    // SAFETY: each is constructed only if its features were detected.
    unsafe {
        if has!("avx512f") && has!("avx512vnni") {
            peaks.push(Int8Peak::new("vpdpbusd (AVX-512)", CHAINS, 64, int8_avx512vnni));
        }
        if has!("avx2") && has!("avxvnni") {
            peaks.push(Int8Peak::new("vpdpbusd (AVX-VNNI)", CHAINS, 32, int8_avxvnni));
        }
        if has!("avx2") {
            peaks.push(Int8Peak::new("vpmaddubsw, vpmaddwd, vpaddd (AVX2)", LEFT * RIGHT, 32, int8_avx2));
        }
    }
}

/// Reads with wider loads than portable Rust's, for footprints that fit in the caches.
pub(super) fn walks() -> Vec<Walk> {
    let mut walks: Vec<Walk> = vec![];
    if has!("avx2") {
        walks.push(("1 stream of 256 bits", |lines| {
            // SAFETY: the feature was detected.
            unsafe { sum_avx2::<1>(lines) }
        }));
        walks.push(("4 streams of 256 bits", |lines| {
            // SAFETY: the feature was detected.
            unsafe { sum_avx2::<4>(lines) }
        }));
    }
    if has!("avx512f") {
        walks.push(("1 stream of 512 bits", |lines| {
            // SAFETY: the feature was detected.
            unsafe { sum_avx512::<1>(lines) }
        }));
        walks.push(("4 streams of 512 bits", |lines| {
            // SAFETY: the feature was detected.
            unsafe { sum_avx512::<4>(lines) }
        }));
    }
    walks
}

#[target_feature(enable = "avx2")]
fn sum_avx2<const STREAMS: usize>(lines: &[Line]) -> u64 {
    sum::<STREAMS, 0>(lines)
}

#[target_feature(enable = "avx512f")]
fn sum_avx512<const STREAMS: usize>(lines: &[Line]) -> u64 {
    sum::<STREAMS, 0>(lines)
}

#[target_feature(enable = "avx512f")]
fn f32_avx512(a: &[f32; 16], b: &[f32; 16], rounds: u64) -> f32 {
    // SAFETY: both have sixteen elements.
    let (a, b) = unsafe { (_mm512_loadu_ps(a.as_ptr()), _mm512_loadu_ps(b.as_ptr())) };
    // Opaque, here and below, so that the compiler does not see that the chains are equal.
    let mut chains = black_box([_mm512_setzero_ps(); CHAINS]);
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm512_fmadd_ps(*x, a, b);
        }
    }
    // SAFETY: a vector is its lanes.
    unsafe { transmute::<[__m512; CHAINS], [f32; 16 * CHAINS]>(chains) }.iter().sum()
}

#[target_feature(enable = "avx2,fma")]
fn f32_avx2(a: &[f32; 16], b: &[f32; 16], rounds: u64) -> f32 {
    // SAFETY: both have at least eight elements.
    let (a, b) = unsafe { (_mm256_loadu_ps(a.as_ptr()), _mm256_loadu_ps(b.as_ptr())) };
    let mut chains = black_box([_mm256_setzero_ps(); CHAINS]);
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm256_fmadd_ps(*x, a, b);
        }
    }
    // SAFETY: a vector is its lanes.
    unsafe { transmute::<[__m256; CHAINS], [f32; 8 * CHAINS]>(chains) }.iter().sum()
}

#[target_feature(enable = "avx512f,avx512vnni")]
fn int8_avx512vnni(a: &[u8; 64], b: &[i8; 64], rounds: u64) -> i32 {
    // SAFETY: both have 64 elements.
    let (a, b) = unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
    let mut chains = black_box([_mm512_setzero_si512(); CHAINS]);
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm512_dpbusd_epi32(*x, a, b);
        }
    }
    // SAFETY: a vector is its lanes.
    wrapping_sum(&unsafe { transmute::<[__m512i; CHAINS], [i32; 16 * CHAINS]>(chains) })
}

#[target_feature(enable = "avx2,avxvnni")]
fn int8_avxvnni(a: &[u8; 64], b: &[i8; 64], rounds: u64) -> i32 {
    // SAFETY: both have at least 32 elements.
    let (a, b) = unsafe { (_mm256_loadu_si256(a.as_ptr().cast()), _mm256_loadu_si256(b.as_ptr().cast())) };
    let mut chains = black_box([_mm256_setzero_si256(); CHAINS]);
    for _ in 0..rounds {
        for x in &mut chains {
            *x = _mm256_dpbusd_avx_epi32(*x, a, b);
        }
    }
    // SAFETY: a vector is its lanes.
    wrapping_sum(&unsafe { transmute::<[__m256i; CHAINS], [i32; 8 * CHAINS]>(chains) })
}

#[target_feature(enable = "avx2")]
fn int8_avx2(a: &[u8; 64], b: &[i8; 64], rounds: u64) -> i32 {
    // SAFETY: both have at least 32 elements.
    let (a, b) = unsafe { (_mm256_loadu_si256(a.as_ptr().cast()), _mm256_loadu_si256(b.as_ptr().cast())) };
    let left = black_box([a; LEFT]);
    let mut right = black_box([b; RIGHT]);
    let ones = _mm256_set1_epi16(1);
    let mut chains = [[_mm256_setzero_si256(); LEFT]; RIGHT];
    for _ in 0..rounds {
        for (b, chains) in right.iter_mut().zip(&mut chains) {
            // SAFETY: emits no instruction. It may change b as far as the compiler knows, so products are not hoisted
            // out of the loop.
            unsafe { asm!("/* {0} */", inout(ymm_reg) * b, options(nomem, nostack, preserves_flags)) };
            for (a, x) in left.iter().zip(chains) {
                let pairs = _mm256_maddubs_epi16(*a, *b);
                *x = _mm256_add_epi32(*x, _mm256_madd_epi16(pairs, ones));
            }
        }
    }
    // SAFETY: a vector is its lanes.
    wrapping_sum(&unsafe { transmute::<[[__m256i; LEFT]; RIGHT], [i32; 8 * LEFT * RIGHT]>(chains) })
}

fn wrapping_sum(lanes: &[i32]) -> i32 {
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}
