//! How well a model predicts a text, and how two models' predictions differ, from their logits.
//!
//! The numbers are those of llama.cpp's `llama-perplexity`: a text is cut into chunks of the context, and the second half of
//! each is predicted from what precedes it there.

use std::num::NonZeroUsize;

/// Sums over predicted tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    pub tokens: u64,
    /// Of negative log-likelihoods, in nats.
    nll: f64,
    /// Of their squares.
    nll_squares: f64,
}

/// Sums over predicted tokens of two models.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Differences {
    tokens: u64,
    divergence: f64,
    same_best: u64,
}

impl Sums {
    /// Adds the predictions of `next`, given the logits of as many rows.
    pub fn add(&mut self, logits: &[f32], next: &[u32]) {
        for (row, token) in rows(logits, next.len()).zip(next) {
            let nll = log_sum_exp(row) - f64::from(row[*token as usize]);
            self.tokens += 1;
            self.nll += nll;
            self.nll_squares += nll * nll;
        }
    }

    /// Mean negative log-likelihood, in nats.
    pub fn nll(&self) -> f64 {
        self.nll / self.tokens as f64
    }

    pub fn perplexity(&self) -> f64 {
        self.nll().exp()
    }

    /// Standard error of the perplexity.
    pub fn standard_error(&self) -> f64 {
        let (count, mean) = (self.tokens as f64, self.nll());
        let variance = (self.nll_squares / count - mean * mean).max(0.0);
        (variance / (count - 1.0)).sqrt() * self.perplexity()
    }
}

impl Differences {
    /// Adds the Kullback-Leibler divergence of each row from the base's, KL(base || row), and whether both have the same best
    /// token.
    pub fn add(&mut self, base: &[f32], logits: &[f32], count: usize) {
        for (p, q) in rows(base, count).zip(rows(logits, count)) {
            let (p_sum, q_sum) = (log_sum_exp(p), log_sum_exp(q));
            let term = |(p, q): (&f32, &f32)| {
                let (p, q) = (f64::from(*p) - p_sum, f64::from(*q) - q_sum);
                p.exp() * (p - q)
            };
            self.tokens += 1;
            self.divergence += p.iter().zip(q).map(term).sum::<f64>();
            self.same_best += u64::from(best(p) == best(q));
        }
    }

    /// Mean divergence, in nats.
    pub fn divergence(&self) -> f64 {
        self.divergence / self.tokens as f64
    }

    /// Share of rows with the same best token.
    pub fn same_best(&self) -> f64 {
        self.same_best as f64 / self.tokens as f64
    }
}

/// The rows of [count, V].
fn rows(logits: &[f32], count: usize) -> impl Iterator<Item = &[f32]> {
    let width = NonZeroUsize::new(logits.len().checked_div(count).unwrap_or(0)).map_or(1, NonZeroUsize::get);
    logits.chunks_exact(width)
}

fn log_sum_exp(row: &[f32]) -> f64 {
    let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    max + row.iter().map(|x| (f64::from(*x) - max).exp()).sum::<f64>().ln()
}

fn best(row: &[f32]) -> usize {
    let greater = |best: usize, (i, x): (usize, &f32)| if *x > row[best] { i } else { best };
    row.iter().enumerate().fold(0, greater)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Probabilities 1/2, 1/4, 1/4, and 1/3 each.
        let logits = [2f32.ln(), 0.0, 0.0, 5.0, 5.0, 5.0];
        let mut sums = Sums::default();
        sums.add(&logits, &[0, 2]);
        let expected = (2f64.ln() + 3f64.ln()) / 2.0;
        assert!((sums.nll() - expected).abs() < 1e-7, "{}", sums.nll());
        assert!((sums.perplexity() - 6f64.sqrt()).abs() < 1e-6);
        let deviation = (3f64.ln() - 2f64.ln()) / 2.0;
        assert!((sums.standard_error() - deviation * 6f64.sqrt()).abs() < 1e-6, "{}", sums.standard_error());
    }

    #[test]
    fn differences_by_hand() {
        let (base, other) = ([2f32.ln(), 0.0, 0.0], [0.0, 0.0, 2f32.ln()]);
        let mut same = Differences::default();
        same.add(&base, &base, 1);
        assert_eq!((same.divergence(), same.same_best()), (0.0, 1.0));
        let mut differences = Differences::default();
        differences.add(&base, &other, 1);
        // 1/2 ln(1/2 / 1/4) + 1/4 ln(1/4 / 1/2).
        assert!((differences.divergence() - 0.25 * 2f64.ln()).abs() < 1e-7, "{}", differences.divergence());
        assert_eq!(differences.same_best(), 0.0);
        // No overflow at large logits.
        let mut large = Sums::default();
        large.add(&[1000.0, 999.0], &[0]);
        assert!((large.nll() - (1.0 + (-1f64).exp()).ln()).abs() < 1e-7);
    }
}
