//! `kforge-run bench model`: prefill and decode speed, in llama-bench's columns.
//!
//! `pp` appends a prompt and computes the logits of its last position; `tg` appends single tokens and computes the
//! logits of each; `@ d4096` is after 4096 tokens that are in the cache already. No sampling; one untimed round comes
//! first.

use crate::{Common, matmul, model};
use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use kforge_program::Program;
use kforge_runtime::{Decoder, KernelTime};
use serde::Serialize;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Prefill and decode speed of a model
    Model(Options),
    /// Speed of C[M, N] = A[M, K] x B[N, K]^T, B being a constant weight
    Matmul(matmul::Options),
}

#[derive(Args, Debug)]
pub struct Options {
    /// A GGUF file, a safetensors directory, a Hugging Face repository ORG/NAME, or random:tiny
    #[arg(long, default_value = model::DEFAULT)]
    model: String,
    /// Prompt lengths
    #[arg(short, long, value_delimiter = ',', default_value = "128")]
    prompt: Vec<usize>,
    /// Numbers of tokens to decode
    #[arg(short = 'n', long, value_delimiter = ',', default_value = "64")]
    generate: Vec<usize>,
    /// Tokens that are in the cache already when a test begins
    #[arg(short, long, value_delimiter = ',', default_value = "0")]
    depth: Vec<usize>,
    #[command(flatten)]
    cache: model::Cache,
    /// Timed rounds of each test
    #[arg(short, long, default_value_t = 5)]
    repetitions: usize,
    /// Form of the results
    #[arg(short, long, value_enum, default_value_t = Output::Md)]
    output: Output,
    /// Then run each test once more, launch by launch, and print the time of each kernel
    #[arg(long)]
    profile: bool,
    /// The same as --output json
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Md,
    Json,
    Csv,
}

#[derive(Serialize)]
struct Row {
    model: String,
    /// Bytes of the file.
    size: u64,
    backend: &'static str,
    threads: usize,
    numerics: &'static str,
    kv: &'static str,
    test: String,
    /// Mean tokens a second, and the standard deviation.
    #[serde(rename = "t/s")]
    mean: f64,
    stddev: f64,
    median: f64,
    samples: Vec<f64>,
}

pub fn run(common: &Common, command: &Command) -> Result<ExitCode> {
    let options = match command {
        Command::Model(options) => options,
        Command::Matmul(options) => return matmul::run(common, options),
    };
    if options.repetitions == 0 {
        bail!("--repetitions must be at least 1");
    }
    let checkpoint = model::open(&options.model)?;
    let longest = options.prompt.iter().chain(&options.generate).copied().max().unwrap_or(1);
    let longest = longest + options.depth.iter().copied().max().unwrap_or(0).max(1);
    let (mut decoder, _) = model::decoder(common, &checkpoint, options.cache, longest)?;
    let vocabulary = checkpoint.config().vocab as u32;
    let mut rows = vec![];
    for test in tests(options) {
        let Test { kind, tokens, depth } = test;
        let ids = token_ids(tokens, vocabulary);
        let mut samples = vec![];
        for round in 0..=options.repetitions {
            reset(&mut decoder, depth, vocabulary)?;
            let seconds = time(&mut decoder, kind, &ids)?;
            if round > 0 {
                samples.push(tokens as f64 / seconds);
            }
        }
        rows.push(Row {
            model: options.model.clone(),
            size: checkpoint.file_bytes(),
            backend: "cpu",
            threads: decoder.executor().threads(),
            numerics: common.numerics.name(),
            kv: options.cache.kv_type().name(),
            test: test.to_string(),
            mean: mean(&samples),
            stddev: deviation(&samples),
            median: median(&samples),
            samples,
        });
    }
    print(if options.json { Output::Json } else { options.output }, &rows)?;
    if options.profile {
        for test in tests(options) {
            reset(&mut decoder, test.depth, vocabulary)?;
            decoder.executor_mut().start_profile();
            time(&mut decoder, test.kind, &token_ids(test.tokens, vocabulary))?;
            let times = decoder.executor_mut().end_profile().unwrap_or_default();
            eprintln!("\n{test}, each launch by itself:\n{}", profile(decoder.executor().program(), &times));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One row of the table.
#[derive(Clone, Copy)]
struct Test {
    kind: &'static str,
    tokens: usize,
    /// Tokens before.
    depth: usize,
}

impl std::fmt::Display for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}{}", self.kind, self.tokens)?;
        if self.depth > 0 { write!(f, " @ d{}", self.depth) } else { Ok(()) }
    }
}

/// The tests asked for, at each depth.
fn tests(options: &Options) -> impl Iterator<Item = Test> {
    let at = |depth: usize| {
        let prompts = options.prompt.iter().map(|n| ("pp", *n));
        let all = prompts.chain(options.generate.iter().map(|n| ("tg", *n)));
        all.filter(|(_, tokens)| *tokens > 0).map(move |(kind, tokens)| Test { kind, tokens, depth })
    };
    options.depth.iter().flat_map(move |depth| at(*depth))
}

/// Any tokens will do: their number decides the time.
fn token_ids(tokens: usize, vocabulary: u32) -> Vec<u32> {
    (0..tokens as u32).map(|i| (100 + i) % vocabulary).collect()
}

/// Kernels by the time that they took.
fn profile(program: &Program, times: &[KernelTime]) -> Table {
    let total: Duration = times.iter().map(|t| t.time).sum();
    let mut order: Vec<usize> = (0..times.len()).filter(|i| times[*i].launches > 0).collect();
    order.sort_by_key(|i| std::cmp::Reverse(times[*i].time));
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["kernel", "computes", "launches", "ms", "us a launch", "share"]);
    for i in order {
        let (kernel, KernelTime { launches, time }) = (&program.kernels[i], times[i]);
        let milliseconds = time.as_secs_f64() * 1e3;
        table.add_row([
            kernel.name.clone(),
            kernel.summary.clone(),
            launches.to_string(),
            format!("{milliseconds:.2}"),
            format!("{:.1}", milliseconds * 1e3 / launches as f64),
            format!("{:.1} %", 100.0 * time.as_secs_f64() / total.as_secs_f64()),
        ]);
    }
    table
}

/// Leaves `depth` tokens in the cache, or one, as llama-bench does. Those of an earlier round stay: any will do.
fn reset(decoder: &mut Decoder, depth: usize, vocabulary: u32) -> Result<()> {
    if depth > 0 && decoder.position() >= depth {
        decoder.rewind(depth);
        return Ok(());
    }
    decoder.rewind(0);
    match depth {
        0 => decoder.decode(1)?,
        depth => decoder.prefill(&token_ids(depth, vocabulary))?,
    };
    Ok(())
}

/// Seconds of one round.
fn time(decoder: &mut Decoder, kind: &str, ids: &[u32]) -> Result<f64> {
    let begin = Instant::now();
    if kind == "pp" {
        decoder.prefill(ids)?;
    } else {
        for id in ids {
            decoder.decode(*id)?;
        }
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// Of the sample; 0 for one value.
fn deviation(samples: &[f64]) -> f64 {
    let mean = mean(samples);
    let squares: f64 = samples.iter().map(|s| (s - mean) * (s - mean)).sum();
    (squares / (samples.len().max(2) - 1) as f64).sqrt()
}

pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

fn print(output: Output, rows: &[Row]) -> Result<()> {
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&serde_json::json!({ "results": rows }))?),
        Output::Csv => {
            println!("model,size,backend,threads,numerics,kv,test,t/s,stddev,median");
            for r in rows {
                let Row { size, backend, threads, numerics, kv, test, mean, stddev, median, .. } = r;
                let model = r.model.replace('"', "\"\"");
                println!(
                    "\"{model}\",{size},{backend},{threads},{numerics},{kv},{test},{mean:.2},{stddev:.2},{median:.2}"
                );
            }
        }
        Output::Md => {
            let mut table = Table::new();
            table.load_style(ASCII_MARKDOWN);
            table.set_header(["model", "size", "backend", "threads", "numerics", "kv", "test", "t/s"]);
            for r in rows {
                table.add_row([
                    r.model.clone(),
                    format!("{:.1} MB", r.size as f64 / 1e6),
                    r.backend.into(),
                    r.threads.to_string(),
                    r.numerics.into(),
                    r.kv.into(),
                    r.test.clone(),
                    format!("{:.2} ± {:.2}", r.mean, r.stddev),
                ]);
            }
            println!("{table}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(deviation(&[5.0]), 0.0);
        assert!((deviation(&[1.0, 3.0]) - 2f64.sqrt()).abs() < 1e-12);
    }
}
