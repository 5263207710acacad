//! `rms_norm`, `layer_norm`, `softmax`, `quantize`, `top_k`: each over the last axis.

use crate::check::Op;
use crate::{Result, Tensor};
use kforge_quant::ACTIVATIONS;
use std::cmp::Ordering;

/// `x / sqrt(mean(x^2) + eps) * weight` (Zhang and Sennrich, 2019).
pub fn rms_norm(input: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    let op = Op("rms_norm");
    let (_, width) = op.rows("input", input)?;
    let weight = op.vector("weight", weight, width)?;
    each_row(op, input, |row| {
        let mean_square = row.iter().map(|x| x * x).sum::<f64>() / width as f64;
        let scale = 1.0 / (mean_square + f64::from(eps)).sqrt();
        row.iter_mut().zip(&weight).for_each(|(x, &w)| *x *= scale * f64::from(w));
    })
}

/// `(x - mean(x)) / sqrt(variance(x) + eps) * weight + bias` (Ba et al., 2016); the variance is the population's.
pub fn layer_norm(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f32) -> Result<Tensor> {
    let op = Op("layer_norm");
    let (_, width) = op.rows("input", input)?;
    let weight = op.vector("weight", weight, width)?;
    let bias = match bias {
        Some(bias) => op.vector("bias", bias, width)?,
        None => vec![0.0; width],
    };
    each_row(op, input, |row| {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
        let scale = 1.0 / (variance + f64::from(eps)).sqrt();
        for ((x, &w), &b) in row.iter_mut().zip(&weight).zip(&bias) {
            *x = (*x - mean) * scale * f64::from(w) + f64::from(b);
        }
    })
}

/// `exp(x - max) / sum(exp(x - max))`.
pub fn softmax(input: &Tensor) -> Result<Tensor> {
    each_row(Op("softmax"), input, softmax_row)
}

pub(crate) fn softmax_row(row: &mut [f64]) {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut().for_each(|x| *x = (*x - max).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}

/// Each block of 32 of the last axis rounded to multiples of `max|x| / 127`, half to even; the arithmetic is f32's, so
/// that compiled code finds the same integers.
pub fn quantize(input: &Tensor) -> Result<Tensor> {
    let op = Op("quantize");
    let (_, width) = op.rows("input", input)?;
    if !width.is_multiple_of(ACTIVATIONS) {
        return Err(op.wrong("input", format!("a multiple of {} long in the last axis", ACTIVATIONS), input));
    }
    let mut values = op.floats("input", input)?;
    for block in values.chunks_mut(ACTIVATIONS) {
        let largest = match block.iter().any(|x| x.is_nan()) {
            true => f32::NAN,
            false => block.iter().fold(0f32, |largest, x| largest.max(x.abs())),
        };
        let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let d = largest / 127.0;
        block.iter_mut().for_each(|x| *x = (*x * scale).round_ties_even() * d);
    }
    Tensor::from_f32(input.shape(), input.element(), values)
}

/// The `k` largest elements of each row in descending order, and their indices. Equal elements keep their order; NaNs come
/// after all numbers.
pub fn top_k(input: &Tensor, k: usize) -> Result<(Tensor, Tensor)> {
    let op = Op("top_k");
    let (rows, width) = op.rows("input", input)?;
    if !(1..=width).contains(&k) {
        return Err(op.attribute("k", format!("between 1 and the length of a row, {width}"), k));
    }
    let all = op.floats("input", input)?;
    let (mut values, mut indices) = (Vec::with_capacity(rows * k), Vec::with_capacity(rows * k));
    for row in all.chunks(width) {
        let mut order: Vec<usize> = (0..width).collect();
        let falling = |a: &usize, b: &usize| {
            let numbers = row[*b].partial_cmp(&row[*a]).unwrap_or(Ordering::Equal);
            row[*a].is_nan().cmp(&row[*b].is_nan()).then(numbers)
        };
        // Stable: equals stay in order.
        order.sort_by(falling);
        values.extend(order[..k].iter().map(|i| row[*i]));
        indices.extend(order[..k].iter().map(|i| *i as i32));
    }
    let shape = [&input.shape()[..input.rank() - 1], &[k]].concat();
    Ok((Tensor::from_f32(shape.clone(), input.element(), values)?, Tensor::i32(shape, indices)?))
}

fn each_row(op: Op<'_>, input: &Tensor, f: impl Fn(&mut [f64])) -> Result<Tensor> {
    let (_, width) = op.rows("input", input)?;
    let mut values: Vec<f64> = op.floats("input", input)?.into_iter().map(f64::from).collect();
    values.chunks_mut(width.max(1)).for_each(f);
    let values = values.into_iter().map(|x| x as f32).collect();
    Tensor::from_f32(input.shape(), input.element(), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantize_by_hand() {
        let mut x = [0f32; 64];
        (x[0], x[1], x[2], x[3], x[33]) = (127.0, -2.5, 3.5, -0.4, -1e-30);
        let y = quantize(&f32s(&[1, 64], &x)).unwrap().to_f32();
        assert_eq!(y[..4], [127.0, -2.0, 4.0, 0.0]);
        assert!((y[33] / -1e-30 - 1.0).abs() < 1e-6);
        assert!(y[4..33].iter().chain(&y[34..]).all(|y| *y == 0.0));
        assert!(quantize(&f32s(&[2, 33], &[0.0; 66])).is_err());
        assert!(quantize(&f32s(&[0, 32], &[])).unwrap().to_f32().is_empty());
    }

    #[test]
    fn quantize_moves_by_half_a_step() {
        let x = random::uniform(3, &[5, 96], Element::F32).unwrap();
        let y = quantize(&x).unwrap().to_f32();
        for (x, y) in x.to_f32().chunks(32).zip(y.chunks(32)) {
            let largest = x.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!(x.iter().zip(y).all(|(x, y)| (x - y).abs() <= largest / 254.0 * 1.0001));
        }
    }
    use crate::{Element, random};

    fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::f32(shape, values).unwrap()
    }

    #[test]
    fn top_k_by_hand() {
        let (nan, infinity) = (f32::NAN, f32::INFINITY);
        let x = f32s(&[3, 5], &[1., 3., 2., 3., -1., nan, -infinity, nan, -0., 0., 0., -0., 5., infinity, nan]);
        let (values, indices) = top_k(&x, 4).unwrap();
        let indices = indices.to_i64().unwrap();
        assert_eq!(indices, [1, 3, 2, 0, 3, 4, 1, 0, 3, 2, 0, 1]);
        let values = values.to_f32();
        assert_eq!(values[..7], [3., 3., 2., 1., 0., 0., -infinity]);
        assert!(values[7].is_nan() && values[4].is_sign_negative());
        assert_eq!(values[8..], [infinity, 5., 0., 0.]);
        let error = top_k(&x, 6).unwrap_err().to_string();
        assert_eq!(error, "top_k: k must be between 1 and the length of a row, 5, but is 6");
        assert!(top_k(&x, 0).is_err() && top_k(&f32s(&[], &[0.0]), 1).is_err());
        assert_eq!(top_k(&f32s(&[0, 3], &[]), 2).unwrap().0.shape(), [0, 2]);
    }

    #[test]
    fn rms_norm_by_hand() {
        let x = f32s(&[2, 2], &[3., 4., 0., 0.]);
        let norm = rms_norm(&x, &f32s(&[2], &[1., 2.]), 0.5).unwrap().to_f32();
        let scale = 1.0 / 13f64.sqrt();
        assert_eq!(norm, [(3. * scale) as f32, (8. * scale) as f32, 0., 0.]);
    }

    #[test]
    fn layer_norm_by_hand() {
        let x = f32s(&[3], &[1., 2., 3.]);
        let w = f32s(&[3], &[1., 1., 2.]);
        let eps = 1.0 / 3.0;
        assert_eq!(layer_norm(&x, &w, None, eps).unwrap().to_f32(), [-1., 0., 2.]);
        let b = f32s(&[3], &[0., 5., 1.]);
        assert_eq!(layer_norm(&x, &w, Some(&b), eps).unwrap().to_f32(), [-1., 5., 3.]);
    }

    #[test]
    fn softmax_by_hand() {
        let x = f32s(&[2, 2], &[0., 3f32.ln(), 1000., 1000.]);
        let y = softmax(&x).unwrap().to_f32();
        assert!((y[0] - 0.25).abs() < 1e-7 && (y[1] - 0.75).abs() < 1e-7);
        assert_eq!(y[2..], [0.5, 0.5]);
    }

    #[test]
    fn softmax_sums_to_one_and_ignores_a_shift() {
        let x = random::uniform(3, &[7, 33], Element::F32).unwrap();
        let shifted = f32s(x.shape(), &x.to_f32().iter().map(|v| v + 4.0).collect::<Vec<_>>());
        let (y, z) = (softmax(&x).unwrap().to_f32(), softmax(&shifted).unwrap().to_f32());
        for row in y.chunks(33) {
            assert!((row.iter().map(|&v| f64::from(v)).sum::<f64>() - 1.0).abs() < 1e-6);
        }
        assert!(y.iter().zip(&z).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn rms_norm_has_unit_rms() {
        let x = random::uniform(4, &[5, 31], Element::F32).unwrap();
        let y = rms_norm(&x, &f32s(&[31], &[1.0; 31]), 0.0).unwrap().to_f32();
        for row in y.chunks(31) {
            assert!((row.iter().map(|v| v * v).sum::<f32>() / 31.0 - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_weight_of_another_length_is_refused() {
        let x = f32s(&[2, 2], &[0.0; 4]);
        let w = f32s(&[3], &[0.0; 3]);
        let error = rms_norm(&x, &w, 0.0).unwrap_err().to_string();
        assert_eq!(error, "rms_norm: weight must be tensor<2xf32>, but is tensor<3xf32>");
        assert!(layer_norm(&x, &f32s(&[2], &[0.0; 2]), Some(&w), 0.0).is_err());
        assert!(softmax(&f32s(&[], &[0.0])).is_err());
    }

    #[test]
    fn empty_dimensions() {
        for shape in [[0, 4], [4, 0]] {
            let x = Tensor::zeros(shape, Element::F16).unwrap();
            let w = Tensor::zeros([shape[1]], Element::F32).unwrap();
            assert_eq!(softmax(&x).unwrap(), x);
            assert_eq!(rms_norm(&x, &w, 1e-5).unwrap(), x);
            assert_eq!(layer_norm(&x, &w, Some(&w), 1e-5).unwrap(), x);
        }
    }
}
