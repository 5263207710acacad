//! `kforge-run perplexity`: how well a model predicts a text, and how far it is from another.

use crate::run::{Common, model};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use kforge_checkpoint::Tokenizer;
use kforge_models::Returns;
use kforge_passes::Numerics;
use kforge_runtime::Decoder;
use kforge_tools::{
    bounds,
    perplexity::{Differences, Sums},
};
use serde::Serialize;
use std::{ffi::OsString, fs, path::PathBuf, process::ExitCode};

#[derive(Args, Debug)]
pub struct Options {
    /// The text, in UTF-8
    file: PathBuf,
    /// A GGUF file, a safetensors file or directory, a Hugging Face repository ORG/NAME, or random:tiny
    #[arg(long, default_value = model::DEFAULT)]
    model: OsString,
    /// Tokens of a chunk; the second half of each is predicted
    #[arg(long, default_value_t = 512, value_name = "TOKENS", value_parser = bounds::size())]
    ctx: usize,
    /// Chunks to evaluate; by default all whole ones
    #[arg(long, value_name = "N", value_parser = bounds::count())]
    chunks: Option<usize>,
    /// Also compare with another model of the same vocabulary
    #[arg(long, value_name = "MODEL")]
    against: Option<OsString>,
    /// The numerics of the model that is compared with, by default of the same model
    #[arg(long, value_name = "exact|fast")]
    against_numerics: Option<Numerics>,
    #[command(flatten)]
    cache: model::Cache,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    tokens: u64,
    chunks: usize,
    nll: f64,
    perplexity: f64,
    standard_error: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Against>,
}

#[derive(Serialize)]
struct Against {
    perplexity: f64,
    /// Mean of KL(against || model), in nats.
    kl_divergence: f64,
    /// Share of tokens for which both have the same best token.
    same_best: f64,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    if options.ctx < 4 {
        bail!("--ctx {} is too small; half of a chunk is predicted from the other half: give at least 4", options.ctx);
    }
    let place = options.file.display();
    let text = fs::read_to_string(&options.file).with_context(|| format!("{place} cannot be read as UTF-8"))?;
    let mut model = model::open(common, &options.model)?;
    let tokenizer = model.checkpoint().tokenizer()?;
    for warning in tokenizer.warnings() {
        errln!("kforge-run: warning: {warning}");
    }
    let chunks = chunks(&tokenizer, &text, options)?;
    let (mut decoder, _) = model::decoder(common, &mut model, options.cache, Returns::Logits, options.ctx)?;
    let mut against = against(common, options, model.checkpoint().config().vocab)?;

    let bar = model::bar(chunks.len() as u64, "chunks");
    let (mut sums, mut base_sums, mut differences) = (Sums::default(), Sums::default(), Differences::default());
    for chunk in &chunks {
        let next = &chunk[options.ctx / 2 + 1..];
        let logits = second_half(&mut decoder, chunk)?;
        sums.add(logits, next);
        if let Some(base) = &mut against {
            let base = second_half(base, chunk)?;
            base_sums.add(base, next);
            differences.add(base, logits, next.len());
        }
        bar.inc(1);
        bar.set_message(format!("perplexity {:.4}", sums.perplexity()));
    }
    bar.finish_and_clear();
    let report = Report {
        tokens: sums.tokens,
        chunks: chunks.len(),
        nll: sums.nll(),
        perplexity: sums.perplexity(),
        standard_error: sums.standard_error(),
        against: against.map(|_| Against {
            perplexity: base_sums.perplexity(),
            kl_divergence: differences.divergence(),
            same_best: differences.same_best(),
        }),
    };
    match options.json {
        true => outln!("{}", serde_json::to_string_pretty(&report)?)?,
        false => outln!("{}", table(&report))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The whole chunks of a text's tokens, each with the first token that the model wants.
fn chunks(tokenizer: &Tokenizer, text: &str, options: &Options) -> Result<Vec<Vec<u32>>> {
    let mut ids: Vec<u32> = tokenizer.bos().into_iter().collect();
    ids.extend(tokenizer.encode(text)?);
    ids.extend(tokenizer.eos());
    let mut chunks: Vec<Vec<u32>> = ids.chunks_exact(options.ctx).map(<[u32]>::to_vec).collect();
    if chunks.is_empty() {
        let (count, ctx) = (ids.len(), options.ctx);
        bail!(
            "{} has {count} tokens, less than a chunk of {ctx}; give a longer text, or a smaller --ctx",
            options.file.display()
        );
    }
    chunks.truncate(options.chunks.unwrap_or(usize::MAX));
    if let Some(bos) = tokenizer.bos() {
        chunks.iter_mut().for_each(|chunk| chunk[0] = bos);
    }
    Ok(chunks)
}

/// The logits that predict the second half of a chunk but for its first token: of all tokens from the middle on but the last.
fn second_half<'d>(decoder: &'d mut Decoder, chunk: &[u32]) -> Result<&'d [f32]> {
    let (first, rest) = chunk.split_at(chunk.len() / 2);
    decoder.rewind(0);
    decoder.prefill(first)?;
    Ok(decoder.score(&rest[..rest.len() - 1])?)
}

/// The model to compare with.
fn against(common: &Common, options: &Options, vocab: usize) -> Result<Option<Decoder>> {
    if options.against.is_none() && options.against_numerics.is_none() {
        return Ok(None);
    }
    let numerics = options.against_numerics.unwrap_or(common.numerics);
    let common = Common { numerics, ..common.clone() };
    let mut model = model::open(&common, options.against.as_ref().unwrap_or(&options.model))?;
    let theirs = model.checkpoint().config().vocab;
    if theirs != vocab {
        bail!("the models have vocabularies of {vocab} and {theirs} tokens; compare models of one vocabulary");
    }
    Ok(Some(model::decoder(&common, &mut model, options.cache, Returns::Logits, options.ctx)?.0))
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("tokens", format!("{} in {} chunks", report.tokens, report.chunks));
    row("perplexity", format!("{:.4} ± {:.4}", report.perplexity, report.standard_error));
    if let Some(against) = &report.against {
        row("perplexity of the other", format!("{:.4}", against.perplexity));
        row("KL divergence", format!("{:.6}", against.kl_divergence));
        row("same best token", format!("{:.2} %", 100.0 * against.same_best));
    }
    table
}
