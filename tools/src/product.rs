//! Checks a matrix product without computing all of it.

use anyhow::{Result, bail};
use kforge_engine::module::weight_type;
use kforge_reference::{Element, Tensor, random::SplitMix64};

/// Sizes of C[M, N] = A[M, K] x B[N, K]^T; none is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

impl Shape {
    /// Elements of A, B and C together; `None` on overflow.
    pub fn elements(self) -> Option<usize> {
        let Shape { m, n, k } = self;
        m.checked_mul(k)?.checked_add(n.checked_mul(k)?)?.checked_add(m.checked_mul(n)?)
    }

    /// A module whose `main` is the product as a `transformer.linear`: A and C of `activations`, B the constant weight
    /// `b` of `weight`.
    pub fn module(self, activations: kforge_program::Element, weight: kforge_program::Element) -> String {
        let Shape { m, n, k } = self;
        let [a, b, c] =
            [([m, k], activations), ([n, k], weight), ([m, n], activations)].map(|(dims, e)| weight_type(&dims, e));
        format!(
            "ml_program.global private @b(#ml_program.extern<{b}>) : {b}
func.func @main(%a: {a}) -> {c} {{
  %b = ml_program.global_load_const @b : {b}
  %c = transformer.linear %a, %b : {a}, {b} -> {c}
  return %c : {c}
}}
"
        )
    }

    /// Floating-point operations of the product; a multiply-add is two.
    pub fn operations(self) -> f64 {
        2.0 * self.m as f64 * self.n as f64 * self.k as f64
    }
}

/// Relative error of a product of two factors rounded to f16: half a unit in the last place each.
pub const HALF_FACTORS: f64 = 1.0 / 1024.0;

/// Maximum multiply-adds in f64 per check: a tenth of a second.
const WORK: usize = 100_000_000;

/// Minimum number of checked elements; twice as many again are on the last row and column, where edge tiles are.
const LEAST: usize = 64;

/// Standard deviations that the error of a chain may deviate from zero.
const LAMBDA: f64 = 6.0;

/// An element of C, its expected value, and the sum of its terms' magnitudes.
struct Checked {
    index: usize,
    actual: f64,
    exact: f64,
    magnitude: f64,
}

/// Error norms of a result against its reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Errors {
    /// Elements compared: all, or an even sample of a large result.
    pub elements: u64,
    /// Largest absolute error.
    pub max_abs: f64,
    /// Root of the mean square error.
    pub rms: f64,
    /// Root of the mean square of the reference itself, which `rms` is small against.
    pub reference_rms: f64,
}

impl Errors {
    /// The norms of pairs of actual and expected values.
    pub fn of(pairs: impl Iterator<Item = (f64, f64)>) -> Errors {
        let mut errors = Errors::default();
        for (actual, expected) in pairs {
            let error = (actual - expected).abs();
            errors.elements += 1;
            // NaN counts as an infinite error.
            errors.max_abs = if error.is_nan() { f64::INFINITY } else { errors.max_abs.max(error) };
            errors.rms += error * error;
            errors.reference_rms += expected * expected;
        }
        let count = errors.elements.max(1) as f64;
        errors.rms = (errors.rms / count).sqrt();
        errors.reference_rms = (errors.reference_rms / count).sqrt();
        errors
    }
}

/// The operands of a product, widened to f32.
pub struct Product {
    shape: Shape,
    a: Vec<f32>,
    b: Vec<f32>,
}

impl Product {
    /// # Errors
    /// If the operands are not A[M, K] and B[N, K].
    pub fn new(shape: Shape, a: &Tensor, b: &Tensor) -> Result<Product> {
        let Shape { m, n, k } = shape;
        if a.shape() != [m, k] || b.shape() != [n, k] {
            bail!("a must be {m}x{k} and b {n}x{k}, but they are {} and {}", a.type_name(), b.type_name());
        }
        Ok(Product { shape, a: a.to_f32(), b: b.to_f32() })
    }

    /// The largest absolute error of C[M, N], over all elements or a random sample that covers it evenly.
    ///
    /// A chain of K multiply-adds in f32 is off by at most about `LAMBDA * sqrt(K) * u * sum(|a| * |b|)`, u being 2^-24
    /// (Higham and Mary, A new approach to probabilistic rounding error analysis, 2019); rounding to the element type
    /// of C adds half a unit in the last place.
    ///
    /// # Errors
    /// If an element is off by more, or C is not a float matrix of that shape.
    pub fn check(&self, c: &Tensor) -> Result<f64> {
        self.check_of(c, 0.0)
    }

    /// The same for products with a relative error of up to `rounding` each.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_of(&self, c: &Tensor, rounding: f64) -> Result<f64> {
        let Shape { n, k, .. } = self.shape;
        // Half a unit in the last place, relative, and in the subnormal range.
        let (relative, least) = match c.element() {
            Element::F32 => (2f64.powi(-24), 2f64.powi(-150)),
            Element::F16 => (2f64.powi(-11), 2f64.powi(-25)),
            Element::BF16 => (2f64.powi(-8), 2f64.powi(-134)),
            other => bail!("the result's elements are {other}, not floats"),
        };
        let mut largest = 0f64;
        for Checked { index, actual, exact, magnitude } in self.checked(c)? {
            let chain = (LAMBDA * (k as f64).sqrt() * 2f64.powi(-24) + rounding) * magnitude;
            let bound = chain + relative * (exact.abs() + chain) + least;
            let error = (actual - exact).abs();
            if error.is_nan() || error > bound {
                let (i, j) = (index / n, index % n);
                bail!("the result is wrong at [{i}, {j}]: {actual}, expected {exact} within {bound:.1e}");
            }
            largest = largest.max(error);
        }
        Ok(largest)
    }

    /// How far C[M, N] is from the product, over the same elements, whatever the errors are.
    ///
    /// # Errors
    /// If C has another shape.
    pub fn errors(&self, c: &Tensor) -> Result<Errors> {
        Ok(Errors::of(self.checked(c)?.map(|c| (c.actual, c.exact))))
    }

    /// Each element that is checked, with sums in f64.
    fn checked(&self, c: &Tensor) -> Result<impl Iterator<Item = Checked>> {
        let Shape { m, n, k } = self.shape;
        if c.shape() != [m, n] {
            bail!("the result must be {m}x{n}, but is {}", c.type_name());
        }
        let c = c.to_f32();
        Ok(self.sample().into_iter().map(move |index| {
            let (i, j) = (index / n, index % n);
            let (mut exact, mut magnitude) = (0f64, 0f64);
            for (a, b) in self.a[i * k..][..k].iter().zip(&self.b[j * k..][..k]) {
                let term = f64::from(*a) * f64::from(*b);
                exact += term;
                magnitude += term.abs();
            }
            Checked { index, actual: f64::from(c[index]), exact, magnitude }
        }))
    }

    /// Indices of the elements that are checked.
    fn sample(&self) -> Vec<usize> {
        let Shape { m, n, k } = self.shape;
        let count = (WORK / k).max(LEAST);
        if m * n <= count {
            return (0..m * n).collect();
        }
        let mut state = SplitMix64(3);
        let mut below = |bound: usize| (state.next_u64() % bound as u64) as usize;
        // One from each of `count` strips, then the edges.
        let start = |strip: usize| (strip as u128 * (m * n) as u128 / count as u128) as usize;
        let mut indices: Vec<usize> = (0..count).map(|i| start(i) + below(start(i + 1) - start(i))).collect();
        for _ in 0..LEAST {
            indices.push((m - 1) * n + below(n));
            indices.push(below(m) * n + n - 1);
        }
        indices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kforge_reference::{linear, random::uniform};

    fn operands(shape: Shape, element: Element) -> (Tensor, Tensor) {
        let of = |seed, rows| uniform(seed, &[rows, shape.k], element).unwrap();
        (of(1, shape.m), of(2, shape.n))
    }

    #[test]
    fn a_right_product_passes_and_each_wrong_element_is_found() {
        let shape = Shape { m: 3, n: 5, k: 100 };
        for element in [Element::F32, Element::F16, Element::BF16] {
            let (a, b) = operands(shape, element);
            let product = Product::new(shape, &a, &b).unwrap();
            let c = linear(&a, &b, None).unwrap();
            let error = product.check(&c).unwrap();
            assert!(error > 0.0 && error < 0.05, "{element}: {error}");
            for index in 0..15 {
                for wrong in [f32::NAN, c.to_f32()[index] + 0.5] {
                    let mut values = c.to_f32();
                    values[index] = wrong;
                    let message = product.check(&Tensor::from_f32([3, 5], element, values).unwrap()).unwrap_err();
                    let place = format!("wrong at [{}, {}]", index / 5, index % 5);
                    assert!(message.to_string().contains(&place), "{element}: {message}");
                }
            }
        }
    }

    #[test]
    fn norms_by_hand() {
        let errors = Errors::of([(1.0, 1.0), (3.0, 4.0)].into_iter());
        let expected = Errors { elements: 2, max_abs: 1.0, rms: 0.5f64.sqrt(), reference_rms: 8.5f64.sqrt() };
        assert_eq!(errors, expected);
        assert_eq!(Errors::of([(f64::NAN, 1.0), (1.0, 1.0)].into_iter()).max_abs, f64::INFINITY);
        assert_eq!(Errors::of(std::iter::empty()), Errors::default());
    }

    #[test]
    fn a_chain_in_f32_passes_and_one_without_its_last_term_does_not() {
        let shape = Shape { m: 1, n: 8, k: 4096 };
        let (a, b) = operands(shape, Element::F32);
        let product = Product::new(shape, &a, &b).unwrap();
        let (x, w) = (a.to_f32(), b.to_f32());
        let chains = |terms: usize| {
            let chain = |j: usize| (0..terms).fold(0f32, |sum, k| x[k].mul_add(w[j * 4096 + k], sum));
            Tensor::f32([1, 8], (0..8).map(chain).collect::<Vec<_>>()).unwrap()
        };
        product.check(&chains(4096)).unwrap();
        product.check(&chains(4095)).unwrap_err();
    }

    #[test]
    fn a_sample_covers_a_large_product() {
        let shape = Shape { m: 2000, n: 3000, k: 1000 };
        let sample = |shape| Product { shape, a: vec![], b: vec![] }.sample();
        let last = sample(Shape { m: 1, n: 150_000, k: 1000 })[99_999];
        assert!((149_998..150_000).contains(&last), "{last}");
        let sample = sample(shape);
        assert!(sample.len() >= 100_000 && sample.iter().all(|i| *i < 6_000_000));
        assert!(sample.windows(2).take(99_999).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] < 120));
        assert!(sample.iter().filter(|i| *i / 3000 == 1999).count() >= 64);
        assert!(sample.iter().filter(|i| *i % 3000 == 2999).count() >= 64);
    }

    #[test]
    fn sizes_do_not_overflow() {
        assert_eq!(Shape { m: 2, n: 3, k: 5 }.elements(), Some(10 + 15 + 6));
        assert_eq!(Shape { m: usize::MAX, n: 2, k: 1 }.elements(), None);
        assert_eq!(Shape { m: 1 << 32, n: 1 << 32, k: 1 }.elements(), None);
        assert_eq!(Shape { m: 2, n: 3, k: 5 }.operations(), 60.0);
    }
}
