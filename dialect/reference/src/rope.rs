//! `rope`: rotary position embedding (Su et al., 2021).

use crate::cache::spans;
use crate::check::Op;
use crate::{Error, Result, Tensor};
use kforge_quant::{RopeMode, UnknownRopeMode};

impl From<UnknownRopeMode> for Error {
    fn from(UnknownRopeMode(name): UnknownRopeMode) -> Self {
        Op("rope").attribute("mode", "interleaved or half", name)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct RopeAttributes {
    pub mode: RopeMode,
    pub base: f32,
    /// One for each pair.
    pub freq_divisors: Option<Vec<f32>>,
    /// Rotated elements of a head, the first; all if `None`.
    pub dims: Option<usize>,
    /// What multiplies rotated elements; 1 if `None`.
    pub scale: Option<f32>,
}

/// Rotates pair i of row s of sequence b by `(positions[b] + s) * base^(-2i/dims) / freq_divisors[i]`. The input is
/// [B, S, H, D]; rows past `lengths[b]` give zeros.
pub fn rope(
    input: &Tensor,
    positions: &Tensor,
    lengths: Option<&Tensor>,
    attributes: &RopeAttributes,
) -> Result<Tensor> {
    let op = Op("rope");
    let [batch, rows, heads, depth] = op.dims("input", input)?;
    let dims = attributes.dims.unwrap_or(depth);
    if !dims.is_multiple_of(2) || dims > depth {
        return Err(op.wrong("input", "of an even number of rotated elements, at most those of its last axis,", input));
    }
    let half = dims / 2;
    let scale = f64::from(attributes.scale.unwrap_or(1.0));
    let divisors = attributes.freq_divisors.clone().unwrap_or_else(|| vec![1.0; half]);
    if divisors.len() != half {
        return Err(op.attribute("freq_divisors", format!("{half} numbers"), divisors.len()));
    }
    let frequency = |i: usize| f64::from(attributes.base).powf(-2.0 * i as f64 / dims as f64) / f64::from(divisors[i]);
    let x = op.floats("input", input)?;
    let mut result = vec![0.0; x.len()];
    for (b, span) in spans(op, positions, lengths, batch, rows)?.into_iter().enumerate() {
        for s in 0..span.count {
            for i in 0..half {
                let (sin, cos) = ((span.start + s) as f64 * frequency(i)).sin_cos();
                let (first, second) = match attributes.mode {
                    RopeMode::Interleaved => (2 * i, 2 * i + 1),
                    RopeMode::Half => (i, i + half),
                };
                for h in 0..heads {
                    let head = ((b * rows + s) * heads + h) * depth;
                    let (re, im) = (f64::from(x[head + first]), f64::from(x[head + second]));
                    result[head + first] = (scale * (re * cos - im * sin)) as f32;
                    result[head + second] = (scale * (re * sin + im * cos)) as f32;
                }
            }
            for h in 0..heads {
                let head = ((b * rows + s) * heads + h) * depth;
                result[head + dims..head + depth].copy_from_slice(&x[head + dims..head + depth]);
            }
        }
    }
    Tensor::from_f32(input.shape(), input.element(), result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Element, random};

    const MODES: [RopeMode; 2] = [RopeMode::Interleaved, RopeMode::Half];

    fn plain(mode: RopeMode) -> RopeAttributes {
        RopeAttributes { mode, base: 100.0, freq_divisors: None, dims: None, scale: None }
    }

    fn at(positions: &[i32]) -> Tensor {
        Tensor::i32([positions.len()], positions).unwrap()
    }

    fn assert_near(actual: &[f32], expected: &[f64]) {
        for (a, e) in actual.iter().zip(expected) {
            assert!((f64::from(*a) - e).abs() < 1e-6, "{actual:?} is not {expected:?}");
        }
    }

    #[test]
    fn by_hand() {
        // Base 100 and D = 4: frequencies 1 and 1/10.
        let x = Tensor::f32([1, 1, 1, 4], [1.0, 0.0, 0.0, 1.0]).unwrap();
        let (s, c, s10, c10) = (3f64.sin(), 3f64.cos(), 0.3f64.sin(), 0.3f64.cos());
        let turned = |mode| rope(&x, &at(&[3]), None, &plain(mode)).unwrap().to_f32();
        assert_near(&turned(RopeMode::Interleaved), &[c, s, -s10, c10]);
        assert_near(&turned(RopeMode::Half), &[c, -s10, s, c10]);
        let divided = RopeAttributes { freq_divisors: Some(vec![3.0, 1.0]), ..plain(RopeMode::Interleaved) };
        let y = rope(&x, &at(&[3]), None, &divided).unwrap().to_f32();
        assert_near(&y, &[1f64.cos(), 1f64.sin(), -s10, c10]);
    }

    #[test]
    fn a_part_of_a_head_is_rotated_and_scaled() {
        let x = Tensor::f32([1, 1, 1, 6], [1.0, 0.0, 0.0, 1.0, 5.0, 7.0]).unwrap();
        let (s, c, s10, c10) = (6f64.sin(), 6f64.cos(), 0.6f64.sin(), 0.6f64.cos());
        let turned = |mode| {
            let attributes = RopeAttributes { dims: Some(4), scale: Some(2.0), ..plain(mode) };
            rope(&x, &at(&[6]), None, &attributes).unwrap().to_f32()
        };
        assert_near(&turned(RopeMode::Interleaved), &[2.0 * c, 2.0 * s, -2.0 * s10, 2.0 * c10, 5.0, 7.0]);
        assert_near(&turned(RopeMode::Half), &[2.0 * c, -2.0 * s10, 2.0 * s, 2.0 * c10, 5.0, 7.0]);
        let wide = RopeAttributes { dims: Some(8), ..plain(RopeMode::Half) };
        assert!(rope(&x, &at(&[6]), None, &wide).is_err());
    }

    #[test]
    fn position_zero_is_identity_and_norms_stay() {
        let x = random::uniform(1, &[2, 3, 2, 8], Element::F32).unwrap();
        for mode in MODES {
            let y = rope(&x, &at(&[0, 1000]), None, &plain(mode)).unwrap();
            assert_eq!(y.to_f32()[..16], x.to_f32()[..16]);
            for (a, b) in x.to_f32().chunks(8).zip(y.to_f32().chunks(8)) {
                let norm = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>();
                assert!((norm(a) - norm(b)).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn scores_depend_on_distance_alone() {
        let (q, k) = (random::uniform(1, &[1, 1, 1, 8], Element::F32), random::uniform(2, &[1, 1, 1, 8], Element::F32));
        let (q, k) = (q.unwrap(), k.unwrap());
        for mode in MODES {
            let turned = |x, position| rope(x, &at(&[position]), None, &plain(mode)).unwrap().to_f32();
            let score = |p, r| crate::linear::dot(&turned(&q, p), &turned(&k, r));
            assert!((score(5, 2) - score(45, 42)).abs() < 1e-5);
        }
    }

    #[test]
    fn rows_past_the_length_are_zero() {
        let x = random::uniform(1, &[2, 2, 1, 4], Element::F32).unwrap();
        let y = rope(&x, &at(&[0, 0]), Some(&at(&[1, 0])), &plain(RopeMode::Half)).unwrap().to_f32();
        assert_eq!(y[..4], x.to_f32()[..4]);
        assert_eq!(y[4..], [0.0; 12]);
    }

    #[test]
    fn wrong_operands() {
        let x = random::uniform(1, &[2, 2, 1, 4], Element::F32).unwrap();
        let message = |positions: &[i32], lengths: &[i32]| {
            let lengths = at(lengths);
            rope(&x, &at(positions), Some(&lengths), &plain(RopeMode::Half)).unwrap_err().to_string()
        };
        assert_eq!(message(&[0, -1], &[1, 1]), "rope: positions[1] is -1, but must be at least 0");
        assert_eq!(message(&[0, 0], &[3, 1]), "rope: lengths[0] is 3, but must be from 0 to 2");
        assert_eq!(message(&[0], &[1, 1]), "rope: positions must be tensor<2xi32>, but is tensor<1xi32>");
        let odd = Tensor::zeros([1, 1, 1, 3], Element::F32).unwrap();
        assert!(rope(&odd, &at(&[0]), None, &plain(RopeMode::Half)).is_err());
        let three = RopeAttributes { freq_divisors: Some(vec![1.0; 3]), ..plain(RopeMode::Half) };
        assert!(rope(&x, &at(&[0, 0]), None, &three).is_err());
        assert!("neox".parse::<RopeMode>().is_err());
    }

    #[test]
    fn empty_dimensions() {
        for shape in [[0, 2, 1, 4], [2, 0, 1, 4], [2, 2, 0, 4], [2, 2, 1, 0]] {
            let x = Tensor::zeros(shape, Element::F32).unwrap();
            let positions = Tensor::zeros([shape[0]], Element::I32).unwrap();
            assert_eq!(rope(&x, &positions, None, &plain(RopeMode::Interleaved)).unwrap(), x);
        }
    }
}
