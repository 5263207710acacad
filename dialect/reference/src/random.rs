//! Random tensors, the same on every machine for a seed.

use crate::tensor::volume;
use crate::{Element, Result, Tensor};
use std::ops::Range;

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// Floats uniform in [-1, 1), rounded to the element type or quantised.
pub fn uniform(seed: u64, shape: &[usize], element: Element) -> Result<Tensor> {
    let mut state = SplitMix64(seed);
    // 24 bits are what an f32 holds.
    let value = |_| (state.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0;
    Tensor::from_f32(shape, element, (0..volume(shape, element)?).map(value).collect())
}

/// Integers uniform in `range`; zeros where it is empty.
pub fn integers(seed: u64, shape: &[usize], element: Element, range: Range<i64>) -> Result<Tensor> {
    let mut state = SplitMix64(seed);
    let width = range.end.saturating_sub(range.start).max(0) as u128;
    // The high half of the product: no division, and even but for 2^-64 * width.
    let value = |_| match width {
        0 => 0,
        _ => range.start + ((u128::from(state.next_u64()) * width) >> 64) as i64,
    };
    Tensor::from_i64(shape, element, (0..volume(shape, element)?).map(value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kforge_quant::BlockFormat;

    #[test]
    fn the_generator_is_splitmix64() {
        // First values of the public-domain C program for seed 1234567.
        let mut state = SplitMix64(1234567);
        assert_eq!([state.next_u64(), state.next_u64()], [6457827717110365317, 3203168211198807973]);
    }

    #[test]
    fn floats_fill_the_interval() {
        let values = uniform(7, &[100, 100], Element::F32).unwrap().to_f32();
        assert!(values.iter().all(|v| (-1.0..1.0).contains(v)));
        assert!(values.iter().any(|&v| v < -0.99) && values.iter().any(|&v| v > 0.99));
        assert!((values.iter().sum::<f32>() / 1e4).abs() < 0.03);
    }

    #[test]
    fn seeds_differ_and_repeat() {
        let of = |seed| uniform(seed, &[8], Element::F16).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn integers_fill_the_range() {
        let values = integers(1, &[1000], Element::I32, -2..3).unwrap().to_i64().unwrap();
        assert!((-2..3).all(|v| values.contains(&v)));
        assert!(values.iter().all(|v| (-2..3).contains(v)));
        assert_eq!(integers(1, &[2], Element::I64, 5..5).unwrap().to_i64().unwrap(), [0, 0]);
    }

    #[test]
    fn other_elements() {
        let quantised = uniform(1, &[2, 32], Element::Quant(BlockFormat::Q4_0)).unwrap();
        assert!(quantised.to_f32().iter().all(|v| v.abs() < 1.01));
        assert!(uniform(1, &[2, 31], Element::Quant(BlockFormat::Q4_0)).is_err());
        assert!(uniform(1, &[2], Element::I32).is_err());
        assert!(integers(1, &[2], Element::F32, 0..2).is_err());
        assert!(uniform(1, &[usize::MAX, 3], Element::F32).is_err());
        assert_eq!(uniform(1, &[0, 3], Element::F32).unwrap().shape(), [0, 3]);
    }
}
