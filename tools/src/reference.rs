//! Comparison with reference results: those of another implementation, with f32 activations on dequantised weights, for
//! a model.

use crate::bounds;
use anyhow::{Context as _, Result, bail};
use kforge_checkpoint::Tokenizer;
use kforge_runtime::{
    Decoder, Logits,
    sample::{Sampler, Sampling},
};
use serde::{Deserialize, Serialize};

/// What a faithful model stays within.
#[derive(clap::Args, Clone, Debug)]
pub struct Limits {
    /// Largest error of a logit
    #[arg(long, default_value_t = Limits::default().logit_tolerance, value_parser = bounds::float(0f32..))]
    pub logit_tolerance: f32,
    /// Largest error of the mean negative log-likelihood
    #[arg(long, default_value_t = Limits::default().nll_tolerance, value_parser = bounds::float(0f64..))]
    pub nll_tolerance: f64,
    /// From the first step whose two best logits are closer than this, greedy tokens may differ
    #[arg(long, default_value_t = Limits::default().gap, value_parser = bounds::float(0f32..))]
    pub gap: f32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { logit_tolerance: 2e-3, nll_tolerance: 1e-3, gap: 0.02 }
    }
}

/// One prompt and the reference's results for it.
#[derive(Deserialize)]
pub struct Row {
    pub prompt: String,
    pub ids: Vec<u32>,
    /// Every `logit_stride`-th logit of the last prompt position.
    pub logits: Vec<f32>,
    pub logit_stride: usize,
    pub greedy: Vec<u32>,
    /// Best minus second-best logit of each greedy step.
    pub gap: Vec<f32>,
    /// Mean of -log p of `ids[1..]`.
    pub nll: f64,
}

/// Deviation of the model from one row.
#[derive(Serialize)]
pub struct Outcome {
    pub prompt: String,
    pub ids_match: bool,
    pub logit_error: f32,
    pub nll_error: f64,
    /// Greedy tokens equal before the first difference.
    pub greedy_equal: usize,
    /// Greedy tokens that must be equal.
    pub greedy_required: usize,
    pub pass: bool,
}

/// Parses a list of rows.
///
/// # Errors
/// If it is malformed or empty, or a row cannot be compared with.
pub fn parse(text: &str) -> Result<Vec<Row>> {
    let rows: Vec<Row> = serde_json::from_str(text).context("it is not a list of reference rows")?;
    if rows.is_empty() || rows.iter().any(|r| r.ids.is_empty() || r.logit_stride == 0 || r.gap.len() != r.greedy.len())
    {
        bail!("it has no rows, or a row without ids, stride, or a gap for each greedy token");
    }
    Ok(rows)
}

/// Tokens that the longest row needs in the context.
pub fn context(rows: &[Row]) -> usize {
    rows.iter().map(|r| r.ids.len() + r.greedy.len()).max().unwrap_or(1)
}

/// Compares a model with a row; the decoder is reset.
///
/// # Errors
/// If the row does not fit the model's vocabulary or context.
pub fn check(limits: &Limits, tokenizer: &Tokenizer, decoder: &mut Decoder, row: &Row) -> Result<Outcome> {
    let begin = tokenizer.bos().into_iter();
    let ids_match = begin.chain(tokenizer.encode(&row.prompt)?).eq(row.ids.iter().copied());
    decoder.rewind(0);
    let scores = decoder.score(&row.ids)?;
    let vocabulary = scores.len() / row.ids.len();
    let nll = negative_log_likelihood(scores, vocabulary, &row.ids)?;

    decoder.rewind(0);
    let mut logits = decoder.prefill(&row.ids)?.values.to_vec();
    let sampled: Vec<f32> = logits.iter().copied().step_by(row.logit_stride).collect();
    if sampled.len() != row.logits.len() {
        bail!("the reference has {} sampled logits, the model {}: another vocabulary", row.logits.len(), sampled.len());
    }
    let error = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
    let logit_error = sampled.iter().zip(&row.logits).map(error).fold(0.0, f32::max);
    let mut sampler = Sampler::new(Sampling::default()).map_err(anyhow::Error::msg)?;
    let mut greedy_equal = 0;
    for (step, expected) in row.greedy.iter().enumerate() {
        if sampler.sample(Logits::all(&logits)) != Some(*expected) {
            break;
        }
        greedy_equal += 1;
        if step + 1 < row.greedy.len() {
            logits.copy_from_slice(decoder.decode(*expected)?.values);
        }
    }
    let greedy_required = row.gap.iter().position(|gap| *gap < limits.gap).unwrap_or(row.greedy.len());
    let nll_error = (nll - row.nll).abs();
    let pass = ids_match
        && logit_error <= limits.logit_tolerance
        && nll_error <= limits.nll_tolerance
        && greedy_equal >= greedy_required;
    Ok(Outcome { prompt: row.prompt.clone(), ids_match, logit_error, nll_error, greedy_equal, greedy_required, pass })
}

/// Mean of -log softmax(logits[i])[ids[i + 1]].
fn negative_log_likelihood(scores: &[f32], vocabulary: usize, ids: &[u32]) -> Result<f64> {
    let mut sum = 0.0;
    for (row, next) in scores.chunks_exact(vocabulary.max(1)).zip(ids.iter().skip(1)) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = row.iter().map(|v| f64::from(v - max).exp()).sum();
        let logit = row.get(*next as usize).context("a reference id is outside the vocabulary")?;
        sum -= f64::from(logit - max) - total.ln();
    }
    Ok(sum / (ids.len() - 1).max(1) as f64)
}
