//! How far one tensor is from another.

use crate::check::{Op, coordinates};
use crate::{Result, Tensor};
use std::fmt;

/// An element a matches e where `|a - e| <= abs + rel * |e|`. A NaN matches a NaN, an infinity itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    pub abs: f64,
    pub rel: f64,
}

/// An element outside the tolerance.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    pub index: Vec<usize>,
    pub actual: f64,
    pub expected: f64,
}

/// Error norms over all elements. Matching NaNs and infinities count as no error, others as infinite.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub elements: usize,
    /// Largest `|a - e|`.
    pub max_abs: f64,
    /// Largest `|a - e| / |e|` over elements with `e != 0`.
    pub max_rel: f64,
    /// `sqrt(mean((a - e)^2))`.
    pub rms: f64,
    /// Elements outside the tolerance.
    pub mismatches: usize,
    /// The first of them, in row-major order.
    pub first: Option<Mismatch>,
}

impl Comparison {
    pub fn within_tolerance(&self) -> bool {
        self.mismatches == 0
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison { elements, max_abs, max_rel, rms, mismatches, first } = self;
        write!(f, "max abs {max_abs:.3e}, max rel {max_rel:.3e}, rms {rms:.3e} over {elements} elements")?;
        if let Some(Mismatch { index, actual, expected }) = first {
            write!(f, "; {mismatches} outside the tolerance, first at {index:?}: {actual}, expected {expected}")?;
        }
        Ok(())
    }
}

/// Compares two tensors of one shape; their element types may differ.
pub fn compare(actual: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Result<Comparison> {
    Op("compare").shape("actual", actual, expected.shape())?;
    let mut result =
        Comparison { elements: expected.elements(), max_abs: 0.0, max_rel: 0.0, rms: 0.0, mismatches: 0, first: None };
    let mut squares = 0.0;
    for (i, (a, e)) in values(actual).into_iter().zip(values(expected)).enumerate() {
        let error = distance(a, e);
        squares += error * error;
        result.max_abs = result.max_abs.max(error);
        if e != 0.0 && error > 0.0 {
            // Beside an infinite or NaN expectation the quotient would be a NaN.
            result.max_rel = result.max_rel.max(if error.is_finite() { error / e.abs() } else { error });
        }
        // An infinite expectation would make the bound infinite too.
        if error.is_infinite() || error > tolerance.abs + tolerance.rel * e.abs() {
            result.mismatches += 1;
            result.first.get_or_insert_with(|| Mismatch {
                index: coordinates(expected.shape(), i),
                actual: a,
                expected: e,
            });
        }
    }
    if result.elements > 0 {
        result.rms = (squares / result.elements as f64).sqrt();
    }
    Ok(result)
}

fn distance(a: f64, e: f64) -> f64 {
    if a == e || (a.is_nan() && e.is_nan()) {
        return 0.0;
    }
    let error = (a - e).abs();
    if error.is_nan() { f64::INFINITY } else { error }
}

/// Integers without the detour through f32, which would lose those above 2^24.
fn values(tensor: &Tensor) -> Vec<f64> {
    match tensor.to_i64() {
        Some(integers) => integers.into_iter().map(|x| x as f64).collect(),
        None => tensor.to_f32().into_iter().map(f64::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;

    const TIGHT: Tolerance = Tolerance { abs: 1e-6, rel: 0.0 };

    fn f32s(values: &[f32]) -> Tensor {
        Tensor::f32([values.len()], values).unwrap()
    }

    #[test]
    fn norms_by_hand() {
        let actual = Tensor::f32([2, 2], [1.0, 2.5, 0.0, -4.0]).unwrap();
        let expected = Tensor::f32([2, 2], [1.0, 2.0, 0.5, -4.0]).unwrap();
        let result = compare(&actual, &expected, TIGHT).unwrap();
        assert_eq!((result.max_abs, result.max_rel, result.rms), (0.5, 1.0, 0.125f64.sqrt()));
        assert_eq!(result.mismatches, 2);
        assert_eq!(result.first, Some(Mismatch { index: vec![0, 1], actual: 2.5, expected: 2.0 }));
        assert_eq!(
            result.to_string(),
            "max abs 5.000e-1, max rel 1.000e0, rms 3.536e-1 over 4 elements; \
             2 outside the tolerance, first at [0, 1]: 2.5, expected 2"
        );
    }

    #[test]
    fn tolerances_add() {
        let (actual, expected) = (f32s(&[110.0]), f32s(&[100.0]));
        let within = |abs, rel| compare(&actual, &expected, Tolerance { abs, rel }).unwrap().within_tolerance();
        assert!(within(10.0, 0.0) && within(0.0, 0.1) && within(5.0, 0.05));
        assert!(!within(9.0, 0.0) && !within(0.0, 0.09));
    }

    #[test]
    fn nan_and_infinity() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let loose = Tolerance { abs: 1e3, rel: 1e3 };
        assert!(compare(&f32s(&[nan, inf, -inf]), &f32s(&[nan, inf, -inf]), TIGHT).unwrap().within_tolerance());
        for (a, e) in [(nan, 1.0), (1.0, nan), (inf, 1.0), (1.0, inf), (-inf, inf), (nan, inf)] {
            let result = compare(&f32s(&[0.0, a]), &f32s(&[0.0, e]), loose).unwrap();
            assert_eq!((result.mismatches, result.max_abs), (1, f64::INFINITY), "{a} for {e}");
            assert_eq!(result.first.unwrap().index, [1]);
        }
    }

    #[test]
    fn types_may_differ_but_shapes_may_not() {
        let half = Tensor::from_f32([1], Element::F16, vec![1.0]).unwrap();
        assert!(compare(&half, &f32s(&[1.0]), TIGHT).unwrap().within_tolerance());
        let (a, b) = (Tensor::i32([1], [1 << 24]).unwrap(), Tensor::i32([1], [(1 << 24) + 1]).unwrap());
        assert_eq!(compare(&a, &b, TIGHT).unwrap().mismatches, 1);
        assert!(compare(&half, &f32s(&[1.0, 2.0]), TIGHT).is_err());
        assert_eq!(compare(&f32s(&[]), &f32s(&[]), TIGHT).unwrap().rms, 0.0);
    }
}
