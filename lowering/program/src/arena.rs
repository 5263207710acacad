//! Placing buffers with lifetimes into one arena.

use std::{cmp::Reverse, collections::BTreeMap};

/// A buffer alive from launch `first` to launch `last` inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lifetime {
    pub bytes: i64,
    pub first: usize,
    pub last: usize,
}

impl Lifetime {
    /// Whether the two lifetimes overlap.
    pub fn meets(&self, other: &Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offsets of the buffers and the bytes of the arena. Buffers are placed largest first, and of equal size the
/// longest-lived first, each at the lowest offset that is free for its whole lifetime. A residual stream placed after
/// the short-lived buffers around it would find only gaps. Buffers for which `low` is true are placed before all
/// others.
pub fn place(buffers: &[Lifetime], low: impl Fn(&Lifetime) -> bool) -> (Vec<i64>, i64) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    let life = |b: &Lifetime| b.last.saturating_sub(b.first);
    order.sort_by_cached_key(|i| {
        let buffer = &buffers[*i];
        (Reverse(low(buffer)), Reverse(buffer.bytes), Reverse(life(buffer)), buffer.first, *i)
    });
    let mut offsets = vec![0; buffers.len()];
    let launches = buffers.iter().map(|b| b.last.saturating_add(1)).max().unwrap_or(0);
    let mut occupied = Occupied::of(launches);
    for i in order {
        offsets[i] = occupied.lowest(&buffers[i]);
        occupied.add(&buffers[i], offsets[i]);
    }
    let end = buffers.iter().zip(&offsets).map(|(b, o)| b.bytes + o).max().unwrap_or(0);
    (offsets, end)
}

/// Which bytes are taken when: a segment tree over the launches. A node covers a range of launches, its children the
/// halves of the range.
struct Occupied {
    launches: usize,
    /// Per node: bytes taken at some launch of its range.
    some: Vec<Ranges>,
    /// Per node: bytes that a buffer takes for the whole range.
    all: Vec<Ranges>,
}

impl Occupied {
    fn of(launches: usize) -> Self {
        let launches = launches.next_power_of_two();
        Occupied { launches, some: vec![Ranges::default(); 2 * launches], all: vec![Ranges::default(); 2 * launches] }
    }

    /// The lowest offset at which a buffer's bytes are free for its whole lifetime.
    fn lowest(&self, buffer: &Lifetime) -> i64 {
        if buffer.bytes <= 0 {
            return 0;
        }
        let mut taken: Vec<&Ranges> = vec![];
        // Nodes inside the lifetime, for buffers alive at any launch of them; and nodes around it, for buffers alive
        // throughout them.
        visit(buffer, 1, 0, self.launches, &mut |node, is_inside| {
            taken.push(if is_inside { &self.some[node] } else { &self.all[node] });
        });
        let mut at = 0;
        // Repeats until no node's ranges move the offset.
        loop {
            let moved = taken.iter().fold(at, |at, ranges| ranges.free_from(at, buffer.bytes));
            if moved == at {
                return at;
            }
            at = moved;
        }
    }

    fn add(&mut self, buffer: &Lifetime, offset: i64) {
        let mut nodes = vec![];
        visit(buffer, 1, 0, self.launches, &mut |node, is_inside| nodes.push((node, is_inside)));
        for (node, is_inside) in nodes {
            self.some[node].add(offset, offset + buffer.bytes);
            if is_inside {
                self.all[node].add(offset, offset + buffer.bytes);
            }
        }
    }
}

/// Calls `at` with the largest nodes under `node` that lie inside a buffer's lifetime (`true`), and with all nodes that
/// overlap its ends (`false`). `node` covers `count` launches.
fn visit(life: &Lifetime, node: usize, from: usize, count: usize, at: &mut impl FnMut(usize, bool)) {
    let to = from + count;
    if life.last < from || to <= life.first {
        return;
    }
    let is_inside = life.first <= from && to <= life.last.saturating_add(1);
    at(node, is_inside);
    if !is_inside {
        visit(life, 2 * node, from, count / 2, at);
        visit(life, 2 * node + 1, from + count / 2, count / 2, at);
    }
}

/// Disjoint byte ranges, as a map from start to end; adjacent ranges are merged.
#[derive(Clone, Default)]
struct Ranges(BTreeMap<i64, i64>);

impl Ranges {
    fn add(&mut self, from: i64, to: i64) {
        if from >= to {
            return;
        }
        let (mut from, mut to) = (from, to);
        while let Some((start, end)) = self.0.range(..=to).next_back().map(|(start, end)| (*start, *end)) {
            if end < from {
                break;
            }
            self.0.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        self.0.insert(from, to);
    }

    /// The lowest offset, `at` or above, with `bytes` free bytes.
    fn free_from(&self, at: i64, bytes: i64) -> i64 {
        let before = self.0.range(..=at).next_back().map_or(at, |(_, end)| at.max(*end));
        let mut at = before;
        for (start, end) in self.0.range(before..) {
            if at + bytes <= *start {
                break;
            }
            at = *end;
        }
        at
    }
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

    /// The reference: each buffer at the lowest free offset, found by scanning all that were placed before.
    fn plain(buffers: &[Lifetime]) -> Vec<i64> {
        let mut order: Vec<usize> = (0..buffers.len()).collect();
        order.sort_by_key(|i| {
            let b = &buffers[*i];
            (Reverse(b.bytes), Reverse(b.last - b.first), b.first, *i)
        });
        let mut offsets = vec![0; buffers.len()];
        for (n, i) in order.iter().enumerate() {
            let meeting = order[..n].iter().filter(|j| buffers[**j].meets(&buffers[*i]));
            let mut taken: Vec<(i64, i64)> = meeting.map(|j| (offsets[*j], offsets[*j] + buffers[*j].bytes)).collect();
            taken.sort_unstable();
            let mut at = 0;
            for (from, to) in taken {
                if at + buffers[*i].bytes <= from {
                    break;
                }
                at = at.max(to);
            }
            offsets[*i] = at;
        }
        offsets
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
            assert_eq!(offsets, plain(&buffers), "{buffers:?}");
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
