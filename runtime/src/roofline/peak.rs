//! The instructions whose peak can be measured.

#[cfg(target_arch = "aarch64")]
use super::neon as native;
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::x86 as native;

/// Independent chains of multiply-adds: two units with a latency of four or five cycles need ten, and AVX2 has sixteen
/// registers, two of which hold the operands.
pub(super) const CHAINS: usize = 12;

/// One implementation of multiply-adds.
///
/// Of f32, a round takes each lane of each chain from x to `x * a + b`, beginning with zero: no compiler may reorder or
/// hoist that, and it stays finite for a < 1. Of int8, a round adds `a * b` over all lanes of each chain, a unsigned
/// (but below 128, so that 16-bit sums of pairs do not saturate), b signed. The result is the sum of all lanes and
/// chains, wrapping for integers.
pub(super) struct Peak<A, B, S> {
    pub instruction: &'static str,
    pub chains: usize,
    /// Elements of a and b that are used; one multiply-add per element in each chain.
    pub lanes: usize,
    run: unsafe fn(&A, &B, u64) -> S,
}

pub(super) type F32Peak = Peak<[f32; 16], [f32; 16], f32>;
pub(super) type Int8Peak = Peak<[u8; 64], [i8; 64], i32>;

impl<A, B, S> Peak<A, B, S> {
    /// # Safety
    /// This machine has the features that `run` is compiled for.
    pub(super) unsafe fn new(
        instruction: &'static str,
        chains: usize,
        lanes: usize,
        run: unsafe fn(&A, &B, u64) -> S,
    ) -> Self {
        Peak { instruction, chains, lanes, run }
    }

    pub fn run(&self, a: &A, b: &B, rounds: u64) -> S {
        // SAFETY: the constructor's caller guarantees the machine's features; there are no other requirements.
        unsafe { (self.run)(a, b, rounds) }
    }
}

/// f32 multiply-add instructions of this machine; portable Rust is the fallback.
pub(super) fn f32_peaks() -> Vec<F32Peak> {
    let mut peaks = vec![];
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    native::f32_peaks(&mut peaks);
    if peaks.is_empty() {
        peaks.push(portable::f32_peak());
    }
    peaks
}

/// The same for dot products of 8-bit integers.
pub(super) fn int8_peaks() -> Vec<Int8Peak> {
    let mut peaks = vec![];
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    native::int8_peaks(&mut peaks);
    if peaks.is_empty() {
        peaks.push(portable::int8_peak());
    }
    peaks
}

/// Names of the CPU features that determine which instructions are measured, as far as this machine has them.
pub fn features() -> Vec<&'static str> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    return native::features();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    vec![]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f32_peaks_compute_what_they_count() {
        let a: [f32; 16] = std::array::from_fn(|i| (i % 3) as f32 - 1.0);
        let b: [f32; 16] = std::array::from_fn(|i| i as f32 - 5.0);
        for peak in f32_peaks().into_iter().chain([portable::f32_peak()]) {
            for rounds in [0, 1, 7] {
                let mut x = [0.0; 16];
                for _ in 0..rounds {
                    x = std::array::from_fn(|i| x[i] * a[i] + b[i]);
                }
                let expected = peak.chains as f32 * x[..peak.lanes].iter().sum::<f32>();
                assert_eq!(peak.run(&a, &b, rounds), expected, "{}, {rounds} rounds", peak.instruction);
            }
        }
    }

    #[test]
    fn int8_peaks_compute_what_they_count() {
        let a: [u8; 64] = std::array::from_fn(|i| (i * 37 % 128) as u8);
        let b: [i8; 64] = std::array::from_fn(|i| (i * 91 % 256) as u8 as i8);
        for peak in int8_peaks().into_iter().chain([portable::int8_peak()]) {
            for rounds in [0, 1, 1000] {
                let dot: i32 = (0..peak.lanes).map(|i| i32::from(a[i]) * i32::from(b[i])).sum();
                let expected = dot.wrapping_mul(peak.chains as i32).wrapping_mul(rounds as i32);
                assert_eq!(peak.run(&a, &b, rounds), expected, "{}, {rounds} rounds", peak.instruction);
            }
        }
    }
}
