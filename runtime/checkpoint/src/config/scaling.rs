//! Divisors of the rotary frequencies, from the parameters of a scaling and back.

use kforge_models::LongRope;
use std::f32::consts::TAU;

/// Parameters of llama3 scaling, as Hugging Face's `rope_scaling` names them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Llama3 {
    pub factor: f32,
    pub low_freq_factor: f32,
    pub high_freq_factor: f32,
    /// `original_max_position_embeddings`.
    pub original_context: f32,
}

/// A scaling by its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scaling {
    /// Every frequency is divided by this.
    Linear(f32),
    Llama3(Llama3),
}

/// The scaling that gives these divisors, up to the rounding of an f32. GGUF stores only the divisors of llama3
/// scaling; its parameters are searched among those that models have: a context that is a power of two, and wavelengths
/// of the whole and of a quarter of it as the ends of the interpolation.
pub(crate) fn of_divisors(head_dim: usize, base: f32, divisors: &[f32]) -> Option<Scaling> {
    let last = *divisors.last()?;
    if divisors.iter().all(|divisor| *divisor == last) {
        return Some(Scaling::Linear(last));
    }
    let contexts = (8..=20).map(|power| (1u32 << power) as f32);
    let scalings = contexts.map(|original_context| Llama3 {
        factor: last,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_context,
    });
    let near = |(a, b): (&f32, f32)| (a / b - 1.0).abs() < 1e-5;
    let mut found = scalings.filter(|scaling| divisors.iter().zip(llama3(head_dim, base, scaling)).all(near));
    found.next().map(Scaling::Llama3)
}

/// What scales RoPE: divisors of the frequencies, others for long contexts, and a factor of what is rotated.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scaled {
    pub divisors: Option<Vec<f32>>,
    pub long: Option<LongRope>,
    pub scale: f32,
}

impl Default for Scaled {
    fn default() -> Self {
        Scaled { divisors: None, long: None, scale: 1.0 }
    }
}

impl Scaled {
    pub fn by(divisors: Vec<f32>) -> Self {
        Scaled { divisors: Some(divisors), ..Scaled::default() }
    }
}

/// Parameters of YaRN, as Hugging Face's `rope_scaling` names them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Yarn {
    pub factor: f32,
    /// `original_max_position_embeddings`.
    pub original_context: f32,
    pub beta_fast: f32,
    pub beta_slow: f32,
}

/// YaRN: frequencies of fewer than `beta_slow` turns in the original context are divided by `factor`, those of more than
/// `beta_fast` stay, and those between are interpolated.
///
/// Source: `_compute_yarn_parameters` in transformers' `modeling_rope_utils.py`.
pub(super) fn yarn(head_dim: usize, base: f32, parameters: &Yarn) -> Vec<f32> {
    let Yarn { factor, original_context, beta_fast, beta_slow } = *parameters;
    // The pair that turns so often.
    let pair = |turns: f32| head_dim as f32 * (original_context / (turns * TAU)).ln() / (2.0 * base.ln());
    let (low, high) = (pair(beta_fast).floor().max(0.0), pair(beta_slow).ceil().min(head_dim as f32 - 1.0));
    let width = if low == high { 0.001 } else { high - low };
    let divisor = |i: usize| {
        let interpolated = ((i as f32 - low) / width).clamp(0.0, 1.0);
        1.0 / (interpolated / factor + (1.0 - interpolated))
    };
    (0..head_dim / 2).map(divisor).collect()
}

/// YaRN's factor of rotated elements.
pub(super) fn yarn_scale(factor: f32) -> f32 {
    if factor > 1.0 { 0.1 * factor.ln() + 1.0 } else { 1.0 }
}

/// LongRoPE's factor of rotated elements, where the context is `factor` times the original one.
pub(super) fn longrope_scale(factor: f32, original_context: f32) -> f32 {
    if factor > 1.0 { (1.0 + factor.ln() / original_context.ln()).sqrt() } else { 1.0 }
}

/// Linear scaling ("position interpolation"): every frequency is divided by `factor`.
pub(super) fn linear(head_dim: usize, factor: f32) -> Vec<f32> {
    vec![factor; head_dim / 2]
}

/// Llama 3.1's scaling: frequencies of a wavelength beyond `original_context / low_freq_factor` are divided by
/// `factor`, those below `original_context / high_freq_factor` stay, and those between are interpolated.
///
/// Source: `_compute_llama3_parameters` in transformers' `modeling_rope_utils.py`.
pub(super) fn llama3(head_dim: usize, base: f32, parameters: &Llama3) -> Vec<f32> {
    let Llama3 { factor, low_freq_factor: low, high_freq_factor: high, original_context } = *parameters;
    let divisor = |i: usize| {
        let wavelength = TAU * base.powf(2.0 * i as f32 / head_dim as f32);
        if wavelength < original_context / high {
            1.0
        } else if wavelength > original_context / low {
            factor
        } else {
            let smooth = (original_context / wavelength - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    (0..head_dim / 2).map(divisor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama 3.2 1B. The three numbers between were computed apart, in f64.
    #[test]
    fn llama3_keeps_short_waves_and_stretches_long_ones() {
        let parameters = Llama3 { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192.0 };
        let divisors = llama3(64, 500_000.0, &parameters);
        assert_eq!(divisors.len(), 32);
        assert!(divisors[..15].iter().all(|divisor| *divisor == 1.0), "{divisors:?}");
        assert!(divisors[18..].iter().all(|divisor| *divisor == 32.0), "{divisors:?}");
        for (divisor, expected) in divisors[15..18].iter().zip([1.651_329, 3.292_263, 9.666_73]) {
            assert!((divisor / expected - 1.0).abs() < 1e-4, "{divisors:?}");
        }
    }

    #[test]
    fn parameters_are_found_again() {
        for (head_dim, factor, original_context) in [(64, 32.0, 8192.0), (128, 8.0, 8192.0), (128, 4.0, 32768.0)] {
            let scaling = Llama3 { factor, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context };
            let mut divisors = llama3(head_dim, 500_000.0, &scaling);
            assert_eq!(of_divisors(head_dim, 500_000.0, &divisors), Some(Scaling::Llama3(scaling)));
            divisors[head_dim / 4] *= 1.1;
            assert_eq!(of_divisors(head_dim, 500_000.0, &divisors), None);
        }
        assert_eq!(of_divisors(8, 1e4, &linear(8, 2.5)), Some(Scaling::Linear(2.5)));
    }
}
