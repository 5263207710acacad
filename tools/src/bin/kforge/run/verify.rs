//! `kforge-run verify`: a model against reference results, computed with f32 activations on dequantised weights.

use crate::run::{Common, model};
use anyhow::{Context as _, Result};
use clap::Args;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use kforge_models::Returns;
use kforge_tools::reference::{self, Limits, Outcome, check};
use std::{ffi::OsString, fs, path::PathBuf, process::ExitCode};

#[derive(Args, Debug)]
pub struct Options {
    /// A GGUF file, a safetensors file or directory, a Hugging Face repository ORG/NAME, or random:tiny
    #[arg(long, default_value = model::DEFAULT)]
    model: OsString,
    /// Rows of {prompt, ids, logits, logit_stride, greedy, gap, nll}
    #[arg(long, value_name = "FILE.json")]
    reference: PathBuf,
    #[command(flatten)]
    cache: model::Cache,
    #[command(flatten)]
    limits: Limits,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    let place = options.reference.display();
    let text = fs::read_to_string(&options.reference).with_context(|| format!("{place} cannot be read"))?;
    let rows = reference::parse(&text).with_context(|| format!("{place}"))?;
    let mut model = model::open(common, &options.model)?;
    let tokenizer = model.checkpoint().tokenizer()?;
    let context = reference::context(&rows);
    let (mut decoder, _) = model::decoder(common, &mut model, options.cache, Returns::Logits, context)?;
    let outcomes =
        rows.iter().map(|row| check(&options.limits, &tokenizer, &mut decoder, row)).collect::<Result<Vec<_>>>()?;
    let pass = outcomes.iter().all(|o| o.pass);
    if options.json {
        outln!("{}", serde_json::json!({ "pass": pass, "rows": outcomes }))?;
    } else {
        outln!("{}", table(&outcomes))?;
        outln!("{}", if pass { "all rows agree" } else { "some rows DISAGREE" })?;
    }
    Ok(if pass { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
