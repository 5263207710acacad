//! Placing buffers with lifetimes into one arena.

use std::cmp::Reverse;

/// A buffer alive from launch `first` to launch `last` inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lifetime {
    pub bytes: i64,
    pub first: usize,
    pub last: usize,
}

impl Lifetime {
    /// Whether the two are alive at the same time.
    pub fn meets(&self, other: &Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offsets of the buffers and the bytes of the arena: largest first, of equal ones the longest-lived, each at the lowest
/// place free for its whole life. A residual stream placed after the short-lived buffers around it would find only gaps.
/// Those that should lie `low` go before all others: something else begins above them.
pub fn place(buffers: &[Lifetime], low: impl Fn(&Lifetime) -> bool) -> (Vec<i64>, i64) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    let life = |b: &Lifetime| b.last.saturating_sub(b.first);
    order.sort_by_key(|i| {
        let buffer = &buffers[*i];
        (Reverse(low(buffer)), Reverse(buffer.bytes), Reverse(life(buffer)), buffer.first, *i)
    });
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = vec![];
    for i in order {
        let mut taken: Vec<(i64, i64)> = placed
            .iter()
            .filter(|j| buffers[**j].meets(&buffers[i]))
            .map(|j| (offsets[*j], offsets[*j] + buffers[*j].bytes))
            .collect();
        taken.sort_unstable();
        let mut at = 0;
        for (from, to) in taken {
            if at + buffers[i].bytes <= from {
                break;
            }
            at = at.max(to);
        }
        offsets[i] = at;
        placed.push(i);
    }
    let end = buffers.iter().zip(&offsets).map(|(b, o)| b.bytes + o).max().unwrap_or(0);
    (offsets, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_needs_two_buffers() {
        let chain: Vec<Lifetime> = (0..6).map(|i| Lifetime { bytes: 64, first: i, last: i + 1 }).collect();
        assert_eq!(place(&chain, |_| false).1, 128);
    }

    #[test]
    fn a_residual_stream_leaves_no_gaps() {
        // Two layers of a decoder: x, norm, q, rotated q, attended, h, norm, gate, and the next x.
        let layer = |at: usize| {
            let lives = [(8, 0, 5), (8, 1, 2), (8, 2, 3), (8, 3, 4), (8, 4, 5), (8, 5, 8), (8, 6, 7), (21, 7, 8)];
            lives.map(|(units, first, last)| Lifetime { bytes: 64 * units, first: at + first, last: at + last })
        };
        let buffers = [layer(0), layer(8)].concat();
        assert_eq!(place(&buffers, |_| false).1, 64 * (8 + 8 + 21));
    }

    #[test]
    fn no_two_live_buffers_overlap() {
        let mut seed = 1u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for _ in 0..200 {
            let buffers: Vec<Lifetime> = (0..next(20))
                .map(|_| {
                    let first = next(30) as usize;
                    Lifetime { bytes: 64 * next(50) as i64, first, last: first + next(6) as usize }
                })
                .collect();
            let (offsets, end) = place(&buffers, |_| false);
            for (i, a) in buffers.iter().enumerate() {
                assert!(offsets[i] + a.bytes <= end);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                    assert!(!a.meets(b) || apart, "{a:?} and {b:?}");
                }
            }
        }
    }
}
