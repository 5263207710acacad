//! `kforge-run bench model`: prefill and decode speed, in llama-bench's columns.
//!
//! `pp` appends a prompt, batch by batch, and computes the logits of each batch's last position and the largest of them;
//! `tg` appends single tokens and does so for each, like greedy decoding. `@ d4096` starts with 4096 tokens in the cache.
//! One untimed round comes first.

use crate::run::{Common, bench_compile, compile, matmul, model, profile, suite, trace};
use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use kforge_checkpoint::Checkpoint;
use kforge_engine::Model;
use kforge_measure::{Roofs, deviation, mean, median};
use kforge_models::Returns;
use kforge_runtime::{
    Decoder, Roofline,
    decoder::{DECODE, PREFILL},
};
use kforge_tools::bounds;
use profile::{Call, Work};
use serde::Serialize;
use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Instant};
use trace::Trace;
use tracing::info_span;

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Prefill and decode speed of a model
    Model(Options),
    /// Speed of C[M, N] = A[M, K] x B[N, K]^T, B being a constant weight
    Matmul(matmul::Options),
    /// How the time of compiling grows with the ops of a function
    Compile(bench_compile::Options),
    /// Single kernels against the machine's limits, an earlier run, and other libraries
    Suite(suite::Options),
}

#[derive(Args, Debug)]
pub struct Options {
    /// A GGUF file, a safetensors file or directory, a Hugging Face repository ORG/NAME, or random:tiny
    #[arg(long, default_value = model::DEFAULT)]
    model: OsString,
    /// Prompt lengths
    #[arg(short, long, value_delimiter = ',', default_value = "128", value_parser = bounds::count())]
    prompt: Vec<usize>,
    /// Numbers of tokens to decode
    #[arg(short = 'n', long, value_delimiter = ',', default_value = "64", value_parser = bounds::count())]
    generate: Vec<usize>,
    /// Tokens of a prompt that are processed at once
    #[arg(short, long, value_delimiter = ',', default_value = "2048", value_parser = bounds::size())]
    batch_size: Vec<usize>,
    /// Numbers of threads, one after the other; by default that of --threads
    #[arg(short, long = "thread-counts", value_delimiter = ',', value_name = "N,...",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads_list: Vec<u16>,
    /// Tokens that are in the cache already when a test begins
    #[arg(short, long, value_delimiter = ',', default_value = "0", value_parser = bounds::count())]
    depth: Vec<usize>,
    #[command(flatten)]
    cache: model::Cache,
    /// Timed rounds of each test
    #[arg(short, long, default_value_t = 5, value_parser = bounds::rounds())]
    repetitions: usize,
    /// Form of the results
    #[arg(short, long, value_enum, default_value_t = Output::Md)]
    output: Output,
    /// Then run each test once more, launch by launch, and print the time of each kernel beside the machine's limits
    #[arg(long)]
    profile: bool,
    /// Then run each test once more, launch by launch, and write what ran when, for Chrome's tracing or Perfetto
    #[arg(long, value_name = "FILE.json")]
    trace: Option<PathBuf>,
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
    /// Elements of all weights.
    params: u64,
    backend: &'static str,
    threads: usize,
    /// Tokens of a prompt that are processed at once.
    n_batch: usize,
    /// Elements of the KV cache.
    type_kv: &'static str,
    numerics: &'static str,
    test: String,
    /// Mean tokens a second, and the standard deviation.
    #[serde(rename = "t/s")]
    mean: f64,
    stddev: f64,
    median: f64,
    samples: Vec<f64>,
}

/// What the tests compute: said beside the figures, as other programs' tests differ.
#[derive(Serialize)]
struct Computes {
    pp: &'static str,
    tg: &'static str,
}

const COMPUTES: Computes = Computes {
    pp: "appends a prompt in batches and computes the logits of each batch's last position and the greatest",
    tg: "appends one token after another and computes the logits of each and the greatest",
};

/// Minimum tokens in the cache when a test begins, as in llama-bench.
const FIRST: usize = 1;

/// One test: kind, tokens, batch size, and tokens in the cache before.
#[derive(Clone, Copy)]
struct Test {
    kind: Kind,
    tokens: usize,
    batch: usize,
    depth: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prompt,
    Generate,
}

pub fn run(common: &Common, command: &Command) -> Result<ExitCode> {
    let options = match command {
        Command::Model(options) => options,
        Command::Matmul(options) => return matmul::run(common, options),
        Command::Compile(options) => return bench_compile::run(common, options),
        Command::Suite(options) => return suite::run(common, options),
    };
    let trace = options.trace.as_deref().map(trace::start).transpose()?;
    let mut model = model::open(common, &options.model)?;
    let threads = match options.threads_list.as_slice() {
        [] => vec![common.threads],
        list => list.to_vec(),
    };
    let (mut rows, mut profiles) = (vec![], vec![]);
    for threads in threads {
        measure(&Common { threads, ..common.clone() }, options, &mut model, &mut rows, &mut profiles)?;
    }
    print(if options.json { Output::Json } else { options.output }, &rows)?;
    profiles.iter().for_each(|profile| errln!("\n{profile}"));
    trace.map_or(Ok(()), Trace::finish)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs all tests with one number of threads.
fn measure(
    common: &Common,
    options: &Options,
    model: &mut Model,
    rows: &mut Vec<Row>,
    profiles: &mut Vec<String>,
) -> Result<()> {
    let longest = options.prompt.iter().chain(&options.generate).copied().max().unwrap_or(0);
    let longest = longest + options.depth.iter().copied().max().unwrap_or(0).max(FIRST);
    let most = model.checkpoint().config().context;
    if longest > most {
        bail!("the longest test takes {longest} tokens, but the model was made for {most}; lower -p, -n or -d");
    }
    let (mut decoder, _) = model::decoder(common, model, options.cache, Returns::Best(1), longest)?;
    let threads = decoder.executor().threads();
    let checkpoint = model.checkpoint();
    let vocabulary = checkpoint.config().vocab as u32;
    for test in tests(options) {
        let ids = token_ids(test.tokens, vocabulary);
        let mut samples = vec![];
        for round in 0..=options.repetitions {
            reset(&mut decoder, test.depth, vocabulary)?;
            let seconds = time(&mut decoder, test, &ids)?;
            if round > 0 {
                samples.push(test.tokens as f64 / seconds);
            }
        }
        rows.push(Row {
            model: options.model.to_string_lossy().into_owned(),
            size: checkpoint.file_bytes(),
            params: parameters(checkpoint)?,
            backend: if decoder.executor().is_gpu() { "gpu" } else { "cpu" },
            threads,
            n_batch: test.batch,
            type_kv: options.cache.kv_type().name(),
            numerics: common.numerics.name(),
            test: test.name(),
            mean: mean(&samples),
            stddev: deviation(&samples),
            median: median(&samples),
            samples,
        });
    }
    if !options.profile && options.trace.is_none() {
        return Ok(());
    }
    let roof = match options.profile {
        true => Some(roofs(common, &decoder)?),
        false => None,
    };
    for test in tests(options) {
        reset(&mut decoder, test.depth, vocabulary)?;
        decoder.executor_mut().start_profile()?;
        let name = test.name();
        info_span!("test", kernel = name).in_scope(|| time(&mut decoder, test, &token_ids(test.tokens, vocabulary)))?;
        let times = decoder.executor_mut().end_profile().unwrap_or_default();
        let Some(roof) = &roof else { continue };
        let program = decoder.executor().program();
        let mut work = vec![Work::default(); program.kernels.len()];
        for call in test.calls(decoder.context()) {
            // A single token uses the function for it.
            let name = if call.after - call.before == 1 { DECODE } else { PREFILL };
            let Some(function) = program.function(name) else { continue };
            profile::add(program, function, call, &mut work)?;
        }
        profiles.push(format!(
            "{name}, {}, each launch by itself; the limits, measured in this run, are {}:\n{}",
            decoder.executor().machine(),
            profile::limits(roof),
            profile::table(program, &times, &work, roof)
        ));
    }
    Ok(())
}

/// Limits of the decoder's machine for a footprint of its weights.
fn roofs(common: &Common, decoder: &Decoder) -> Result<Roofs> {
    let bytes = profile::weights(decoder.executor().program())?;
    if decoder.executor().is_gpu() {
        let gpu = compile::gpu(common)?;
        return Ok(Roofs::from(&kforge_tools::gpu::roof::measure(&gpu, bytes as u64)?));
    }
    Ok(Roofs::from(&Roofline::new(bytes)?.measure(decoder.executor().threads())?))
}

impl Test {
    fn name(self) -> String {
        let kind = if self.kind == Kind::Prompt { "pp" } else { "tg" };
        let depth = if self.depth > 0 { format!(" @ d{}", self.depth) } else { String::new() };
        format!("{kind}{}{depth}", self.tokens)
    }

    /// The calls that it makes.
    fn calls(self, capacity: usize) -> impl Iterator<Item = Call> {
        let step = if self.kind == Kind::Prompt { self.batch } else { 1 };
        (0..self.tokens).step_by(step).map(move |begin| Call {
            before: self.depth.max(FIRST) + begin,
            after: self.depth.max(FIRST) + (begin + step).min(self.tokens),
            capacity,
        })
    }
}

fn parameters(checkpoint: &Checkpoint) -> Result<u64> {
    let elements = |name: &String| Ok(checkpoint.weight(name)?.dims.iter().map(|d| *d as u64).product::<u64>());
    checkpoint.names().iter().map(elements).sum()
}

/// The tests asked for. A batch size is of prompts: it does not change how single tokens are decoded.
fn tests(options: &Options) -> Vec<Test> {
    let batch = options.batch_size.first().copied().unwrap_or(1);
    let mut tests = vec![];
    for depth in options.depth.iter().copied() {
        for batch in options.batch_size.iter().copied() {
            let prompt = |tokens: &usize| Test { kind: Kind::Prompt, tokens: *tokens, batch, depth };
            tests.extend(options.prompt.iter().map(prompt));
        }
        let generate = |tokens: &usize| Test { kind: Kind::Generate, tokens: *tokens, batch, depth };
        tests.extend(options.generate.iter().map(generate));
    }
    tests.retain(|test| test.tokens > 0);
    tests
}

/// Arbitrary tokens: only their number affects the time.
fn token_ids(tokens: usize, vocabulary: u32) -> Vec<u32> {
    (0..tokens as u32).map(|i| (100 + i) % vocabulary).collect()
}

/// Leaves `depth` tokens in the cache, at least one, as llama-bench does. Tokens of an earlier round are reused.
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
fn time(decoder: &mut Decoder, test: Test, ids: &[u32]) -> Result<f64> {
    let begin = Instant::now();
    match test.kind {
        Kind::Prompt => {
            for batch in ids.chunks(test.batch) {
                decoder.prefill(batch)?;
            }
        }
        Kind::Generate => {
            for id in ids {
                decoder.decode(*id)?;
            }
        }
    }
    Ok(begin.elapsed().as_secs_f64())
}

fn print(output: Output, rows: &[Row]) -> Result<()> {
    match output {
        Output::Json => {
            outln!("{}", serde_json::to_string_pretty(&serde_json::json!({ "computes": COMPUTES, "results": rows }))?)?;
        }
        Output::Csv => {
            outln!("model,size,params,backend,threads,n_batch,type_kv,numerics,test,t/s,stddev,median")?;
            for r in rows {
                let Row {
                    size, params, backend, threads, n_batch, type_kv, numerics, test, mean, stddev, median, ..
                } = r;
                let model = r.model.replace('"', "\"\"");
                outln!(
                    "\"{model}\",{size},{params},{backend},{threads},{n_batch},{type_kv},{numerics},{test},{mean:.2},\
                     {stddev:.2},{median:.2}"
                )?;
            }
        }
        Output::Md => {
            let mut table = Table::new();
            table.load_style(ASCII_MARKDOWN);
            table.set_header([
                "model", "size", "params", "backend", "threads", "n_batch", "type_kv", "numerics", "test", "t/s",
            ]);
            for r in rows {
                table.add_row([
                    r.model.clone(),
                    format!("{:.1} MB", r.size as f64 / 1e6),
                    format!("{:.2} M", r.params as f64 / 1e6),
                    r.backend.into(),
                    r.threads.to_string(),
                    r.n_batch.to_string(),
                    r.type_kv.into(),
                    r.numerics.into(),
                    r.test.clone(),
                    format!("{:.2} ± {:.2}", r.mean, r.stddev),
                ]);
            }
            outln!("{table}\npp {}\ntg {}", COMPUTES.pp, COMPUTES.tg)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_a_test() {
        let calls = |kind| -> Vec<(usize, usize)> {
            Test { kind, tokens: 5, batch: 2, depth: 0 }.calls(8).map(|c| (c.before, c.after)).collect()
        };
        assert_eq!(calls(Kind::Prompt), [(1, 3), (3, 5), (5, 6)]);
        assert_eq!(calls(Kind::Generate), [(1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]);
    }
}
