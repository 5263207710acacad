//! `gelu`, `silu`, `swiglu`, `scale`, `softcap`.

use crate::check::Op;
use crate::{Error, Result, Tensor};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};
use std::str::FromStr;

/// Which formula `gelu` is (attribute `approximate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approximate {
    None,
    Tanh,
}

impl FromStr for Approximate {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "none" => Ok(Approximate::None),
            "tanh" => Ok(Approximate::Tanh),
            _ => Err(Op("gelu").attribute("approximate", "none or tanh", name)),
        }
    }
}

/// `x/2 (1 + erf(x / sqrt 2))`, or `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))` (Hendrycks and Gimpel, 2016).
pub fn gelu(input: &Tensor, approximate: Approximate) -> Result<Tensor> {
    map(Op("gelu"), input, |x| match approximate {
        // 1 + erf(y) = erfc(-y), which does not cancel where x is far below zero.
        Approximate::None => 0.5 * x * libm::erfc(-x * FRAC_1_SQRT_2),
        Approximate::Tanh => 0.5 * x * (1.0 + (FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3))).tanh()),
    })
}

/// `x / (1 + exp(-x))`.
pub fn silu(input: &Tensor) -> Result<Tensor> {
    map(Op("silu"), input, sigmoid_weighted)
}

/// `silu(gate) * up`, rounded once (Shazeer, 2020).
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let op = Op("swiglu");
    op.shape("up", up, gate.shape())?;
    let (x, y) = (op.floats("gate", gate)?, op.floats("up", up)?);
    let product = |(&x, &y): (&f32, &f32)| (sigmoid_weighted(x.into()) * f64::from(y)) as f32;
    Tensor::from_f32(gate.shape(), gate.element(), x.iter().zip(&y).map(product).collect())
}

/// `factor * x`.
pub fn scale(input: &Tensor, factor: f32) -> Result<Tensor> {
    map(Op("scale"), input, |x| f64::from(factor) * x)
}

/// `cap * tanh(x / cap)` (Gemma 2, 2024).
pub fn softcap(input: &Tensor, cap: f32) -> Result<Tensor> {
    let cap = f64::from(cap);
    map(Op("softcap"), input, |x| cap * (x / cap).tanh())
}

fn sigmoid_weighted(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

fn map(op: Op<'_>, input: &Tensor, f: impl Fn(f64) -> f64) -> Result<Tensor> {
    let values = op.floats("input", input)?.into_iter().map(|x| f(x.into()) as f32).collect();
    Tensor::from_f32(input.shape(), input.element(), values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;

    fn f32s(values: &[f32]) -> Tensor {
        Tensor::f32([values.len()], values).unwrap()
    }

    fn assert_near(actual: &Tensor, expected: &[f64]) {
        for (a, e) in actual.to_f32().into_iter().zip(expected) {
            assert!((f64::from(a) - e).abs() <= 1e-7 * e.abs(), "{a} is not {e}");
        }
    }

    #[test]
    fn gelu_values() {
        let x = f32s(&[0.0, 1.0, -1.0, 3.0, -6.0]);
        // x * Phi(x), from tables of the normal distribution.
        let exact = [0.0, 0.8413447460685429, -0.15865525393145707, 2.99595030590511, -5.919525868749187e-9];
        assert_near(&gelu(&x, Approximate::None).unwrap(), &exact);
        let tanh = [0.0, 0.8411919906082768, -0.15880800939172324];
        assert_near(&gelu(&f32s(&[0.0, 1.0, -1.0]), Approximate::Tanh).unwrap(), &tanh);
    }

    #[test]
    fn silu_values() {
        let x = f32s(&[0.0, 1.0, -1.0, 100.0, -1000.0]);
        assert_near(&silu(&x).unwrap(), &[0.0, 0.7310585786300049, -0.2689414213699951, 100.0, 0.0]);
    }

    #[test]
    fn scaled_and_capped_values() {
        let x = f32s(&[0.0, 1.0, -3.0, 1e30]);
        assert_near(&scale(&x, -2.5).unwrap(), &[0.0, -2.5, 7.5, -2.5e30]);
        // 2 tanh(x / 2).
        assert_near(&softcap(&x, 2.0).unwrap(), &[0.0, 0.9242343145200195, -1.8102965072897328, 2.0]);
    }

    #[test]
    fn swiglu_is_silu_times_up() {
        let gate = f32s(&[1.0, -1.0]);
        assert_near(&swiglu(&gate, &f32s(&[2.0, 3.0])).unwrap(), &[1.4621171572600098, -0.8068242641099853]);
        assert!(swiglu(&gate, &f32s(&[2.0])).is_err());
        assert!(swiglu(&Tensor::i32([1], [1]).unwrap(), &f32s(&[2.0])).is_err());
    }

    #[test]
    fn results_have_the_inputs_type() {
        let x = Tensor::from_f32([0, 3], Element::BF16, vec![]).unwrap();
        assert_eq!(silu(&x).unwrap(), x);
        assert_eq!(gelu(&x, Approximate::Tanh).unwrap(), x);
        assert_eq!(swiglu(&x, &x).unwrap(), x);
    }

    #[test]
    fn approximate_by_name() {
        assert_eq!("tanh".parse(), Ok(Approximate::Tanh));
        let error = "erf".parse::<Approximate>().unwrap_err();
        assert_eq!(error.to_string(), "gelu: approximate must be none or tanh, but is erf");
    }
}
