//! The tuner under attack: whatever becomes of its database, answers stay right and nothing is lost but the row in
//! flight.

#[path = "tuner/gpu.rs"]
mod gpu;
#[path = "tuner/place.rs"]
mod place;

use kforge_measure::Roofs;
use kforge_passes::tiles::{Family, space};
use kforge_tuner::{Environment, Line, Row, Search, Tried, environment, search};
use place::{MODULE, Place, text, warnings};
use std::{collections::BTreeMap, fs, path::Path, process::Stdio, thread, time::Duration};

/// How often what happens by chance is tried.
const ROUNDS: usize = 20;

impl Place {
    /// Runs the module, whose answer must be the reference's. Returns what was said.
    fn answer(&self) -> String {
        let arguments = ["m.mlir", "--input", "random:1", "--random-globals", "2", "--compare", "reference"];
        let output = self.run(&[&arguments[..], &["--output", "y.npy", "--no-cache"]].concat());
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        said
    }
}

/// A row that would win.
fn forged(lines: &[Line], tile: &[usize]) -> Line {
    let line = lines.iter().find(|line| line.row.failure.is_none()).unwrap();
    let row = Row {
        tile: tile.to_vec(),
        ratio: Some(1e-3),
        samples: vec![1e-3; 11],
        code: "forged".into(),
        ..line.row.clone()
    };
    Line { row, ..line.clone() }
}

fn cpu(line: &mut Line) -> &mut environment::Cpu {
    match &mut line.machine {
        Environment::Cpu(cpu) => cpu,
        Environment::Gpu(gpu) => panic!("measured on {}", gpu.gpu),
    }
}

#[test]
fn a_measured_tile_is_chosen_and_explained() {
    let place = Place::tuned();
    let (op, said) = place.selected();
    let key = &place.lines()[0].row.key;
    assert!(op.contains(&format!("transformer.tuned = \"{key}\"")), "{op}");
    assert_eq!(warnings(&said), Vec::<&str>::new());
    let explained = place.run(&["tune", "--explain", &key[..6]]);
    let table = text(&explained.stdout);
    assert!(explained.status.success() && table.contains("chosen") && table.contains("(the default)"), "{table}");
    let verified = place.run(&["tune", "--verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    assert!(text(&verified.stdout).starts_with("1 winners are right, 0 rows are not"), "{}", text(&verified.stdout));
    place.answer();
}

#[test]
fn a_tile_on_the_op_stays() {
    let place = Place::tuned();
    let select = "--select-kernels=mode=cached-only threads=2";
    let output = place.command("kforge-opt", &["m.mlir", "--kforge-fuse"]).output().unwrap();
    let kernel = "transformer.fused$1 kernel #transformer.kernel<\"gemv\", tile = [80, 16, 4]> {";
    let fused = |line: &str| match line.split_once("transformer.fused").filter(|_| line.ends_with(" {")) {
        Some((before, after)) => format!("{before}{}", kernel.replace("$1", after.trim_end_matches(" {"))),
        None => line.to_owned(),
    };
    let by_hand = text(&output.stdout).lines().map(fused).collect::<Vec<_>>().join("\n");
    fs::write(place.path().join("hand.mlir"), by_hand).unwrap();
    let output = place.command("kforge-opt", &["hand.mlir", select]).output().unwrap();
    let module = text(&output.stdout);
    assert!(module.contains("tile = [80, 16, 4]") && !module.contains("transformer.tuned"), "{module}");
}

#[test]
fn an_illegal_winner_gives_way_to_the_next_with_one_warning() {
    let place = Place::tuned();
    let (right, _) = place.selected();
    for tile in [&[33][..], &[0], &[], &[64, 48], &[16, 16, 4096], &[1 << 20], &[usize::MAX, 16], &[16, 16, 1, 1]] {
        let mut database = place.database();
        database.put(&forged(&place.lines(), tile)).unwrap();
        let (op, said) = place.selected();
        assert_eq!(op, right, "{tile:?}");
        let warnings = warnings(&said);
        assert!(warnings.len() == 1 && warnings[0].contains("passed over"), "{tile:?}: {said}");
        let said = place.answer();
        assert_eq!(said.lines().filter(|line| line.starts_with("warning:")).count(), 1, "{tile:?}: {said}");
        database.clear("").unwrap();
        place.run(&["tune", "--import", "rows.jsonl"]);
    }
}

#[test]
fn a_legal_tile_that_never_won_changes_no_bit() {
    let place = Place::tuned();
    place.answer();
    let right = fs::read(place.path().join("y.npy")).unwrap();
    let lines = place.lines();
    for tile in [&[16][..], &[80, 16], &[96, 48, 48], &[512, 32, 1]] {
        let mut database = place.database();
        database.clear("").unwrap();
        database.put(&forged(&lines, tile)).unwrap();
        let (op, _) = place.selected();
        let numbers: Vec<String> = tile.iter().map(usize::to_string).collect();
        assert!(op.contains(&format!("tile = [{}]>", numbers.join(", "))), "{op}");
        place.answer();
        assert!(fs::read(place.path().join("y.npy")).unwrap() == right, "{tile:?}");
    }
}

#[test]
fn rows_of_another_machine_version_or_predicate_are_not_used() {
    let place = Place::tuned();
    let lines = place.lines();
    let foreign = |change: &dyn Fn(&mut Line)| {
        let mut database = place.database();
        database.clear("").unwrap();
        let mut line = forged(&lines, &[16, 16, 2]);
        change(&mut line);
        line.row.environment = line.machine.id();
        database.put(&line).unwrap();
        place.answer();
        place.selected()
    };
    let (mine, _) = foreign(&|_| {});
    assert!(mine.contains("tile = [16, 16, 2]"), "{mine}");
    for change in [
        &(|cpu: &mut environment::Cpu| cpu.cpu = "another".into()) as &dyn Fn(&mut environment::Cpu),
        &|cpu| cpu.generator = "another".into(),
        &|cpu| cpu.llvm = "1.0".into(),
        &|cpu| cpu.threads = 64,
        &|cpu| {
            cpu.caches.insert("L2".into(), 1);
        },
    ] {
        let (op, said) = foreign(&|line| change(cpu(line)));
        assert!(!op.contains("transformer.tuned"), "{op}");
        assert_eq!(warnings(&said), Vec::<&str>::new());
    }
    let (op, said) = foreign(&|line| line.row.predicate = "older rules".into());
    assert!(!op.contains("transformer.tuned") && warnings(&said).len() == 1, "{op} {said}");
}

#[test]
fn a_damaged_database_is_left_alone_and_said_once() {
    let place = Place::tuned();
    place.answer();
    let right = fs::read(place.path().join("y.npy")).unwrap();
    // The log goes into the file when the last connection ends.
    drop(place.database());
    let whole = fs::read(place.file()).unwrap();
    let cut = |length: usize| whole[..length].to_vec();
    let garbage = || b"this is no database, whatever its name says".repeat(100);
    for damaged in [cut(whole.len() / 2), cut(100), garbage()] {
        for other in ["tuning.db-wal", "tuning.db-shm"] {
            let _ = fs::remove_file(place.path().join(other));
        }
        fs::write(place.file(), &damaged).unwrap();
        let said = place.answer();
        assert_eq!(warnings(&said).len(), 1, "{said}");
        assert!(fs::read(place.path().join("y.npy")).unwrap() == right);
        assert!(fs::read(place.file()).unwrap() == damaged, "the damaged file has been changed");
        let tuned = place.run(&["tune", "m.mlir", "--budget", "1s"]);
        let said = text(&tuned.stderr);
        assert!(tuned.status.code() == Some(1) && said.contains("tuning.db cannot be used"), "{said}");
        assert!(fs::read(place.file()).unwrap() == damaged, "the damaged file has been changed");
    }
}

#[test]
fn an_unreadable_row_is_left_out_and_said_once() {
    let place = Place::tuned();
    drop(place.database());
    let connection = rusqlite::Connection::open(place.file()).unwrap();
    let spoilt = "UPDATE candidate SET row = 'no row' WHERE tile = (SELECT max(tile) FROM candidate)";
    assert_eq!(connection.execute(spoilt, []).unwrap(), 1);
    drop(connection);
    let said = place.answer();
    assert!(warnings(&said).len() == 1 && said.contains("1 row cannot be read"), "{said}");
}

/// 64 x 64 sums of 128 in bf16, one of which the kernel rounds to the other neighbour.
#[test]
fn results_of_16_bits_may_be_a_unit_off() {
    let place = Place::new();
    let module = MODULE.replace("3x", "64x").replace("70", "64").replace("90", "128").replace("f32", "bf16");
    fs::write(place.path().join("m.mlir"), module).unwrap();
    let tuned = place.run(&["tune", "m.mlir", "--budget", "1s"]);
    assert!(tuned.status.success(), "{}", text(&tuned.stderr));
}

#[test]
fn two_processes_tune_one_key_at_once() {
    let place = Place::new();
    for round in 0..ROUNDS {
        let mut both: Vec<_> = (0..2)
            .map(|_| {
                place
                    .command("kforge-run", &["--threads", "2", "tune", "m.mlir", "--budget", "1s"])
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for child in both.drain(..) {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "round {round}: {}", text(&output.stderr));
        }
        let lines = place.lines();
        assert!(!lines.is_empty(), "round {round}");
        let mut names: Vec<_> = lines.iter().map(|line| (line.row.tile.clone(), line.row.code.clone())).collect();
        names.dedup();
        assert_eq!(names.len(), lines.len(), "round {round}: a candidate has two rows");
        assert!(lines.iter().all(|line| line.row.check().is_ok() && line.row.failure.is_none()), "round {round}");
        if round % 5 == 4 {
            place.answer();
            place.database().clear("").unwrap();
        }
    }
}

#[test]
fn a_killed_process_loses_the_row_in_flight_and_no_more() {
    let place = Place::new();
    // The roofs are measured once, before the first row.
    assert!(place.run(&["tune", "m.mlir", "--budget", "1ms"]).status.success());
    let mut before = 0;
    for round in 0..ROUNDS {
        let mut child = place
            .command("kforge-run", &["--threads", "2", "tune", "m.mlir"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(150 + 40 * round as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        let lines = place.lines();
        assert!(lines.len() >= before, "round {round}: {before} rows have become {}", lines.len());
        assert!(lines.iter().all(|line| line.row.check().is_ok()), "round {round}");
        before = lines.len();
    }
    place.answer();
    // What is left goes on from there.
    let output = place.run(&["tune", "m.mlir", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["results"][0]["complete"], true);
    assert!(place.lines().len() >= before);
}

/// test/data/sweeps/sweeps.json: sweeps over every candidate of a problem, measured with `kforge-run tune --exhaustive` on
/// one machine. What `--explain --json` then has of each candidate is a line of NAME.csv.
#[derive(serde::Deserialize)]
struct Sweeps {
    machine: serde_json::Map<String, serde_json::Value>,
    sweeps: BTreeMap<String, Sweep>,
}

#[derive(serde::Deserialize)]
struct Sweep {
    /// Of the machine's row: the hash of the code generator that was measured.
    generator: serde_json::Value,
    roofs: Roofs,
    /// Lines of a module.
    problem: Vec<String>,
}

struct Measured {
    tile: Vec<usize>,
    ratio: f64,
    spread: f64,
    roofline_share: f64,
}

fn measured(csv: &str) -> Vec<Measured> {
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("tile,median_us,ratio,spread,roofline_share,rounds"));
    let row = |line: &str| {
        let [tile, _, ratio, spread, share, _] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let number = |text: &str| text.parse().unwrap_or_else(|e| panic!("{line}: {text:?}: {e}"));
        let tile = tile.split('x').map(|size| size.parse().unwrap_or_else(|e| panic!("{line}: {size:?}: {e}")));
        Measured { tile: tile.collect(), ratio: number(ratio), spread: number(spread), roofline_share: number(share) }
    };
    lines.map(row).collect()
}

#[test]
fn a_tenth_of_the_space_finds_what_a_sweep_finds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../test/data/sweeps");
    let Sweeps { machine, sweeps } = serde_json::from_slice(&fs::read(folder.join("sweeps.json")).unwrap()).unwrap();
    assert!(!sweeps.is_empty(), "there is no sweep");
    for (name, sweep) in sweeps {
        let results = measured(&fs::read_to_string(folder.join(format!("{name}.csv"))).unwrap());
        let mut machine = machine.clone();
        machine.insert("generator".into(), sweep.generator);
        let machine: Environment = serde_json::from_value(machine.into()).unwrap();
        let problem = kforge_tools::tuner::parse(&sweep.problem.join("\n"), &machine).unwrap();
        let search = Search::new(&problem.product, &machine, &sweep.roofs);
        let least = if problem.product.family == Family::Gemm { 100 } else { 50 };
        assert!(search.tiles().len() >= least, "{name}: {} candidates", search.tiles().len());
        let mut tried: Vec<Tried> = vec![];
        loop {
            let next = search.next(&tried, 2);
            if next.is_empty() {
                break;
            }
            for tile in next {
                assert!(!tried.iter().any(|t| t.tile == tile), "{name}: {tile:?} is tried twice");
                let found = results.iter().find(|r| r.tile == tile);
                let found = found.unwrap_or_else(|| panic!("{name}: the sweep has no {tile:?}; measure it anew"));
                tried.push(Tried { tile, ratio: Some(found.ratio), share: found.roofline_share });
            }
        }
        assert!(tried.len() <= 4.max(search.tiles().len() / 10), "{name}: {} are tried", tried.len());
        let winner = search::ranking(&problem.product, &tried)[0].ratio.unwrap();
        // The least of hundreds of medians is lucky; twice its standard error says how much at most.
        let luck = |r: &Measured| 1.0 + 2.0 * r.spread / 11f64.sqrt();
        let best = results.iter().map(|r| r.ratio * luck(r)).fold(f64::INFINITY, f64::min);
        assert!(best / winner >= 0.97, "{name}: {:.1} % of the best", 100.0 * best / winner);
        eprintln!("{name}: {} of {}, {:.1} % of the best", tried.len(), search.tiles().len(), 100.0 * best / winner);
    }
}

#[test]
fn exports_are_checked_line_by_line() {
    let place = Place::tuned();
    let lines = place.lines();
    let import = |line: &Line| {
        fs::write(place.path().join("x.jsonl"), format!("\n{}\n", serde_json::to_string(line).unwrap())).unwrap();
        let output = place.run(&["tune", "--import", "x.jsonl"]);
        (output.status.code(), text(&output.stderr))
    };
    let good = lines[0].clone();
    assert_eq!(import(&good).0, Some(0));
    for (change, why) in [
        (&(|line: &mut Line| line.problem += " ") as &dyn Fn(&mut Line), "the key is not that of the problem"),
        (&|line| cpu(line).threads += 1, "the environment is not that of the machine"),
        (&|line| line.row.samples[0] = -1.0, "its samples are no positive numbers"),
        (&|line| line.row.ratio = None, "its ratio is no positive number"),
    ] {
        let mut line = good.clone();
        change(&mut line);
        let (code, said) = import(&line);
        assert!(code == Some(1) && said.contains("x.jsonl:2") && said.contains(why), "{said}");
    }
    assert_eq!(place.lines(), lines);
    let output = place.run(&["tune", "--export", "nowhere/x.jsonl"]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("nowhere/x.jsonl") && !said.contains(".tmp"), "{said}");
    let other = Place::new();
    fs::copy(place.file(), other.path().join("other.db")).unwrap();
    drop(place.database());
    for how in ["--merge", "--import"] {
        let merged = other.run(&["tune", how, place.file().to_str().unwrap()]);
        assert!(merged.status.success(), "{}", text(&merged.stderr));
    }
    assert_eq!(other.lines(), lines);
    let file = |place: &Place| place.file().to_str().unwrap().to_owned();
    let difference = other.run(&["tune", "--diff", &file(&place), &file(&other), "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&difference.stdout).unwrap();
    assert!(report["results"][0]["a"].is_array() && report["results"][0]["a"] == report["results"][0]["b"], "{report}");
    let problem = kforge_tools::tuner::parse(&lines[0].problem, &lines[0].machine).unwrap();
    assert_eq!(lines[0].row.predicate, space::predicate(&problem.product));
    assert!(other.run(&["tune", "--clear", "all"]).status.success());
    assert!(other.lines().is_empty());
}
