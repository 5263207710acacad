//! Comparison of tensors: error norms and tolerances.

use crate::check::{Op, coordinates};
use crate::{Element, Result, Tensor};
use std::fmt;

/// An element a matches e where `|a - e| <= abs + rel * |e|`. A NaN matches a NaN, an infinity itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    pub abs: f64,
    pub rel: f64,
}

/// As [`Tolerance`], but relative to the other elements of a row: a matches e where
/// `|a - e| <= row * sqrt(rms^2 + e^2) + rel * |e|`, rms being that of the row (the last axis) that e is in. An element near
/// zero is a difference of terms as large as its neighbours', so it has their absolute error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowTolerance {
    pub row: f64,
    pub rel: f64,
}

/// Shorter rows are too short to estimate the magnitude of terms; they use the rms of the whole tensor.
const SHORT_ROW: usize = 16;

/// The properties of a function that determine how far two correct results may differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roundings {
    /// Results of arithmetic, one after the other.
    pub ops: usize,
    /// Terms of the longest sum.
    pub terms: usize,
    /// The coarsest element type among the results; fused kernels do not round all of them to it.
    pub stored: Element,
    /// Products whose activations are rounded to 8 bits in blocks of 32, by one side alone or from slightly different
    /// numbers.
    pub to_8_bits: usize,
    /// Products of which one side rounds both operands to f16.
    pub to_f16: usize,
}

impl Roundings {
    /// Number of standard deviations that a correct result may be off: the largest of a million errors has five, and norms and
    /// softmax amplify errors of their inputs.
    const DEVIATIONS: f64 = 8.0;
    /// Minimum tolerance relative to a row. Exponentials amplify an error by the magnitude of their argument, which does not
    /// follow from the number of terms.
    const LEAST: f64 = 1e-4;
    /// Maximum: a missing term as large as the row's elements must be detected, whatever is rounded.
    const MOST: f64 = 0.5;
    /// Relative error of generated exp, erf, tanh, sin and cos.
    const FUNCTION: f64 = 4e-7;
    /// Of a block of 32 that is rounded to 127 steps: `max|x| / 127 / sqrt(12)`, max|x| of a normal distribution being
    /// 2.3 times its rms, and up to 5.7 times where one element is all there is.
    const BLOCK: f64 = 0.01;

    /// How far results of this element type may differ. Integers must be equal.
    ///
    /// Errors of independent roundings add up like a random walk's steps, relative to the rms of a row: a sum of K terms in
    /// f32 is off by `2^-24 sqrt(K / 2)` of its size, twice that where blocks have a minimum or an offset, as terms are
    /// twice the result then; a stored value by half the unit roundoff of its type; a product of f16 factors by that
    /// of both.
    pub fn tolerance(&self, result: Element) -> RowTolerance {
        if result.is_integer() {
            return RowTolerance { row: 0.0, rel: 0.0 };
        }
        let Roundings { ops, terms, stored, to_8_bits, to_f16 } = *self;
        let sum = 2.0 * terms as f64 * unit_roundoff(Element::F32).powi(2) + Self::FUNCTION.powi(2);
        let half = |element| (unit_roundoff(element) / 2.0).powi(2);
        let variance = ops as f64 * (sum + half(stored))
            + to_8_bits as f64 * Self::BLOCK.powi(2)
            + to_f16 as f64 * 2.0 * half(Element::F16);
        let row = (Self::DEVIATIONS * variance.sqrt()).clamp(Self::LEAST, Self::MOST);
        // Each side has rounded the result once; by 1 + 2^-4, as the actual one may be the larger.
        RowTolerance { row, rel: 2.125 * unit_roundoff(result) }
    }
}

/// Half a unit in the last place of a number just above a power of two, relative to it. Quantised weights and integers,
/// which are exact in both computations, count as f32.
fn unit_roundoff(element: Element) -> f64 {
    match element {
        Element::BF16 => 2f64.powi(-8),
        Element::F16 => 2f64.powi(-11),
        _ => 2f64.powi(-24),
    }
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
    compare_within(actual, expected, |_| (), |(), e| tolerance.abs + tolerance.rel * e.abs())
}

/// The same within a tolerance that depends on the row.
pub fn compare_rows(actual: &Tensor, expected: &Tensor, tolerance: RowTolerance) -> Result<Comparison> {
    let all = rms(&values(expected));
    let scale = |row: &[f64]| if row.len() < SHORT_ROW { all } else { rms(row) };
    compare_within(actual, expected, scale, |rms, e| tolerance.row * rms.hypot(e) + tolerance.rel * e.abs())
}

/// `bound` is the largest difference of an element from what is expected, in a row of this `scale`.
fn compare_within<S: Copy>(
    actual: &Tensor,
    expected: &Tensor,
    scale: impl Fn(&[f64]) -> S,
    bound: impl Fn(S, f64) -> f64,
) -> Result<Comparison> {
    Op("compare").shape("actual", actual, expected.shape())?;
    let mut result =
        Comparison { elements: expected.elements(), max_abs: 0.0, max_rel: 0.0, rms: 0.0, mismatches: 0, first: None };
    let mut squares = 0.0;
    let width = expected.shape().last().copied().unwrap_or(1).max(1);
    let (actual, wanted) = (values(actual), values(expected));
    for (row, (actual, wanted)) in actual.chunks(width).zip(wanted.chunks(width)).enumerate() {
        let scale = scale(wanted);
        for (column, (&a, &e)) in actual.iter().zip(wanted).enumerate() {
            let error = distance(a, e);
            squares += error * error;
            result.max_abs = result.max_abs.max(error);
            if e != 0.0 && error > 0.0 {
                // Beside an infinite or NaN expectation the quotient would be a NaN.
                result.max_rel = result.max_rel.max(if error.is_finite() { error / e.abs() } else { error });
            }
            // An infinite expectation would make the bound infinite too.
            if error.is_infinite() || error > bound(scale, e) {
                result.mismatches += 1;
                result.first.get_or_insert_with(|| Mismatch {
                    index: coordinates(expected.shape(), row * width + column),
                    actual: a,
                    expected: e,
                });
            }
        }
    }
    if result.elements > 0 {
        result.rms = (squares / result.elements as f64).sqrt();
    }
    Ok(result)
}

/// Of the finite values; 0 if there are none.
fn rms(values: &[f64]) -> f64 {
    let finite = || values.iter().filter(|value| value.is_finite());
    (finite().map(|value| value * value).sum::<f64>() / finite().count().max(1) as f64).sqrt()
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

    const ONE: Roundings = Roundings { ops: 1, terms: 64, stored: Element::F32, to_8_bits: 0, to_f16: 0 };

    /// Rows of a linear layer: products of uniform numbers in [-1, 1), in f64.
    fn linear(rows: usize, columns: usize, terms: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let floats = |seed, count| -> Vec<f64> {
            let values = crate::random::uniform(seed, &[count], Element::F32).unwrap().to_f32();
            values.into_iter().map(f64::from).collect()
        };
        let (x, w) = (floats(1, rows * terms), floats(2, columns * terms));
        let dot = |i: usize| -> f64 {
            let (x, w) = (&x[i / columns * terms..][..terms], &w[i % columns * terms..][..terms]);
            x.iter().zip(w).map(|(x, w)| x * w).sum()
        };
        let products = (0..rows * columns).map(dot).collect();
        (x, w, products)
    }

    fn tensor(columns: usize, element: Element, values: &[f64]) -> Tensor {
        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        Tensor::from_f32([values.len() / columns, columns], element, values).unwrap()
    }

    /// The chain of multiply-adds that a kernel has.
    fn chains(x: &[f64], w: &[f64], terms: usize, columns: usize) -> Vec<f64> {
        let dot = |i: usize| {
            let (x, w) = (&x[i / columns * terms..][..terms], &w[i % columns * terms..][..terms]);
            x.iter().zip(w).fold(0f32, |acc, (x, w)| (*x as f32).mul_add(*w as f32, acc))
        };
        (0..x.len() / terms * columns).map(|i| f64::from(dot(i))).collect()
    }

    #[test]
    fn right_answers_of_each_type_pass_and_a_dropped_bias_fails() {
        let (rows, columns) = (8, 96);
        for terms in [32, 64, 1024] {
            let (x, w, exact) = linear(rows, columns, terms);
            let chain = chains(&x, &w, terms, columns);
            let size = rms(&exact);
            // A hundredth of what the rows' numbers are, in bf16 a tenth.
            for (element, part) in [(Element::F32, 0.01), (Element::F16, 0.05), (Element::BF16, 0.2)] {
                let roundings = Roundings { terms, stored: element, ..ONE };
                let tolerance = roundings.tolerance(element);
                let expected = tensor(columns, element, &exact);
                let right = compare_rows(&tensor(columns, element, &chain), &expected, tolerance).unwrap();
                assert!(right.within_tolerance(), "{element}, {terms} terms: {right}");
                // A second rounding on the way, as of a kernel that is not fused.
                let twice: Vec<f64> = tensor(columns, element, &chain).to_f32().iter().map(|x| f64::from(*x)).collect();
                let twice: Vec<f64> = twice.iter().map(|x| x * (1.0 + unit_roundoff(element) / 2.0)).collect();
                let right = compare_rows(&tensor(columns, element, &twice), &expected, tolerance).unwrap();
                assert!(right.within_tolerance(), "{element}, {terms} terms: {right}");
                for part in [part, 1.0] {
                    let bias = |i: usize| part * size * if i.is_multiple_of(3) { 1.0 } else { -0.7 };
                    let dropped: Vec<f64> = chain.iter().enumerate().map(|(i, x)| x - bias(i % columns)).collect();
                    let wrong = compare_rows(&tensor(columns, element, &dropped), &expected, tolerance).unwrap();
                    assert!(wrong.mismatches > rows * columns / 4, "{element}, {terms} terms, {part}: {wrong}");
                }
            }
        }
    }

    #[test]
    fn activations_in_8_bits_and_factors_in_f16_pass_and_a_dropped_bias_fails() {
        let (rows, columns, terms) = (8, 96, 256);
        let (x, w, exact) = linear(rows, columns, terms);
        let expected = tensor(columns, Element::F32, &exact);
        let blocks: Vec<f64> = x
            .chunks(32)
            .flat_map(|block| {
                let d = block.iter().fold(0f64, |most, x| most.max(x.abs())) / 127.0;
                block.iter().map(move |x| (x / d).round() * d).collect::<Vec<_>>()
            })
            .collect();
        let halves =
            |values: &[f64]| -> Vec<f64> { values.iter().map(|value| half::f16::from_f64(*value).to_f64()).collect() };
        let in_8_bits = (blocks, w.clone(), Roundings { terms, to_8_bits: 1, ..ONE });
        let in_f16 = (halves(&x), halves(&w), Roundings { terms, to_f16: 1, ..ONE });
        for (x, w, roundings) in [in_8_bits, in_f16] {
            let chain = chains(&x, &w, terms, columns);
            let tolerance = roundings.tolerance(Element::F32);
            let check = |values: &[f64], tolerance| {
                compare_rows(&tensor(columns, Element::F32, values), &expected, tolerance).unwrap()
            };
            assert!(check(&chain, tolerance).within_tolerance(), "{}", check(&chain, tolerance));
            // They account for the difference.
            assert!(!check(&chain, Roundings { terms, ..ONE }.tolerance(Element::F32)).within_tolerance());
            let dropped: Vec<f64> = chain.iter().map(|x| x - rms(&exact)).collect();
            assert!(check(&dropped, tolerance).mismatches > rows * columns / 2);
        }
    }

    #[test]
    fn the_deepest_function_still_shows_what_is_missing() {
        let deep = Roundings { ops: 1 << 20, terms: 1 << 20, stored: Element::BF16, to_8_bits: 1000, to_f16: 1000 };
        let tolerance = deep.tolerance(Element::BF16);
        let expected: Vec<f64> = (0..64).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let missing: Vec<f64> = expected.iter().map(|e| e - 1.0).collect();
        let of = |values: &[f64]| {
            compare_rows(&tensor(64, Element::F32, values), &tensor(64, Element::F32, &expected), tolerance)
        };
        assert!(of(&expected).unwrap().within_tolerance());
        assert_eq!(of(&missing).unwrap().mismatches, 64);
    }

    #[test]
    fn rows_have_their_own_size_and_zeros_are_zeros() {
        let tolerance = RowTolerance { row: 0.1, rel: 0.0 };
        let expected: Vec<f64> = (0..48).map(|i| [1e6, 1.0, 0.0][i / 16]).collect();
        let expected = tensor(16, Element::F32, &expected);
        let off = |index: usize, error: f64| {
            let mut values: Vec<f64> = expected.to_f32().iter().map(|x| f64::from(*x)).collect();
            values[index] += error;
            compare_rows(&tensor(16, Element::F32, &values), &expected, tolerance).unwrap().mismatches
        };
        // 0.1 * sqrt(2) of the row's rms.
        assert_eq!((off(3, 1.4e5), off(3, 1.5e5), off(20, 0.14), off(20, 0.15)), (0, 1, 0, 1));
        assert_eq!((off(40, 0.0), off(40, 1e-9)), (0, 1));
        // Of a row of one, the whole tensor says what is small.
        let column = |values: &[f32]| Tensor::f32([3, 1], values).unwrap();
        let near = compare_rows(&column(&[3.0, 0.1, 4.0]), &column(&[3.0, 0.0, 4.0]), tolerance).unwrap();
        assert!(near.within_tolerance());
    }

    #[test]
    fn rows_with_nan_and_infinity() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let row = |special: f32| {
            let mut values = [1.0; 16];
            values[5] = special;
            Tensor::f32([1, 16], values).unwrap()
        };
        let tolerance = RowTolerance { row: 0.5, rel: 0.5 };
        let mismatches = |a, e| compare_rows(&row(a), &row(e), tolerance).unwrap().mismatches;
        for special in [nan, inf, -inf] {
            assert_eq!((mismatches(special, special), mismatches(special, 1.0), mismatches(1.0, special)), (0, 1, 1));
        }
        assert_eq!((mismatches(inf, -inf), mismatches(nan, inf)), (1, 1));
        let empty = Tensor::f32([0, 16], []).unwrap();
        assert!(compare_rows(&empty, &empty, tolerance).unwrap().within_tolerance());
        let scalar = |x| Tensor::f32([], [x]).unwrap();
        assert!(!compare_rows(&scalar(-1.0), &scalar(4.0), tolerance).unwrap().within_tolerance());
    }

    #[test]
    fn integers_must_be_equal() {
        let tolerance = Roundings { to_8_bits: 9, ..ONE }.tolerance(Element::I32);
        let ids = |x| Tensor::i32([1, 16], [x; 16]).unwrap();
        assert!(compare_rows(&ids(1000), &ids(1000), tolerance).unwrap().within_tolerance());
        assert_eq!(compare_rows(&ids(1000), &ids(1001), tolerance).unwrap().mismatches, 16);
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
