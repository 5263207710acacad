//! The tuner's compiling and measuring, which passes cannot do themselves as it comes after them.

pub mod measure;
pub mod runner;

use crate::gpu;
use anyhow::{Result, anyhow};
use kforge_lowering::{
    backend::Machine,
    compile::{self, Options},
};
use kforge_measure::Roofs;
use kforge_passes::tiles::{Problem, problem};
use kforge_runtime::cache;
use kforge_target::Target;
use kforge_tuner::{Database, Environment, Line, Row, Search, Tried, admitted, environment, model::least_seconds};
use measure::Bench;
use std::{
    thread,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// The pass before which problems are extracted.
const TILE: &str = kforge_passes::passes::tile::INFO.name;

/// Rounds of measuring a CPU's roofs, which only rank candidates.
const ROOF_ROUNDS: usize = 2;

/// Registers this program as the tuner's host: `select-kernels{mode=tune}` measures here.
pub fn install() {
    kforge_tuner::install(kforge_tuner::Host {
        directory: cache::directory(),
        environment: |target, threads| machine(target, threads).map_err(|e| format!("{e:#}")),
        measure: |problem, machine, database, deadline| {
            let mut silent = |_: Progress| true;
            tune(problem, machine, database, deadline, &mut silent)
                .map(drop)
                .map_err(|e| format!("a kernel is not tuned: {e:#}"))
        },
        warn: |message| crate::errln!("warning: {message}"),
    });
}

/// This machine as the key of measurements, for a target and a number of threads.
///
/// # Errors
/// If this machine is not such a target.
pub fn machine(target: Target, threads: usize) -> Result<Environment> {
    let isa = match target {
        Target::Gpu(adapter) => return Ok(Environment::Gpu(gpu::environment(gpu::adapter(None)?, adapter)?)),
        Target::Cpu(isa) => isa,
    };
    let machine = Machine::host(Some(isa))?;
    Ok(Environment::Cpu(environment::Cpu {
        cpu: machine.cpu,
        features: machine.features,
        isa: isa.to_string(),
        caches: environment::caches(),
        threads,
        llvm: compile::llvm_version(),
        generator: kforge_lowering::BUILD_ID.to_owned(),
    }))
}

/// Candidates that are compiled in parallel.
pub fn batch(machine: &Environment) -> usize {
    let threads = match machine {
        Environment::Cpu(cpu) => cpu.threads,
        Environment::Gpu(_) => thread::available_parallelism().map_or(1, usize::from),
    };
    threads.clamp(1, 8)
}

/// Progress of the search for one problem.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Candidates tried, and the maximum.
    pub tried: usize,
    pub limit: usize,
}

/// The state of a search when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Candidates in the search space.
    pub space: usize,
    /// Candidates tried so far, in this search and before.
    pub tried: usize,
    /// Whether there is nothing left to try.
    pub complete: bool,
}

/// Measures a problem's candidates until the search is complete, the time is over or `progress` stops it. Each row is
/// stored in the database before the next candidate is tried, so that a later search continues there.
///
/// # Errors
/// If the default kernel cannot be measured, or the database cannot be written.
pub fn tune(
    problem: &Problem,
    machine: &Environment,
    database: &mut Database,
    deadline: Option<Instant>,
    progress: &mut dyn FnMut(Progress) -> bool,
) -> Result<Outcome> {
    let mut roofs = roofs(machine, database)?;
    let search = Search::new(&problem.product, machine, &roofs);
    let (key, id) = (problem.key(), machine.id());
    let mut tried = tried(problem, &database.rows(&key, &id)?);
    let outcome = |tried: &[Tried], complete| Outcome { space: search.tiles().len(), tried: tried.len(), complete };
    let mut bench: Option<Bench> = None;
    loop {
        let batch = search.next(&tried, batch(machine));
        if batch.is_empty() {
            return Ok(outcome(&tried, true));
        }
        let bench = match &mut bench {
            Some(bench) => bench,
            None => bench.insert(Bench::new(problem, machine, Some(&roofs))?),
        };
        for candidate in bench.compile(&batch) {
            let early = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if early || !progress(Progress { tried: tried.len(), limit: search.limit() }) {
                return Ok(outcome(&tried, false));
            }
            let mut row = bench.measure(candidate, best(&tried), &roofs, &key, &id)?;
            if row.share > 1.0 {
                roofs = raised(problem, machine, database, &roofs, &mut row)?;
            }
            tried.push(Tried { tile: row.tile.clone(), ratio: row.ratio, share: row.share });
            database.put(&Line { row, problem: problem.text.clone(), machine: machine.clone() })?;
        }
    }
}

/// The rows of a problem in the search's form.
pub fn tried(problem: &Problem, rows: &[Row]) -> Vec<Tried> {
    admitted(&problem.product, rows).0
}

/// The machine's roofs, measured once and stored.
///
/// # Errors
/// If they cannot be measured or stored.
pub fn roofs(machine: &Environment, database: &Database) -> Result<Roofs> {
    let is_gpu = matches!(machine, Environment::Gpu(_));
    let sensible = |roofs: &Roofs| roofs.is_positive() && roofs.int8_gops.is_none() == is_gpu;
    let stored = database.roofs(&machine.id())?.and_then(|text| serde_json::from_str::<Roofs>(&text).ok());
    if let Some(roofs) = stored.filter(sensible) {
        return Ok(roofs);
    }
    let roofs = runner::roofs(machine, Some(ROOF_ROUNDS))?;
    database.put_roofs(machine, &serde_json::to_string(&roofs)?)?;
    Ok(roofs)
}

/// The smallest ratio so far.
pub fn best(tried: &[Tried]) -> f64 {
    tried.iter().filter_map(|t| t.ratio).fold(f64::INFINITY, f64::min)
}

/// Raises a roof that a kernel has exceeded: it was measured while something else used the machine. It is measured
/// again at length, and is at least what the kernel reached.
///
/// # Errors
/// If it cannot be measured or stored.
pub fn raised(
    problem: &Problem,
    machine: &Environment,
    database: &Database,
    roofs: &Roofs,
    row: &mut Row,
) -> Result<Roofs> {
    let mut roofs = roofs.max(runner::roofs(machine, None)?);
    let seconds = row.median() * 1e-6;
    let above = least_seconds(&problem.product, &roofs) / seconds;
    if above > 1.0 {
        roofs = roofs.scaled(above);
    }
    row.share = least_seconds(&problem.product, &roofs) / seconds;
    database.put_roofs(machine, &serde_json::to_string(&roofs)?)?;
    Ok(roofs)
}

/// The problems of a module, each once, in order: its groups of linear layers with their layouts.
///
/// # Errors
/// The diagnostics of the parser or the passes.
pub fn problems(source: compile::Source, machine: &Environment, options: Options) -> Result<Vec<Problem>> {
    let target = machine.target().map_err(anyhow::Error::msg)?;
    let context = compile::context();
    let diagnostics = compile::Diagnostics::new(&context, source);
    let mut module = compile::parse_with(&diagnostics)?;
    let options = Options { tuning: compile::Tuning::default(), ..options };
    let (selected, _) = kforge_lowering::pipeline(target, options).split_at(TILE);
    compile::run_pipeline(&diagnostics, &mut module, &selected)?;
    let mut problems: Vec<Problem> = vec![];
    for problem in problem::of_module(&context, &module, target) {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    Ok(problems)
}

/// The problem stored in a database as text, perhaps of another machine.
///
/// # Errors
/// If the text is malformed.
pub fn parse(text: &str, machine: &Environment) -> Result<Problem> {
    let target = machine.target().map_err(anyhow::Error::msg)?;
    let context = compile::context();
    let diagnostics = compile::Diagnostics::new(&context, text.into());
    let mut module = compile::parse_with(&diagnostics)?;
    let (selected, _) = Options::default().selection(target).split_at(TILE);
    compile::run_pipeline(&diagnostics, &mut module, &selected)?;
    let problem = problem::of_module(&context, &module, target).pop();
    problem.ok_or_else(|| anyhow!("the text of a problem has no group of linear layers"))
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64)
}
