//! Limits of this machine: the two roofs of the roofline model (Williams, Waterman and Patterson, 2009).
//!
//! The compute roof is the rate of multiply-adds that stay in registers. The memory roof is the rate at which threads
//! read a block of memory repeatedly, as a decoder reads its weights for each token. All instructions and access
//! patterns that the machine has are tried, and the best of many repetitions is kept: a roof is an upper bound, so a
//! disturbed repetition says nothing about it.

mod peak;
mod portable;
mod read;
mod together;

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use peak::features;

use crate::Result;
use kforge_measure::{Peaks, Roofs};
use peak::{Peak, f32_peaks, int8_peaks};
use read::Footprint;
use std::{hint::black_box, time::Duration, time::Instant};
use together::best;

/// Rounds over all measurements. Each has new threads, which the scheduler places again: two threads that a busy
/// machine put on one core stay there as long as they live.
const ROOF_ROUNDS: usize = 6;

/// Time per instruction and pattern in a round. With 2 threads, all rounds take about nine seconds.
const BUDGET: Duration = Duration::from_millis(45);

/// Duration of a repetition of a compute peak: long compared with starting together, short enough that some are
/// undisturbed.
const REPETITION: Duration = Duration::from_micros(500);

/// Minimum bytes per repetition of reading: a small footprint is read more than once, or synchronisation would
/// dominate.
const READ_LEAST: usize = 16 << 20;

/// The roofs for a number of threads, each the best measured.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Roof {
    pub threads: usize,
    #[serde(flatten)]
    pub peaks: Peaks,
    /// 1e9 bytes per second.
    pub read_gb_s: f64,
    /// The best access pattern: streams per thread, software prefetch, pages.
    pub read_pattern: String,
}

impl From<&Roof> for Roofs {
    fn from(roof: &Roof) -> Roofs {
        Roofs { f32_gflops: roof.peaks.f32_gflops, int8_gops: roof.peaks.int8_gops, read_gb_s: roof.read_gb_s }
    }
}

/// Measures the compute roofs of `threads` that start together.
///
/// # Errors
/// If the operating system gives no more threads.
pub fn peaks(threads: usize) -> Result<Peaks> {
    let (mut f32, mut int8) = (Best::default(), Best::default());
    for _ in 0..ROOF_ROUNDS {
        compute_heat(threads, &mut f32, &mut int8)?;
    }
    Ok(of_heats(f32, int8))
}

fn of_heats(f32: Best, int8: Best) -> Peaks {
    Peaks {
        f32_gflops: f32.rate / 1e9,
        f32_instruction: f32.by,
        int8_gops: Some(int8.rate / 1e9),
        int8_instruction: Some(int8.by),
    }
}

/// Measures roofs; reads use one footprint.
pub struct Roofline {
    footprint: Footprint,
}

impl Roofline {
    /// Allocates and fills a footprint of `bytes` twice, on ordinary and on huge pages.
    ///
    /// # Errors
    /// If the operating system does not have that much memory.
    pub fn new(bytes: usize) -> Result<Roofline> {
        Ok(Roofline { footprint: Footprint::new(bytes)? })
    }

    /// Measures the roofs of `threads` that start together.
    ///
    /// # Errors
    /// If the operating system gives no more threads.
    pub fn measure(&self, threads: usize) -> Result<Roof> {
        self.measure_in(ROOF_ROUNDS, threads)
    }

    /// The same in `heats` rounds: fewer are faster, but more likely too low.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn measure_in(&self, heats: usize, threads: usize) -> Result<Roof> {
        let (mut f32, mut int8, mut read) = (Best::default(), Best::default(), Best::default());
        for _ in 0..heats {
            compute_heat(threads, &mut f32, &mut int8)?;
            self.read_heat(threads, BUDGET, &mut read)?;
        }
        Ok(Roof { threads, peaks: of_heats(f32, int8), read_gb_s: read.rate / 1e9, read_pattern: read.by })
    }

    /// The read roof alone, in 1e9 bytes per second: one round, with `budget` for each pattern.
    ///
    /// # Errors
    /// If the operating system gives no more threads.
    pub fn read_gb_s(&self, threads: usize, budget: Duration) -> Result<f64> {
        let mut read = Best::default();
        self.read_heat(threads, budget, &mut read)?;
        Ok(read.rate / 1e9)
    }

    fn read_heat(&self, threads: usize, budget: Duration, most: &mut Best) -> Result<()> {
        let bytes = self.footprint.bytes();
        let rounds = (READ_LEAST / bytes.max(1)).max(1);
        for pattern in self.footprint.patterns() {
            let seconds = best(threads, budget, |thread| {
                for _ in 0..rounds {
                    black_box(self.footprint.read(pattern, threads, thread));
                }
            })?;
            most.raise((rounds * bytes) as f64 / seconds, pattern);
        }
        Ok(())
    }
}

/// One round over all instructions.
fn compute_heat(threads: usize, f32: &mut Best, int8: &mut Best) -> Result<()> {
    compute(threads, &f32_peaks(), &[0.5; 16], &[1.0; 16], f32)?;
    compute(threads, &int8_peaks(), &[100; 64], &[-3; 64], int8)
}

/// The best rate so far, and the instruction or pattern that reached it.
#[derive(Default)]
struct Best {
    /// Per second.
    rate: f64,
    by: String,
}

impl Best {
    fn raise(&mut self, rate: f64, by: impl ToString) {
        if rate > self.rate {
            *self = Best { rate, by: by.to_string() };
        }
    }
}

/// Updates the best rate with each instruction's operations per second; a multiply-add counts as two.
fn compute<A: Sync, B: Sync, S>(threads: usize, peaks: &[Peak<A, B, S>], a: &A, b: &B, most: &mut Best) -> Result<()> {
    for peak in peaks {
        let rounds = rounds(|rounds| {
            black_box(peak.run(a, b, rounds));
        });
        let seconds = best(threads, BUDGET, |_| {
            black_box(peak.run(a, b, rounds));
        })?;
        most.raise(2.0 * (peak.chains * peak.lanes * threads) as f64 * rounds as f64 / seconds, peak.instruction);
    }
    Ok(())
}

/// The number of rounds that take the time of one repetition.
fn rounds(run: impl Fn(u64)) -> u64 {
    let mut rounds = 1 << 10;
    loop {
        let begin = Instant::now();
        run(rounds);
        if begin.elapsed() >= REPETITION {
            return rounds;
        }
        rounds *= 2;
    }
}
