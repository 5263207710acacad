//! Divisors of the rotary frequencies, from the parameters of a scaling.

use std::f32::consts::TAU;

/// Parameters of llama3 scaling, as Hugging Face's `rope_scaling` names them.
pub(super) struct Llama3 {
    pub factor: f32,
    pub low_freq_factor: f32,
    pub high_freq_factor: f32,
    /// `original_max_position_embeddings`.
    pub original_context: f32,
}

/// Linear scaling ("position interpolation"): every frequency is divided by `factor`.
pub(super) fn linear(head_dim: usize, factor: f32) -> Vec<f32> {
    vec![factor; head_dim / 2]
}

/// Llama 3.1's scaling: frequencies of a wavelength beyond `original_context / low_freq_factor` are divided by `factor`,
/// those below `original_context / high_freq_factor` stay, and those between are interpolated.
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
}
