//! Placing buffers with lifetimes into one arena.

/// A buffer alive from launch `first` to launch `last` inclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lifetime {
    pub bytes: i64,
    pub first: usize,
    pub last: usize,
}

impl Lifetime {
    fn overlaps(&self, other: &Lifetime) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Offsets of the buffers and the bytes of the arena: largest first, each at the lowest place free for its whole life.
pub fn place(buffers: &[Lifetime]) -> (Vec<i64>, i64) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(buffers[*i].bytes), buffers[*i].first, *i));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = vec![];
    for i in order {
        let mut taken: Vec<(i64, i64)> = placed
            .iter()
            .filter(|j| buffers[**j].overlaps(&buffers[i]))
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
        assert_eq!(place(&chain).1, 128);
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
            let (offsets, end) = place(&buffers);
            for (i, a) in buffers.iter().enumerate() {
                assert!(offsets[i] + a.bytes <= end);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                    assert!(!a.overlaps(b) || apart, "{a:?} and {b:?}");
                }
            }
        }
    }
}
