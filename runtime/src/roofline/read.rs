//! A block of memory that threads read, each its own range, in several access patterns.

use crate::{Result, memory::Memory, pool::range};
use std::{array, fmt};

/// A cache line as words.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u64; 8]);

/// An access pattern: its name, and the function that reads a range.
pub(super) type Walk = (&'static str, fn(&[Line]) -> u64);

/// Lines that are prefetched ahead of a stream: 2 KiB, half a small page.
const AHEAD: usize = 32;

/// Portable Rust first: with 128-bit loads a line takes at most four cycles, and no core reads memory faster. A
/// footprint that fits in the caches may be read faster with wider loads.
const WALKS: &[Walk] = &[
    ("1 stream", sum::<1, 0>),
    ("2 streams", sum::<2, 0>),
    ("4 streams", sum::<4, 0>),
    ("8 streams", sum::<8, 0>),
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    ("1 stream, prefetched", sum::<1, AHEAD>),
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    ("4 streams, prefetched", sum::<4, AHEAD>),
];

/// How the threads read their ranges.
#[derive(Clone, Copy)]
pub(super) struct Pattern {
    walk: Walk,
    /// Whether huge pages were requested.
    huge: bool,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}, {} pages", self.walk.0, if self.huge { "huge" } else { "ordinary" })
    }
}

/// The same data on ordinary and on huge pages.
pub(super) struct Footprint {
    ordinary: Memory,
    huge: Memory,
}

impl Footprint {
    pub fn new(bytes: usize) -> Result<Footprint> {
        let (mut ordinary, mut huge) = (Memory::zeroed(bytes)?, Memory::streamed(bytes)?);
        for memory in [&mut ordinary, &mut huge] {
            // Written once, because pages never written to all map to the same zero page.
            for (i, byte) in memory.as_mut_slice().iter_mut().enumerate() {
                *byte = (i.wrapping_mul(167) >> 3) as u8;
            }
        }
        Ok(Footprint { ordinary, huge })
    }

    pub fn bytes(&self) -> usize {
        self.huge.as_slice().len()
    }

    pub fn patterns(&self) -> impl Iterator<Item = Pattern> {
        #[cfg(target_arch = "x86_64")]
        let wide = super::x86::walks();
        #[cfg(not(target_arch = "x86_64"))]
        let wide: Vec<Walk> = vec![];
        WALKS.iter().copied().chain(wide).flat_map(|walk| [false, true].map(|huge| Pattern { walk, huge }))
    }

    /// Reads the range of `thread` out of `threads` and returns the wrapping sum of its words, the last one padded with
    /// zeros. The ranges of all threads cover the footprint.
    pub fn read(&self, pattern: Pattern, threads: usize, thread: usize) -> u64 {
        let memory = if pattern.huge { &self.huge } else { &self.ordinary };
        // SAFETY: any bytes are valid words, and only whole, aligned lines are used. The memory starts at a line.
        let (_, lines, tail) = unsafe { memory.as_slice().align_to::<Line>() };
        let sum = pattern.walk.1(&lines[range(lines.len(), threads, thread)]);
        let tail = if thread + 1 == threads { tail } else { &[] };
        tail.chunks(8).map(word).fold(sum, u64::wrapping_add)
    }
}

/// Up to eight bytes as a word.
fn word(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(array::from_fn(|i| bytes.get(i).copied().unwrap_or(0)))
}

/// Reads `STREAMS` equal parts of the lines alternately, then the rest, prefetching `AHEAD` lines before each read
/// unless that is 0. The words of a line are summed separately, so that the loop is vectorised.
#[inline(always)]
pub(super) fn sum<const STREAMS: usize, const AHEAD: usize>(lines: &[Line]) -> u64 {
    let each = lines.len() / STREAMS;
    let streams: [&[Line]; STREAMS] = array::from_fn(|s| &lines[s * each..(s + 1) * each]);
    let mut sums = [0u64; 8];
    for i in 0..each {
        for stream in streams {
            if AHEAD > 0 {
                prefetch(stream.as_ptr().wrapping_add(i + AHEAD));
            }
            add(&mut sums, &stream[i]);
        }
    }
    for line in &lines[STREAMS * each..] {
        add(&mut sums, line);
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[inline(always)]
fn add(sums: &mut [u64; 8], line: &Line) {
    for (sum, word) in sums.iter_mut().zip(line.0) {
        *sum = sum.wrapping_add(word);
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch(line: *const Line) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch of any address is no access.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn prefetch(line: *const Line) {
    // SAFETY: a prefetch of any address is no access. Its intrinsic is not stable.
    unsafe { std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) line, options(nostack, preserves_flags, readonly)) };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn prefetch(_line: *const Line) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_reads_every_byte_once() {
        // Less than a line, whole lines, lines that neither streams nor threads divide, a tail of no whole word.
        for bytes in [8, 63, 64, 64 * 8 * 3, 64 * 1009, 64 * 1009 + 8, 64 * 1009 + 61] {
            let footprint = Footprint::new(bytes).unwrap();
            let expected = footprint.ordinary.as_slice().chunks(8).map(word).fold(0, u64::wrapping_add);
            assert_ne!(expected, 0, "{bytes} bytes");
            for pattern in footprint.patterns() {
                for threads in [1, 2, 3, 7] {
                    let parts = (0..threads).map(|thread| footprint.read(pattern, threads, thread));
                    assert_eq!(
                        parts.fold(0, u64::wrapping_add),
                        expected,
                        "{pattern}, {bytes} bytes, {threads} threads"
                    );
                }
            }
        }
    }
}
