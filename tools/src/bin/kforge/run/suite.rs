//! `kforge-run bench suite`: single kernels against the machine's limits, against an earlier run, and against other
//! libraries.
//!
//! A case is a function of one op, compiled like any other. It is called once and its result is compared with the
//! reference. Then its launches run repeatedly on the operands left by the call: the time excludes copies of a caller's
//! tensors, as in a decoder. All cases have a turn, then all again. A GPU gets the launches of a sample in one submission,
//! and its roofs are chains of multiply-adds and copies.
//! Each row has a roof (roofline limit), measured in the same run before and after each turn: its operations at the peak of
//! multiply-adds, or its bytes at the rate at which threads repeatedly read that many bytes, whichever takes longer.

mod cases;
mod compare;
mod limits;
mod machine;
mod peers;
mod report;

use crate::run::{Common, Target, model};
use anyhow::{Context as _, Result, bail};
use cases::{Case, Loaded, Weights};
use clap::Args;
use kforge_measure::{mad, max, median, min};
use kforge_runtime::{Execute, gpu};
use kforge_tools::{bounds, output};
use limits::Limits;
use peers::Peer;
use report::{Machine, Report, Row, Time, VERSION};
use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
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
    /// Where the baseline is of another machine, say so and go on without it
    #[arg(long, requires = "baseline")]
    skip_other_machine: bool,
    /// Least change, in percent, that --baseline calls one
    #[arg(long, default_value_t = 5.0, value_name = "PERCENT", requires = "baseline",
          allow_negative_numbers = true, value_parser = bounds::float(0f64..))]
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

/// Time to measure a row per round.
#[derive(Clone, Copy)]
struct Budget {
    /// Time for all samples, and for those of each library.
    samples: Duration,
    /// Minimum number of samples.
    least: usize,
    /// Time for each access pattern of the read roof, before and after a row.
    pattern: Duration,
}

const FULL: Budget = Budget { samples: Duration::from_millis(200), least: 4, pattern: Duration::from_millis(10) };
const QUICK: Budget = Budget { samples: Duration::from_millis(20), least: 2, pattern: Duration::from_millis(2) };

/// Rounds over all cases: a disturbance of a second then affects one turn of a row, not all.
const ROUNDS: usize = 3;

/// A sample is the mean of as many calls as take this long: reading the clock and the first miss are then negligible.
const SAMPLE: Duration = Duration::from_millis(1);
/// The same for a GPU, which needs a submission.
const SUBMISSION: Duration = Duration::from_millis(10);

/// How often a roof that a row has exceeded is measured again.
const AGAIN: usize = 10;

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    if options.schema {
        output::print(report::schema()?.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    if !matches!(common.target, Target::Cpu | Target::Gpu) {
        bail!("bench suite measures a CPU or a GPU; give --target cpu or gpu");
    }
    if common.target == Target::Gpu && options.peers.is_some() {
        bail!("--peers times libraries of the CPU; leave it out, or run scripts/gpu_peers.py for cuBLAS");
    }
    // An invalid baseline is reported before minutes are spent.
    let mut baseline = options.baseline.as_deref().map(report::read).transpose()?;
    let earlier = options.from.as_deref().map(report::read).transpose()?;
    let machine = match &earlier {
        Some(report) => report.machine.clone(),
        None => machine::machine(common)?,
    };
    if let Some(before) = &baseline
        && let Err(difference) = compare::same_machine(&before.machine, &machine)
    {
        if !options.skip_other_machine {
            return Err(difference);
        }
        errln!("kforge-run: not compared: {difference}");
        baseline = None;
    }
    let report = match earlier {
        Some(report) => report,
        None => measure(common, options, machine)?,
    };
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        outln!("{}", report::table(&report))?;
        outln!("\n{}", summary(&report))?;
    }
    match &baseline {
        Some(baseline) => against(baseline, &report, options),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Prints the changes, to standard error if JSON is printed.
fn against(baseline: &Report, report: &Report, options: &Options) -> Result<ExitCode> {
    let changes = match compare::compare(baseline, report, options.tolerance / 100.0) {
        Ok(changes) => changes,
        Err(error) => {
            errln!("kforge-run: {error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let say = |text: &str| {
        if options.json {
            errln!("{text}");
            return Ok(());
        }
        outln!("{text}")
    };
    say(&format!("\n{}", compare::table(&changes)))?;
    for warning in &changes.warnings {
        errln!("kforge-run: warning: {warning}");
    }
    if !changes.added.is_empty() {
        say(&format!("not in the baseline: {}", changes.added.join(", ")))?;
    }
    if !changes.missing.is_empty() && options.filter.is_none() {
        say(&format!("only in the baseline: {}", changes.missing.join(", ")))?;
    }
    let slower: Vec<&str> = changes.regressions().map(|c| c.name.as_str()).collect();
    if slower.is_empty() {
        say("no row is slower beyond the noise")?;
        return Ok(ExitCode::SUCCESS);
    }
    errln!("kforge-run: slower than the baseline: {}", slower.join(", "));
    Ok(ExitCode::FAILURE)
}

fn measure(common: &Common, options: &Options, machine: Machine) -> Result<Report> {
    let filter = options.filter.as_deref().unwrap_or_default();
    let cases: Vec<Case> = cases::all(large(common)?).into_iter().filter(|c| c.name.contains(filter)).collect();
    if cases.is_empty() {
        bail!("--filter {filter} leaves no case; try matmul, linear/q4_1, attention or norm");
    }
    if let Some(path) = options.output.as_deref() {
        let directory = path.parent().unwrap_or(path);
        fs::create_dir_all(directory).with_context(|| format!("{} cannot be made", directory.display()))?;
        output::check_place(path)?;
    }
    let threads = common.thread_count();
    let mut peers = match &options.peers {
        Some(python) => peers::start(python, threads)?,
        None => vec![],
    };
    let budget = if options.quick { QUICK } else { FULL };
    let mut limits = Limits::new(common, budget)?;
    let mut report = Report {
        schema_version: VERSION,
        versions: machine::versions(),
        machine,
        quick: options.quick,
        complete: false,
        roofs: limits.roofs(),
        rows: vec![],
    };
    let progress = model::bar((cases.len() * (1 + ROUNDS)) as u64, "");
    let mut weights = Weights::default();
    let mut runs = vec![];
    for case in &cases {
        progress.set_message(format!("compile {}", case.name));
        let loaded = cases::load(common, case, &mut weights).with_context(|| case.name.clone())?;
        runs.push(Run { case, loaded, samples: vec![], calls: 1, answers: vec![] });
        progress.inc(1);
    }
    drop(weights);
    for round in 0..ROUNDS {
        limits.raise_compute()?;
        for (i, run) in runs.iter_mut().enumerate() {
            progress.set_message(run.case.name.clone());
            run.turn(budget, &mut limits, &mut peers).with_context(|| run.case.name.clone())?;
            let row = run.row(&limits, &peers);
            match report.rows.get_mut(i) {
                Some(earlier) => *earlier = row,
                None => report.rows.push(row),
            }
            report.roofs = limits.roofs();
            report.complete = round + 1 == ROUNDS && i + 1 == cases.len();
            if let Some(path) = &options.output
                && (report.complete || !output::is_stream(path))
            {
                output::write(path, (serde_json::to_string_pretty(&report)? + "\n").as_bytes())?;
            }
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    Ok(report)
}

/// Whether the target is a GPU that is not software, for which there are large cases.
fn large(common: &Common) -> Result<bool> {
    Ok(common.target == Target::Gpu && !gpu::Adapter::choose(common.adapter.as_deref())?.is_software())
}

/// A case being measured.
struct Run<'c> {
    case: &'c Case,
    loaded: Loaded,
    /// Microseconds per call, of all turns so far.
    samples: Vec<f64>,
    /// Calls per sample.
    calls: u64,
    /// Samples and error of each library, if the case is one for libraries.
    answers: Vec<(Vec<f64>, f64)>,
}

impl Run<'_> {
    /// Measures the case once more, and each library after it.
    fn turn(&mut self, budget: Budget, limits: &mut Limits, peers: &mut [Peer]) -> Result<()> {
        let footprint = limits.footprint(self.case)?;
        limits.raise_read(self.case, footprint.as_ref())?;
        self.calls = warm_up(&mut *self.loaded.executor)?;
        self.samples.extend(sample(&mut *self.loaded.executor, self.calls, budget)?);
        if let Some(shape) = self.case.work.f32_product() {
            self.answers.resize_with(peers.len(), Default::default);
            for (peer, (samples, error)) in peers.iter_mut().zip(&mut self.answers) {
                let answer = peer.measure(shape, budget.samples.as_secs_f64())?;
                samples.extend(answer.samples_us);
                *error = answer.relative_error;
            }
        }
        limits.raise_read(self.case, footprint.as_ref())?;
        let median_us = median(&self.samples);
        for _ in 0..AGAIN {
            if limits.over(self.case).us <= median_us {
                break;
            }
            // The machine was disturbed while its limit was measured.
            limits.raise_compute()?;
            limits.raise_read(self.case, footprint.as_ref())?;
        }
        Ok(())
    }

    /// The report's row, from the turns so far.
    fn row(&self, limits: &Limits, peers: &[Peer]) -> Row {
        let work = &self.case.work;
        let (operations, bytes) = (work.operations(), work.bytes());
        let time = time(&self.samples, self.calls);
        let roof = limits.over(self.case);
        let peers = peers.iter().zip(&self.answers).map(|(peer, (samples, max_error))| report::Peer {
            library: peer.library.into(),
            version: peer.version.clone(),
            median_us: median(samples),
            min_us: min(samples),
            ratio: median(samples) / time.median_us,
            max_error: *max_error,
        });
        Row {
            name: self.case.name.clone(),
            numerics: self.case.numerics.name().into(),
            kernels: self.loaded.kernels.clone(),
            operations,
            bytes,
            gflops: (operations > 0).then(|| operations as f64 / time.median_us / 1e3),
            gb_s: bytes as f64 / time.median_us / 1e3,
            share: roof.us / time.median_us,
            roof,
            time,
            error: self.loaded.errors,
            peers: peers.collect(),
        }
    }
}

/// Warms up caches, clock and threads; returns the calls per sample.
fn warm_up(executor: &mut dyn Execute) -> Result<u64> {
    let begin = Instant::now();
    let mut calls = 0;
    let sample = if executor.is_gpu() { SUBMISSION } else { SAMPLE };
    while calls < 2 || begin.elapsed() < 10 * SAMPLE {
        executor.rerun("main", 1)?;
        calls += 1;
    }
    let one = begin.elapsed().as_secs_f64() / calls as f64;
    Ok((sample.as_secs_f64() / one).ceil() as u64)
}

/// Microseconds per call, sample by sample.
fn sample(executor: &mut dyn Execute, calls: u64, budget: Budget) -> Result<Vec<f64>> {
    let mut samples = vec![];
    let start = Instant::now();
    while samples.len() < budget.least || start.elapsed() < budget.samples {
        let begin = Instant::now();
        executor.rerun("main", calls)?;
        samples.push(begin.elapsed().as_nanos() as f64 / calls as f64 / 1e3);
    }
    Ok(samples)
}

fn time(samples: &[f64], calls: u64) -> Time {
    Time {
        median_us: median(samples),
        mad_us: mad(samples),
        min_us: min(samples),
        max_us: max(samples),
        samples: samples.len() as u64,
        calls,
    }
}

fn summary(report: &Report) -> String {
    let Report { versions, machine, roofs, .. } = report;
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
    // A GPU has no threads and no int8 peak.
    let (threads, int8) = match (roofs.int8_gops, &roofs.int8_instruction) {
        (Some(gops), Some(instruction)) => (
            format!("{} of {} cores, ", machine.threads, machine.cores),
            format!(", int8 peak {gops:.0} GOP/s ({instruction})"),
        ),
        _ => Default::default(),
    };
    let mut text = format!(
        "{}, {threads}{}; f32 peak {:.0} GFLOP/s ({}){int8}\n\
         kernelforge {} (commit {}), LLVM {}, {}",
        machine.cpu,
        machine.isa,
        roofs.f32_gflops,
        roofs.f32_instruction,
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
