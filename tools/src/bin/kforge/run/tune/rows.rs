//! The rows of the tuner's database: listed, explained, compared, exported, merged and verified.

use super::{Options, describe, machine, number};
use crate::run::Common;
use anyhow::{Context as _, Result, bail};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use kforge_passes::tiles::{Problem, problem};
use kforge_tools::{
    output,
    tuner::{self, measure::Bench},
};
use kforge_tuner::{Database, Environment, Line, Row, admitted, search};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::BufRead,
    path::Path,
    process::ExitCode,
};

/// The problem of a line, parsed from its text.
fn problem_of(line: &Line) -> Result<Problem> {
    tuner::parse(&line.problem, &line.machine)
}

/// Lines by environment and problem.
fn groups(lines: &[Line]) -> BTreeMap<(String, String), Vec<&Line>> {
    let mut groups: BTreeMap<_, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        groups.entry((line.row.environment.clone(), line.row.key.clone())).or_default().push(line);
    }
    groups
}

/// A problem in an environment, and its winner.
#[derive(Serialize)]
struct Listed {
    key: String,
    environment: String,
    machine: Environment,
    problem: String,
    rows: usize,
    tile: Vec<usize>,
    median_us: f64,
    roofline_share: f64,
}

fn listed(lines: &[&Line]) -> Result<Listed> {
    let problem = problem_of(lines[0])?;
    let rows: Vec<Row> = lines.iter().map(|line| line.row.clone()).collect();
    let winner = search::ranking(&problem.product, &admitted(&problem.product, &rows).0).into_iter().next();
    let row = winner.as_ref().and_then(|winner| rows.iter().find(|row| row.tile == winner.tile));
    Ok(Listed {
        key: rows[0].key.clone(),
        environment: rows[0].environment.clone(),
        machine: lines[0].machine.clone(),
        problem: describe(&problem),
        rows: rows.len(),
        tile: winner.map(|w| w.tile).unwrap_or_default(),
        median_us: row.map_or(f64::NAN, Row::median),
        roofline_share: row.map_or(f64::NAN, |row| row.share),
    })
}

pub fn list(options: &Options, database: &Database) -> Result<ExitCode> {
    let lines = database.lines()?;
    let results = groups(&lines).values().map(|lines| listed(lines)).collect::<Result<Vec<_>>>()?;
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&BTreeMap::from([("results", &results)]))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["key", "machine", "problem", "tile", "us", "of the roof", "rows"]);
    for r in &results {
        table.add_row([
            r.key.clone(),
            r.machine.describe(),
            r.problem.clone(),
            format!("{:?}", r.tile),
            number(r.median_us, 1, ""),
            number(100.0 * r.roofline_share, 0, " %"),
            r.rows.to_string(),
        ]);
    }
    outln!("{table}")?;
    Ok(ExitCode::SUCCESS)
}

/// What became of a candidate.
#[derive(Serialize)]
struct Explained {
    tile: Vec<usize>,
    median_us: f64,
    spread: f64,
    /// Its time as a part of the default's.
    ratio: Option<f64>,
    roofline_share: f64,
    verdict: String,
    code: String,
}

pub fn explain(common: &Common, options: &Options, database: &Database, key: &str) -> Result<ExitCode> {
    let lines = database.lines()?;
    let here = machine(common)?.id();
    let groups = groups(&lines);
    let keys: BTreeSet<&String> = groups.keys().map(|(_, k)| k).filter(|k| k.starts_with(key)).collect();
    let full = match keys.into_iter().collect::<Vec<_>>()[..] {
        [only] => only.clone(),
        [] => bail!("no problem's key begins with '{key}'; --list shows them"),
        _ => bail!("more than one problem's key begins with '{key}'; give more of it"),
    };
    let group = groups.get(&(here, full.clone())).with_context(|| {
        format!(
            "{full} was measured, but not on this machine with these options (--target, --threads, --cpu-features) and \
             this version; --list shows where"
        )
    })?;
    let problem = problem_of(group[0])?;
    let rows: Vec<Row> = group.iter().map(|line| line.row.clone()).collect();
    let (tried, refused) = admitted(&problem.product, &rows);
    let ranking = search::ranking(&problem.product, &tried);
    let best = ranking.first().and_then(|t| t.ratio).unwrap_or(1.0);
    let default = kforge_passes::tiles::space::rule(&problem.product);
    let mut results: Vec<Explained> = rows
        .iter()
        .map(|row| {
            let place = ranking.iter().position(|t| t.tile == row.tile);
            let refused = refused.iter().find(|(tile, _)| *tile == row.tile);
            let verdict = match (&row.failure, refused, place) {
                (Some(failure), _, _) => failure.clone(),
                (_, Some((_, why)), _) => format!("passed over: {why}"),
                (_, _, Some(0)) => "chosen".into(),
                _ => format!("{:.2} x the chosen one's time", row.ratio.unwrap_or(f64::NAN) / best),
            };
            let verdict = if row.samples.len() < 11 && row.failure.is_none() && row.tile != default {
                format!("{verdict}, given up after {} rounds", row.samples.len())
            } else {
                verdict
            };
            Explained {
                tile: row.tile.clone(),
                median_us: row.median(),
                spread: row.spread(),
                ratio: row.ratio,
                roofline_share: row.share,
                verdict: if row.tile == default { format!("{verdict} (the default)") } else { verdict },
                code: row.code.clone(),
            }
        })
        .collect();
    results.sort_by(|a, b| a.ratio.unwrap_or(f64::INFINITY).total_cmp(&b.ratio.unwrap_or(f64::INFINITY)));
    if options.json {
        outln!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({
                "key": full, "problem": problem.text, "machine": group[0].machine,
                "roofs": tuner::roofs(&group[0].machine, database)?, "results": results
            }))?
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    outln!("{full}: {}\n\n{}", describe(&problem), problem.text)?;
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["tile", "us", "spread", "of the roof", "x default", "verdict"]);
    for r in &results {
        table.add_row([
            format!("{:?}", r.tile),
            number(r.median_us, 1, ""),
            number(100.0 * r.spread, 1, " %"),
            number(100.0 * r.roofline_share, 0, " %"),
            number(r.ratio.map_or(f64::NAN, |ratio| 1.0 / ratio), 2, ""),
            r.verdict.clone(),
        ]);
    }
    outln!("{table}")?;
    outln!(
        "{} of {} candidates were tried, each in turns with the default: \"x default\" decides, for microseconds of one \
         minute are not those of another",
        rows.len(),
        kforge_passes::tiles::space::candidates(&problem.product).len()
    )?;
    Ok(ExitCode::SUCCESS)
}

pub fn export(database: &Database, path: &Path) -> Result<ExitCode> {
    let lines = database.lines()?;
    let mut text = String::new();
    for line in &lines {
        text += &serde_json::to_string(line)?;
        text.push('\n');
    }
    output::write(path, text.as_bytes())?;
    outln!("{} rows written to {}", lines.len(), path.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Reads an export. Nothing in it is trusted: hashes are recomputed, numbers and tiles are checked.
fn read_export(path: &Path) -> Result<Vec<Line>> {
    let file = fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut lines = vec![];
    for (number, text) in std::io::BufReader::new(file).lines().enumerate() {
        let place = || format!("{}:{}", path.display(), number + 1);
        let text = text.with_context(place)?;
        if text.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&text).with_context(place)?;
        check(&line).map_err(anyhow::Error::msg).with_context(place)?;
        lines.push(line);
    }
    Ok(lines)
}

fn check(line: &Line) -> Result<(), String> {
    if line.row.key != problem::key(&line.problem) {
        return Err("the key is not that of the problem".into());
    }
    if line.row.environment != line.machine.id() {
        return Err("the environment is not that of the machine".into());
    }
    line.row.check()
}

/// The rows of a database or an export.
pub fn lines_of(path: &Path) -> Result<Vec<Line>> {
    let is_database =
        fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?.starts_with(b"SQLite format 3\0");
    if !is_database {
        return read_export(path);
    }
    let lines = Database::open_file(path)?.lines()?;
    lines.iter().try_for_each(check).map_err(anyhow::Error::msg).with_context(|| path.display().to_string())?;
    Ok(lines)
}

/// Adds rows; of two for one candidate, the one with more rounds stays.
pub fn add(database: &mut Database, lines: &[Line]) -> Result<ExitCode> {
    let mut added = vec![];
    for line in lines {
        let there = database.rows(&line.row.key, &line.row.environment)?;
        let same = there.iter().find(|row| row.tile == line.row.tile && row.code == line.row.code);
        if same.is_none_or(|row| row.samples.len() < line.row.samples.len()) {
            added.push(line.clone());
        }
    }
    database.put_all(&added)?;
    outln!("{} of {} rows added to {}", added.len(), lines.len(), database.path().display())?;
    Ok(ExitCode::SUCCESS)
}

/// Winners of two sets of rows.
#[derive(Serialize)]
struct Difference {
    key: String,
    problem: String,
    machine: String,
    a: Option<Vec<usize>>,
    b: Option<Vec<usize>>,
    a_us: f64,
    b_us: f64,
}

pub fn diff(options: &Options, a: &Path, b: &Path) -> Result<ExitCode> {
    let (a, b) = (lines_of(a)?, lines_of(b)?);
    let (a, b) = (groups(&a), groups(&b));
    let names: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let mut results = vec![];
    for name in names {
        let of = |groups: &BTreeMap<_, Vec<&Line>>| groups.get(name).map(|lines| listed(lines)).transpose();
        let (a, b) = (of(&a)?, of(&b)?);
        let Some(some) = a.as_ref().or(b.as_ref()) else { continue };
        results.push(Difference {
            key: some.key.clone(),
            problem: some.problem.clone(),
            machine: some.machine.describe(),
            a_us: a.as_ref().map_or(f64::NAN, |l| l.median_us),
            b_us: b.as_ref().map_or(f64::NAN, |l| l.median_us),
            a: a.map(|l| l.tile),
            b: b.map(|l| l.tile),
        });
    }
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&BTreeMap::from([("results", &results)]))?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["key", "machine", "problem", "A", "us", "B", "us"]);
    let tile = |tile: &Option<Vec<usize>>| tile.as_ref().map_or("-".to_owned(), |tile| format!("{tile:?}"));
    for r in &results {
        table.add_row([
            r.key.clone(),
            r.machine.clone(),
            r.problem.clone(),
            tile(&r.a),
            number(r.a_us, 1, ""),
            tile(&r.b),
            number(r.b_us, 1, ""),
        ]);
    }
    outln!("{table}")?;
    Ok(ExitCode::SUCCESS)
}

/// Compiles the winners of this machine again: a row whose code, legality or answer is not what it says gets a failure,
/// if the database can be written.
pub fn verify(common: &Common, database: &mut Database) -> Result<ExitCode> {
    let machine = machine(common)?;
    let lines = database.lines()?;
    let writable = database.is_writable();
    let (mut good, mut bad) = (0, 0);
    for ((environment, key), group) in groups(&lines) {
        if environment != machine.id() {
            continue;
        }
        let problem = problem_of(group[0])?;
        let rows: Vec<Row> = group.iter().map(|line| line.row.clone()).collect();
        let (tried, refused) = admitted(&problem.product, &rows);
        for (tile, why) in refused {
            outln!("{key} {tile:?}: {why}")?;
            bad += 1;
        }
        let Some(winner) = search::ranking(&problem.product, &tried).into_iter().next() else { continue };
        let mut bench = Bench::new(&problem, &machine, None)?;
        let code = rows.iter().find(|row| row.tile == winner.tile).map(|row| row.code.clone()).unwrap_or_default();
        match bench.check(&winner.tile, &code) {
            Ok(()) => good += 1,
            Err(why) => {
                outln!("{key} {:?}: {why}", winner.tile)?;
                bad += 1;
                let rows = rows.into_iter().filter(|row| row.tile == winner.tile);
                for row in rows.take_while(|_| writable) {
                    let row = Row { failure: Some(why.clone()), ratio: None, ..row };
                    database.put(&Line { row, problem: problem.text.clone(), machine: machine.clone() })?;
                }
            }
        }
    }
    let elsewhere = groups(&lines).keys().filter(|(environment, _)| *environment != machine.id()).count();
    outln!("{good} winners are right, {bad} rows are not; {elsewhere} problems belong to other machines or versions")?;
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
