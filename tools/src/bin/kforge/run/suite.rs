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
mod peers;
mod report;

use crate::run::{Common, Target, compile, model};
use anyhow::{Context as _, Result, bail};
use cases::{Case, Loaded, Weights};
use clap::Args;
use kforge_measure::{Peaks, mad, max, median, min};
use kforge_runtime::{Execute, Roofline, gpu, roofline::peaks};
use kforge_tools::{
    bounds,
    gpu::{features, roof},
    output,
};
use peers::Peer;
use report::{Limit, Machine, Report, Roof, Row, Time, VERSION, Versions};
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
        None => machine(common)?,
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
        versions: versions(),
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

/// The measured device.
enum On {
    Cpu {
        threads: usize,
        /// Time per access pattern of a read roof.
        pattern: Duration,
    },
    Gpu(Box<gpu::Gpu>),
}

/// Limits of the machine, the best measured in the run.
struct Limits {
    on: On,
    compute: Peaks,
    /// GB/s by footprint.
    reads: HashMap<u64, f64>,
}

impl Limits {
    fn new(common: &Common, budget: Budget) -> Result<Limits> {
        let on = match common.target {
            Target::Gpu => On::Gpu(Box::new(compile::gpu(common)?)),
            _ => On::Cpu { threads: common.thread_count(), pattern: budget.pattern },
        };
        Ok(Limits { compute: on.compute()?, on, reads: HashMap::new() })
    }

    fn raise_compute(&mut self) -> Result<()> {
        self.compute.raise(&self.on.compute()?);
        Ok(())
    }

    /// Memory of as many bytes as a case reads; a GPU's is allocated when measured.
    fn footprint(&self, case: &Case) -> Result<Option<Roofline>> {
        match self.on {
            On::Cpu { .. } => Ok(Some(Roofline::new(usize::try_from(case.work.bytes())?)?)),
            On::Gpu(_) => Ok(None),
        }
    }

    /// Measures again the GB/s at which a case's bytes are read repeatedly, or copied by a GPU.
    fn raise_read(&mut self, case: &Case, footprint: Option<&Roofline>) -> Result<()> {
        let bytes = case.work.bytes();
        let read = match (&self.on, footprint) {
            (On::Cpu { threads, pattern }, Some(footprint)) => footprint.read_gb_s(*threads, *pattern)?,
            (On::Cpu { .. }, None) => bail!("a CPU's read roof is measured over memory"),
            // Once is enough: nothing else uses it.
            (On::Gpu(_), _) if self.reads.contains_key(&bytes) => return Ok(()),
            (On::Gpu(gpu), _) => roof::copies(gpu, bytes)?.0,
        };
        let most = self.reads.entry(bytes).or_insert(read);
        *most = most.max(read);
        Ok(())
    }

    fn roofs(&self) -> Peaks {
        self.compute.clone()
    }

    /// The roof of a case whose read rate has been measured.
    fn over(&self, case: &Case) -> Roof {
        let (by, peak) = match (case.work.is_int8(case.numerics), self.compute.int8_gops) {
            (true, Some(int8)) => (Limit::Int8, int8),
            // The peak of a GPU's matrix units is not measured; the read roof still applies.
            (true, None) => (Limit::Reading, f64::INFINITY),
            (false, _) => (Limit::F32, self.compute.f32_gflops),
        };
        let read_gb_s = self.reads[&case.work.bytes()];
        let computing = case.work.operations() as f64 / peak / 1e3;
        let reading = case.work.bytes() as f64 / read_gb_s / 1e3;
        Roof { by: if computing > reading { by } else { Limit::Reading }, us: computing.max(reading), read_gb_s }
    }
}

impl On {
    fn compute(&self) -> Result<Peaks> {
        Ok(match self {
            On::Cpu { threads, .. } => peaks(*threads)?,
            On::Gpu(gpu) => Peaks {
                f32_gflops: roof::f32_gflops(gpu)?,
                f32_instruction: "fma".into(),
                int8_gops: None,
                int8_instruction: None,
            },
        })
    }
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

fn machine(common: &Common) -> Result<Machine> {
    if common.target == Target::Gpu {
        let adapter = gpu::Adapter::choose(common.adapter.as_deref())?;
        return Ok(Machine {
            cpu: adapter.name().to_owned(),
            target_cpu: adapter.identity(),
            os: env::consts::OS.into(),
            cores: 1,
            threads: 1,
            isa: features(&adapter).to_string(),
        });
    }
    let host = compile::machine(common)?;
    Ok(Machine {
        cpu: cpu_name().unwrap_or_else(|| host.cpu.clone()),
        target_cpu: host.cpu,
        os: env::consts::OS.into(),
        cores: std::thread::available_parallelism().map_or(1, usize::from) as u64,
        threads: common.thread_count() as u64,
        isa: host.isa.to_string(),
    })
}

/// The processor's own name, if the system reports it.
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

/// The commit of the source tree that contains this program, as after `make build`; else `None`.
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
