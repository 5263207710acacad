//! `kforge-run bench suite`: single kernels against the machine's limits, against an earlier run, and against other
//! libraries.
//!
//! A case is a function of one op, compiled as every other. It is called once, its answer is compared with the
//! reference, and then its launches are run again and again on the operands that the call left in place: the time is
//! what a decoder spends in them, without the copying of a caller's tensors. Over each row is a roof, measured in the
//! same run before and after it: its operations at the peak of multiply-adds, or its bytes at the rate at which threads
//! read as many bytes over and over, whichever takes longer.

mod cases;
mod compare;
mod peers;
mod report;

use crate::{Common, Target, bench::median, compile, model};
use anyhow::{Context as _, Result, bail};
use cases::{Case, Loaded, Weights};
use clap::Args;
use kforge_runtime::{Executor, Roofline, cache::write_whole, roofline::compute_roof};
use peers::Peer;
use report::{Limit, Machine, Report, Roof, Roofs, Row, Time, VERSION, Versions};
use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

#[derive(Args, Debug)]
pub struct Options {
    /// Write the report, as JSON; after each row, so that an interrupted run has what it measured
    #[arg(short, long, value_name = "FILE.json")]
    output: Option<PathBuf>,
    /// Compare with an earlier report; the exit status is 1 if a row is slower beyond the noise of both
    #[arg(long, value_name = "FILE.json")]
    baseline: Option<PathBuf>,
    /// Least change, in percent, that --baseline calls one
    #[arg(long, default_value_t = 5.0, value_name = "PERCENT", requires = "baseline")]
    tolerance: f64,
    /// Take an earlier report instead of measuring
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["output", "peers", "quick"])]
    from: Option<PathBuf>,
    /// Only the cases whose name contains it
    #[arg(long, value_name = "SUBSTRING")]
    filter: Option<String>,
    /// A tenth of the time for each row: to see that everything runs
    #[arg(long)]
    quick: bool,
    /// Time the libraries that PYTHON can import too, in turns with our f32 products
    #[arg(long, value_name = "PYTHON", num_args = 0..=1, require_equals = true, default_missing_value = "python3")]
    peers: Option<String>,
    /// Print the report as JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Print the JSON schema of the report, and measure nothing
    #[arg(long, exclusive = true)]
    schema: bool,
}

/// How long a row is measured, in all turns.
#[derive(Clone, Copy)]
struct Budget {
    /// All samples, and those of each library.
    samples: Duration,
    /// Least number of samples.
    least: usize,
    /// Each access pattern of the read roof, before and after a row.
    pattern: Duration,
}

const FULL: Budget = Budget { samples: Duration::from_millis(600), least: 11, pattern: Duration::from_millis(20) };
const QUICK: Budget = Budget { samples: Duration::from_millis(50), least: 5, pattern: Duration::from_millis(2) };

impl Budget {
    /// Of one turn.
    fn turn(self) -> Budget {
        Budget { samples: self.samples / TURNS as u32, least: self.least.div_ceil(TURNS), ..self }
    }
}

/// A sample is the mean of as many calls as take this long: reading the clock and the first miss are then nothing.
const SAMPLE: Duration = Duration::from_millis(1);

/// Turns of our kernel and each library, for a row.
const TURNS: usize = 3;

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    if options.schema {
        print!("{}", report::schema()?);
        return Ok(ExitCode::SUCCESS);
    }
    if common.target != Target::Cpu {
        bail!("bench suite measures the CPU; leave --target out");
    }
    if !(options.tolerance.is_finite() && options.tolerance >= 0.0) {
        bail!("--tolerance {} is no percentage", options.tolerance);
    }
    // What is wrong with a baseline is said before minutes are spent.
    let baseline = options.baseline.as_deref().map(report::read).transpose()?;
    let report = match &options.from {
        Some(path) => report::read(path)?,
        None => {
            let machine = machine(common)?;
            if let Some(baseline) = &baseline {
                compare::same_machine(&baseline.machine, &machine)?;
            }
            measure(common, options, machine)?
        }
    };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report::table(&report));
        println!("\n{}", summary(&report));
    }
    match &baseline {
        Some(baseline) => {
            compare::same_machine(&baseline.machine, &report.machine)?;
            Ok(against(baseline, &report, options))
        }
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Prints what has changed, to standard error beside JSON.
fn against(baseline: &Report, report: &Report, options: &Options) -> ExitCode {
    let changes = match compare::compare(baseline, report, options.tolerance / 100.0) {
        Ok(changes) => changes,
        Err(error) => {
            eprintln!("kforge-run: {error}");
            return ExitCode::FAILURE;
        }
    };
    let say = |text: &str| if options.json { eprintln!("{text}") } else { println!("{text}") };
    say(&format!("\n{}", compare::table(&changes)));
    for warning in &changes.warnings {
        eprintln!("kforge-run: warning: {warning}");
    }
    if !changes.added.is_empty() {
        say(&format!("not in the baseline: {}", changes.added.join(", ")));
    }
    if !changes.missing.is_empty() && options.filter.is_none() {
        say(&format!("only in the baseline: {}", changes.missing.join(", ")));
    }
    let slower: Vec<&str> = changes.regressions().map(|c| c.name.as_str()).collect();
    if slower.is_empty() {
        say("no row is slower beyond the noise");
        return ExitCode::SUCCESS;
    }
    eprintln!("kforge-run: slower than the baseline: {}", slower.join(", "));
    ExitCode::FAILURE
}

fn measure(common: &Common, options: &Options, machine: Machine) -> Result<Report> {
    let filter = options.filter.as_deref().unwrap_or_default();
    let cases: Vec<Case> = cases::all().into_iter().filter(|c| c.name.contains(filter)).collect();
    if cases.is_empty() {
        bail!("--filter {filter} leaves no case; try matmul, linear/q4_1, attention or norm");
    }
    if let Some(directory) = options.output.as_deref().and_then(Path::parent) {
        fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
    }
    let threads = common.thread_count();
    let mut peers = match &options.peers {
        Some(python) => peers::start(python, threads)?,
        None => vec![],
    };
    let roof = compute_roof(threads)?;
    let mut report = Report {
        schema_version: VERSION,
        versions: versions(),
        machine,
        quick: options.quick,
        complete: false,
        roofs: Roofs {
            f32_gflops: roof.f32_gflops,
            f32_instruction: roof.f32_instruction,
            int8_gops: roof.int8_gops,
            int8_instruction: roof.int8_instruction,
        },
        rows: vec![],
    };
    let budget = if options.quick { QUICK } else { FULL };
    let (mut weights, mut reads) = (Weights::default(), HashMap::new());
    let progress = model::bar(cases.len() as u64, "");
    for (i, case) in cases.iter().enumerate() {
        progress.set_message(case.name.clone());
        let row = row(common, case, budget, &mut weights, &mut reads, &report.roofs, &mut peers);
        report.rows.push(row.with_context(|| case.name.clone())?);
        report.complete = i + 1 == cases.len();
        if let Some(path) = &options.output {
            let text = serde_json::to_string_pretty(&report)? + "\n";
            let written = write_whole(path, &[text.as_bytes()]);
            written.with_context(|| format!("{} cannot be written", path.display()))?;
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(report)
}

/// Measures a case; `reads` are the read roofs seen so far, by footprint.
fn row(
    common: &Common,
    case: &Case,
    budget: Budget,
    weights: &mut Weights,
    reads: &mut HashMap<u64, f64>,
    roofs: &Roofs,
    peers: &mut [Peer],
) -> Result<Row> {
    let threads = common.thread_count();
    let Loaded { mut executor, errors, kernels } = cases::load(common, case, weights)?;
    let (operations, bytes) = (case.work.operations(), case.work.bytes());
    let footprint = Roofline::new(usize::try_from(bytes)?)?;
    let mut raise = || -> Result<f64> {
        let read = footprint.read_gb_s(threads, budget.pattern)?;
        let most = reads.entry(bytes).or_insert(read);
        *most = most.max(read);
        Ok(*most)
    };
    raise()?;
    let product = case.work.f32_product().filter(|_| !peers.is_empty());
    let (turns, turn) = match product {
        Some(_) => (TURNS, budget.turn()),
        None => (1, budget),
    };
    let mut calls = 1;
    let mut samples = vec![];
    let mut answers: Vec<(Vec<f64>, f64)> = peers.iter().map(|_| (vec![], 0.0)).collect();
    for _ in 0..turns {
        calls = warm_up(&mut executor)?;
        samples.extend(sample(&mut executor, calls, turn)?);
        let Some(shape) = product else { continue };
        for (peer, (samples, error)) in peers.iter_mut().zip(&mut answers) {
            let answer = peer.measure(shape, turn.samples.as_secs_f64())?;
            samples.extend(answer.samples_us);
            *error = answer.relative_error;
        }
    }
    let read_gb_s = raise()?;
    let time = time(&samples, calls);
    let (by, peak) = match case.work.is_int8(case.numerics) {
        true => (Limit::Int8, roofs.int8_gops),
        false => (Limit::F32, roofs.f32_gflops),
    };
    let (computing, reading) = (operations as f64 / peak / 1e3, bytes as f64 / read_gb_s / 1e3);
    let roof =
        Roof { by: if computing > reading { by } else { Limit::Reading }, us: computing.max(reading), read_gb_s };
    let asked = product.is_some();
    let peers = peers.iter().zip(answers).filter(|_| asked).map(|(peer, (samples, max_error))| report::Peer {
        library: peer.library.into(),
        version: peer.version.clone(),
        median_us: median(&samples),
        min_us: samples.iter().copied().fold(f64::INFINITY, f64::min),
        ratio: median(&samples) / time.median_us,
        max_error,
    });
    Ok(Row {
        name: case.name.clone(),
        numerics: case.numerics.name().into(),
        kernels,
        operations,
        bytes,
        gflops: (operations > 0).then(|| operations as f64 / time.median_us / 1e3),
        gb_s: bytes as f64 / time.median_us / 1e3,
        share: roof.us / time.median_us,
        roof,
        time,
        error: errors,
        peers: peers.collect(),
    })
}

/// Brings caches, clock and threads to what they are in a row of calls; returns the calls of a sample.
fn warm_up(executor: &mut Executor) -> Result<u64> {
    let begin = Instant::now();
    let mut calls = 0;
    while calls < 2 || begin.elapsed() < 10 * SAMPLE {
        executor.rerun("main")?;
        calls += 1;
    }
    let one = begin.elapsed().as_secs_f64() / calls as f64;
    Ok((SAMPLE.as_secs_f64() / one).ceil() as u64)
}

/// Microseconds of a call, sample by sample.
fn sample(executor: &mut Executor, calls: u64, budget: Budget) -> Result<Vec<f64>> {
    let mut samples = vec![];
    let start = Instant::now();
    while samples.len() < budget.least || start.elapsed() < budget.samples {
        let begin = Instant::now();
        for _ in 0..calls {
            executor.rerun("main")?;
        }
        samples.push(begin.elapsed().as_nanos() as f64 / calls as f64 / 1e3);
    }
    Ok(samples)
}

fn time(samples: &[f64], calls: u64) -> Time {
    let median_us = median(samples);
    let distances: Vec<f64> = samples.iter().map(|s| (s - median_us).abs()).collect();
    Time {
        median_us,
        mad_us: median(&distances),
        min_us: samples.iter().copied().fold(f64::INFINITY, f64::min),
        max_us: samples.iter().copied().fold(0.0, f64::max),
        samples: samples.len() as u64,
        calls,
    }
}

fn summary(report: &Report) -> String {
    let Report { versions, machine, roofs, .. } = report;
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
    let mut text = format!(
        "{}, {} of {} cores, {}; f32 peak {:.0} GFLOP/s ({}), int8 peak {:.0} GOP/s ({})\n\
         kernelforge {} (commit {}), LLVM {}, {}",
        machine.cpu,
        machine.threads,
        machine.cores,
        machine.isa,
        roofs.f32_gflops,
        roofs.f32_instruction,
        roofs.int8_gops,
        roofs.int8_instruction,
        versions.kernelforge,
        or_unknown(&versions.commit),
        versions.llvm,
        versions.rustc.as_deref().unwrap_or("rustc unknown"),
    );
    let mut libraries: Vec<String> = vec![];
    for peer in report.rows.iter().flat_map(|r| &r.peers) {
        let library = format!("{} {}", peer.library, peer.version);
        if !libraries.contains(&library) {
            libraries.push(library);
        }
    }
    if !libraries.is_empty() {
        text += &format!("\na library's column is its time by ours, above 1 ours is faster: {}", libraries.join("; "));
    }
    text
}

fn machine(common: &Common) -> Result<Machine> {
    let target = compile::target(common)?;
    Ok(Machine {
        cpu: cpu_name().unwrap_or_else(|| target.cpu.clone()),
        target_cpu: target.cpu,
        os: env::consts::OS.into(),
        cores: std::thread::available_parallelism().map_or(1, usize::from) as u64,
        threads: common.thread_count() as u64,
        isa: target.isa.name().into(),
    })
}

/// As the processor calls itself, where the system tells.
fn cpu_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn versions() -> Versions {
    Versions {
        kernelforge: env!("CARGO_PKG_VERSION").into(),
        generator: kforge_lowering::BUILD_ID.into(),
        llvm: kforge_lowering::compile::llvm_version(),
        rustc: option_env!("KFORGE_RUSTC").map(str::to_owned),
        commit: commit(),
    }
}

/// The commit of the source tree that this program lies in, as after `make build`; elsewhere nobody knows.
fn commit() -> Option<String> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    if !env::current_exe().ok()?.starts_with(tree) {
        return None;
    }
    let arguments = ["describe", "--always", "--exclude=*", "--abbrev=12", "--dirty"];
    let output = Command::new("git").arg("-C").arg(tree).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_by_hand() {
        let time = time(&[4.0, 1.0, 2.0, 3.0, 100.0], 7);
        let expected = Time { median_us: 3.0, mad_us: 1.0, min_us: 1.0, max_us: 100.0, samples: 5, calls: 7 };
        assert_eq!(time, expected);
    }
}
