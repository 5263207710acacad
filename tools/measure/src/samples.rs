//! What samples say. Of none, everything is NaN.

/// The middle sample, or the mean of the two in the middle.
pub fn median(samples: &[f64]) -> f64 {
    let sorted = sorted(samples);
    match sorted.len() / 2 {
        0 => sorted.first().copied().unwrap_or(f64::NAN),
        middle if sorted.len() % 2 == 1 => sorted[middle],
        middle => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// The median of the distances from the median.
pub fn mad(samples: &[f64]) -> f64 {
    let middle = median(samples);
    median(&samples.iter().map(|sample| (sample - middle).abs()).collect::<Vec<_>>())
}

/// Half the distance between the quartiles, as a part of the median.
pub fn spread(samples: &[f64]) -> f64 {
    let sorted = sorted(samples);
    match (sorted.get(sorted.len() / 4), sorted.get(sorted.len() * 3 / 4)) {
        (Some(low), Some(high)) => (high - low) / 2.0 / median(samples),
        _ => f64::NAN,
    }
}

pub fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// The standard deviation of the population that the samples are of; 0 of one sample.
pub fn deviation(samples: &[f64]) -> f64 {
    let mean = mean(samples);
    let squares: f64 = samples.iter().map(|sample| (sample - mean) * (sample - mean)).sum();
    match samples.len() {
        0 => f64::NAN,
        1 => 0.0,
        count => (squares / (count - 1) as f64).sqrt(),
    }
}

pub fn min(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::NAN, f64::min)
}

pub fn max(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::NAN, f64::max)
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
        assert_eq!(mad(&[1.0, 2.0, 3.0, 4.0, 100.0]), 1.0);
        assert_eq!(spread(&[1.0, 2.0, 3.0, 4.0, 5.0]), 1.0 / 3.0);
        assert_eq!((mean(&[1.0, 2.0, 6.0]), min(&[2.0, 1.0]), max(&[1.0, 2.0])), (3.0, 1.0, 2.0));
        assert_eq!((deviation(&[1.0, 3.0]), deviation(&[5.0])), (2f64.sqrt(), 0.0));
    }

    #[test]
    fn nothing_is_said_of_no_samples() {
        for value in [median, mad, spread, mean, deviation, min, max].map(|of| of(&[])) {
            assert!(value.is_nan());
        }
    }
}
