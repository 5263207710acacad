//! `kforge-run verify`: a model against reference results, computed with f32 activations on dequantised weights.

use crate::{Common, model};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use kforge_checkpoint::Tokenizer;
use kforge_runtime::{
    Decoder,
    sample::{Sampler, Sampling},
};
use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf, process::ExitCode};

#[derive(Args, Debug)]
pub struct Options {
    /// A GGUF file, a safetensors directory, a Hugging Face repository ORG/NAME, or random:tiny
    #[arg(long, default_value = model::DEFAULT)]
    model: String,
    /// Rows of {prompt, ids, logits, logit_stride, greedy, gap, nll}
    #[arg(long, value_name = "FILE.json")]
    reference: PathBuf,
    /// Largest error of a logit
    #[arg(long, default_value_t = 2e-3)]
    logit_tolerance: f32,
    /// Largest error of the mean negative log-likelihood
    #[arg(long, default_value_t = 1e-3)]
    nll_tolerance: f64,
    /// From the first step whose two best logits are closer than this, greedy tokens may differ
    #[arg(long, default_value_t = 0.02)]
    gap: f32,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// One prompt and what the reference says of it.
#[derive(Deserialize)]
struct Row {
    prompt: String,
    ids: Vec<u32>,
    /// Every `logit_stride`-th logit of the last prompt position.
    logits: Vec<f32>,
    logit_stride: usize,
    greedy: Vec<u32>,
    /// Best minus second-best logit of each greedy step.
    gap: Vec<f32>,
    /// Mean of -log p of `ids[1..]`.
    nll: f64,
}

#[derive(Serialize)]
struct Outcome {
    prompt: String,
    ids_match: bool,
    logit_error: f32,
    nll_error: f64,
    /// Greedy tokens equal before the first difference.
    greedy_equal: usize,
    /// Greedy tokens that must be equal.
    greedy_required: usize,
    pass: bool,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    let place = options.reference.display();
    let text = fs::read_to_string(&options.reference).with_context(|| format!("{place} cannot be read"))?;
    let rows: Vec<Row> =
        serde_json::from_str(&text).with_context(|| format!("{place} is not a list of reference rows"))?;
    if rows.is_empty() || rows.iter().any(|r| r.ids.is_empty() || r.logit_stride == 0 || r.gap.len() != r.greedy.len())
    {
        bail!("{place} has no rows, or a row without ids, stride, or a gap for each greedy token");
    }
    let checkpoint = model::open(&options.model)?;
    let tokenizer = checkpoint.tokenizer()?;
    let context = rows.iter().map(|r| r.ids.len() + r.greedy.len()).max().unwrap_or(1);
    let (mut decoder, _) = model::decoder(common, &checkpoint, context)?;
    let outcomes = rows.iter().map(|row| check(options, &tokenizer, &mut decoder, row)).collect::<Result<Vec<_>>>()?;
    let pass = outcomes.iter().all(|o| o.pass);
    if options.json {
        println!("{}", serde_json::json!({ "pass": pass, "rows": outcomes }));
    } else {
        println!("{}", table(&outcomes));
        println!("{}", if pass { "all rows agree" } else { "some rows DISAGREE" });
    }
    Ok(if pass { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(options: &Options, tokenizer: &Tokenizer, decoder: &mut Decoder, row: &Row) -> Result<Outcome> {
    let ids_match = tokenizer.encode(&row.prompt)? == row.ids;
    decoder.rewind(0);
    let scores = decoder.score(&row.ids)?;
    let vocabulary = scores.len() / row.ids.len();
    let nll = negative_log_likelihood(scores, vocabulary, &row.ids)?;

    decoder.rewind(0);
    let mut logits = decoder.prefill(&row.ids)?.to_vec();
    let sampled: Vec<f32> = logits.iter().copied().step_by(row.logit_stride).collect();
    if sampled.len() != row.logits.len() {
        bail!("the reference has {} sampled logits, the model {}: another vocabulary", row.logits.len(), sampled.len());
    }
    let error = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
    let logit_error = sampled.iter().zip(&row.logits).map(error).fold(0.0, f32::max);
    let mut sampler = Sampler::new(Sampling::default()).map_err(anyhow::Error::msg)?;
    let mut greedy_equal = 0;
    for (step, expected) in row.greedy.iter().enumerate() {
        if sampler.sample(&logits) != Some(*expected) {
            break;
        }
        greedy_equal += 1;
        if step + 1 < row.greedy.len() {
            logits.copy_from_slice(decoder.decode(*expected)?);
        }
    }
    let greedy_required = row.gap.iter().position(|gap| *gap < options.gap).unwrap_or(row.greedy.len());
    let nll_error = (nll - row.nll).abs();
    let pass = ids_match
        && logit_error <= options.logit_tolerance
        && nll_error <= options.nll_tolerance
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

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["prompt", "ids", "logit error", "nll error", "greedy", ""]);
    for o in outcomes {
        let prompt: String = o.prompt.chars().take(32).flat_map(char::escape_debug).collect();
        table.add_row([
            prompt,
            if o.ids_match { "equal".into() } else { "DIFFER".into() },
            format!("{:.1e}", o.logit_error),
            format!("{:.1e}", o.nll_error),
            format!("{} of {} needed", o.greedy_equal, o.greedy_required),
            if o.pass { "ok".into() } else { "MISS".into() },
        ]);
    }
    table
}
