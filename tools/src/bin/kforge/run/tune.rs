//! `kforge-run tune`: measures kernel tiles, and shows existing measurements.

mod rows;

use crate::run::{Common, Target, compile, model};
use anyhow::{Context as _, Result, bail};
use clap::{ArgGroup, Args};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use indicatif::{ProgressBar, ProgressStyle};
use kforge_engine::module::emit;
use kforge_lowering::backend::Backend as _;
use kforge_lowering::compile::Source;
use kforge_models::{Emission, Phase};
use kforge_passes::tiles::Problem;
use kforge_runtime::cache;
use kforge_tools::{
    bounds,
    source::ModuleFile,
    tuner::{self, measure::Bench},
};
use kforge_tuner::{Database, Environment, Line, Row, Search, admitted, search};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

#[derive(Args, Debug)]
#[command(group(ArgGroup::new("what").required(true)))]
pub struct Options {
    /// Tune the kernels of a module; - is standard input
    #[arg(group = "what")]
    file: Option<PathBuf>,
    /// Tune the kernels of a model: a GGUF file, a safetensors file or directory, ORG/NAME, default or random:tiny
    #[arg(long, group = "what")]
    model: Option<OsString>,
    /// Time to measure for, as 60s or 5m; without it, until every search is over
    #[arg(long, value_name = "TIME", value_parser = bounds::time)]
    budget: Option<Duration>,
    /// Measure every candidate, not only those that look promising
    #[arg(long)]
    exhaustive: bool,
    /// List what has been measured, by problem
    #[arg(long, group = "what")]
    list: bool,
    /// Say of a problem which candidates were tried, and why each lost
    #[arg(long, group = "what", value_name = "KEY")]
    explain: Option<String>,
    /// Set the winners of two databases or exports against each other
    #[arg(long, group = "what", num_args = 2, value_names = ["A", "B"])]
    diff: Option<Vec<PathBuf>>,
    /// Write every row to a file of JSON lines
    #[arg(long, group = "what", value_name = "FILE.jsonl")]
    export: Option<PathBuf>,
    /// Add the rows of an export; or of a database, as --merge
    #[arg(long, group = "what", value_name = "FILE.jsonl")]
    import: Option<PathBuf>,
    /// Add the rows of another database; or of an export, as --import
    #[arg(long, group = "what", value_name = "FILE.db")]
    merge: Option<PathBuf>,
    /// Compile this machine's winners again and compare their answers with the reference
    #[arg(long, group = "what")]
    verify: bool,
    /// Forget a problem's rows, or with 'all' every row
    #[arg(long, group = "what", value_name = "KEY|all")]
    clear: Option<String>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    match common.target {
        Target::Cpu | Target::Gpu => {}
        Target::Auto => return compile::on_target(common, |common| run(common, options)),
        Target::Reference => bail!("tune measures kernels of the CPU or a GPU; give --target cpu or gpu"),
    }
    if options.exhaustive && options.budget.is_some() {
        bail!("--exhaustive measures everything; leave --budget out");
    }
    if let Some(paths) = &options.diff {
        return rows::diff(options, &paths[0], &paths[1]);
    }
    let directory = cache::directory().context("there is no cache directory: set HOME or KFORGE_CACHE")?;
    let mut database = Database::open(&directory)?;
    if let Some(key) = &options.explain {
        return rows::explain(common, options, &database, key);
    }
    if options.list {
        return rows::list(options, &database);
    }
    if let Some(path) = &options.export {
        return rows::export(&database, path);
    }
    if options.verify {
        return rows::verify(common, &mut database);
    }
    if !database.is_writable() {
        bail!("{} cannot be written; set KFORGE_CACHE to a directory that can", database.path().display());
    }
    if let Some(path) = options.import.as_ref().or(options.merge.as_ref()) {
        return rows::add(&mut database, &rows::lines_of(path)?);
    }
    if let Some(key) = &options.clear {
        let prefix = if key == "all" { "" } else { key };
        if key.is_empty() {
            bail!("--clear takes a key, or all");
        }
        let cleared = database.clear(prefix)?;
        if cleared == 0 && key != "all" {
            bail!("no problem's key begins with '{key}'; --list shows them");
        }
        outln!("{cleared} rows forgotten")?;
        return Ok(ExitCode::SUCCESS);
    }
    let source = match (&options.file, &options.model) {
        (Some(file), _) => ModuleFile::read(file)?,
        (None, Some(name)) => {
            let phases = [Phase::Prefill, Phase::Decode];
            let text = emit(model::open(common, name)?.checkpoint(), Emission::default(), &phases)?;
            ModuleFile { name: name.to_string_lossy().into_owned(), bytes: text.into() }
        }
        (None, None) => bail!("give a module, or --model"),
    };
    tune(common, options, &mut database, source.source())
}

/// This machine with the options' instruction set and threads, or its GPU.
fn machine(common: &Common) -> Result<Environment> {
    if common.target == Target::Gpu {
        return compile::gpu_environment(common);
    }
    tuner::machine(compile::machine(common)?.target(), common.thread_count())
}

fn tune(common: &Common, options: &Options, database: &mut Database, source: Source) -> Result<ExitCode> {
    let machine = machine(common)?;
    let problems = tuner::problems(source, &machine, common.options())?;
    if problems.is_empty() {
        bail!("the module has no linear layer whose tile could be chosen");
    }
    let bar = ProgressBar::new(0).with_message("measuring the machine's roofs");
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}") {
        bar.set_style(style);
    }
    let roofs = tuner::roofs(&machine, database)?;
    let deadline = options.budget.map(|budget| Instant::now() + budget);
    let space = |problem: &Problem| Search::new(&problem.product, &machine, &roofs);
    bar.set_length(problems.iter().map(|p| space(p).limit() as u64).sum());
    let (mut results, mut before, mut complete) = (vec![], 0, 0);
    for (i, problem) in problems.iter().enumerate() {
        let key = problem.key();
        bar.set_message(format!("{} of {} {}", i + 1, problems.len(), describe(problem)));
        let mut progress = |progress: tuner::Progress| {
            bar.set_position(before + progress.tried as u64);
            true
        };
        let outcome = if options.exhaustive {
            sweep(problem, &machine, database, &bar)?
        } else {
            tuner::tune(problem, &machine, database, deadline, &mut progress)?
        };
        before += space(problem).limit() as u64;
        complete += usize::from(outcome.complete);
        results.push(Tuned::new(problem, &key, &outcome, &database.rows(&key, &machine.id())?));
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
    }
    bar.finish_and_clear();
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&BTreeMap::from([("results", &results)]))?)?;
    } else {
        outln!("{}", table(&results))?;
    }
    if complete < problems.len() {
        errln!(
            "kforge-run: {complete} of {} searches are over; the same command goes on with the others",
            problems.len()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures every candidate that has no row yet.
fn sweep(
    problem: &Problem,
    machine: &Environment,
    database: &mut Database,
    bar: &ProgressBar,
) -> Result<tuner::Outcome> {
    let mut roofs = tuner::roofs(machine, database)?;
    let search = Search::new(&problem.product, machine, &roofs);
    let (key, id) = (problem.key(), machine.id());
    let mut tried = tuner::tried(problem, &database.rows(&key, &id)?);
    let missing: Vec<Vec<usize>> =
        search.tiles().iter().filter(|tile| !tried.iter().any(|t| t.tile == **tile)).cloned().collect();
    bar.set_length(missing.len() as u64);
    bar.set_position(0);
    let mut bench = Bench::new(problem, machine, Some(&roofs))?;
    for batch in missing.chunks(tuner::batch(machine)) {
        for candidate in bench.compile(batch) {
            let mut row = bench.measure(candidate, tuner::best(&tried), &roofs, &key, &id)?;
            if row.share > 1.0 {
                roofs = tuner::raised(problem, machine, database, &roofs, &mut row)?;
            }
            tried.extend(tuner::tried(problem, std::slice::from_ref(&row)));
            database.put(&Line { row, problem: problem.text.clone(), machine: machine.clone() })?;
            bar.inc(1);
        }
    }
    Ok(tuner::Outcome { space: search.tiles().len(), tried: tried.len(), complete: true })
}

/// A problem's winner.
#[derive(Serialize)]
struct Tuned {
    key: String,
    problem: String,
    tile: Vec<usize>,
    median_us: f64,
    /// The default's time by the winner's.
    speedup: f64,
    roofline_share: f64,
    tried: usize,
    space: usize,
    complete: bool,
}

impl Tuned {
    fn new(problem: &Problem, key: &str, outcome: &tuner::Outcome, rows: &[Row]) -> Tuned {
        let (tried, _) = admitted(&problem.product, rows);
        let winner = search::ranking(&problem.product, &tried).into_iter().next();
        let row = winner.as_ref().and_then(|winner| rows.iter().find(|row| row.tile == winner.tile));
        Tuned {
            key: key.to_owned(),
            problem: describe(problem),
            tile: winner.as_ref().map(|w| w.tile.clone()).unwrap_or_default(),
            median_us: row.map_or(f64::NAN, Row::median),
            speedup: winner.as_ref().and_then(|w| w.ratio).map_or(1.0, |ratio| 1.0 / ratio),
            roofline_share: row.map_or(f64::NAN, |row| row.share),
            tried: outcome.tried,
            space: outcome.space,
            complete: outcome.complete,
        }
    }
}

fn table(results: &[Tuned]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["key", "problem", "tile", "us", "x default", "of the roof", "tried"]);
    for r in results {
        table.add_row([
            r.key.clone(),
            r.problem.clone(),
            format!("{:?}", r.tile),
            number(r.median_us, 1, ""),
            format!("{:.2}", r.speedup),
            number(100.0 * r.roofline_share, 0, " %"),
            format!("{} of {}", r.tried, r.space),
        ]);
    }
    table
}

/// Formats a number, or a dash for NaN.
fn number(value: f64, decimals: usize, unit: &str) -> String {
    if value.is_nan() { "-".into() } else { format!("{value:.decimals$}{unit}") }
}

/// Human-readable: `gemv 1 x 1536+1536 x 576 int8`.
fn describe(problem: &Problem) -> String {
    let p = &problem.product;
    let columns: Vec<String> =
        p.sections.iter().flat_map(|s| std::iter::repeat_n(s.columns.to_string(), s.roots)).collect();
    let mut text = format!("{} ", p.family.name());
    text += &p.rows.map_or("?".to_owned(), |rows| rows.to_string());
    text += &format!(" x {} x {}", columns.join("+"), p.depth);
    for (flag, word) in [(p.quantised, " quantised"), (p.int8, " int8"), (p.half, " half"), (p.norm, " norm")] {
        text += if flag { word } else { "" };
    }
    text
}
