//! The commands of docs/tutorial print what its chapters show.
//!
//! A block that begins with `console` after its fence holds commands, each a line that begins with `$ ` and goes on
//! after a `\` at its end, and below each what it prints, on standard output and standard error. A chapter's commands run
//! in order, each by bash with `pipefail`, from the repository's root, with the built tools first in `PATH`, an empty
//! folder as `$T`, and the cache directory in it.
//!
//! | shown | stands for |
//! |---|---|
//! | a line `...` | any number of lines, or none |
//! | `…` within a line | any text, or none: a number that varies, or the rest of a long line |
//! | `# exits N` below a command | an exit status of N in the place of 0 |
//!
//! Blanks at the ends of lines and empty lines at the end of an output do not count. `KFORGE_BLESS=1` puts the whole
//! output in the place of one that differs; what is long or varies is then cut again by hand.
//!
//! The crate trycmd reads such blocks too, but splits a command into words and starts one program: no pipe, no
//! redirection, no `$T`.

use std::{
    env, fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

const CHAPTERS: [&str; 4] = ["1-read-ir.md", "2-write-a-pass.md", "3-write-a-tile.md", "4-one-token.md"];

#[test]
fn read_ir() {
    follow(CHAPTERS[0]);
}

#[test]
fn write_a_pass() {
    follow(CHAPTERS[1]);
}

#[test]
fn write_a_tile() {
    follow(CHAPTERS[2]);
}

#[test]
fn one_token() {
    follow(CHAPTERS[3]);
}

#[test]
fn every_chapter_is_listed() {
    let files = fs::read_dir(folder()).expect("docs/tutorial can be listed");
    let mut names: Vec<_> = files.map(|file| file.expect("a file of docs/tutorial").file_name()).collect();
    names.sort();
    assert_eq!(names, [&CHAPTERS[..], &["README.md"]].concat(), "tools/tests/tutorial.rs runs other chapters");
    let list = read(&folder().join("README.md"));
    for name in CHAPTERS {
        assert!(list.contains(&format!("({name})")), "docs/tutorial/README.md has no link to {name}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace")
}

fn folder() -> PathBuf {
    root().join("docs/tutorial")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Runs a chapter's commands, and compares or blesses what they print.
fn follow(name: &str) {
    let file = folder().join(name);
    let text = read(&file);
    let mut lines: Vec<&str> = text.lines().collect();
    let steps = steps(&lines).unwrap_or_else(|e| panic!("docs/tutorial/{name}:{e}"));
    let scratch = Scratch::new(name);
    let outputs: Vec<Output> = steps.iter().map(|step| scratch.run(&step.command)).collect();
    let printed: Vec<String> = outputs.iter().map(|output| String::from_utf8_lossy(&output.stdout).into()).collect();

    let bless = env::var_os("KFORGE_BLESS").is_some();
    let mut failures = String::new();
    // From the last to the first, so that the steps before a replaced output keep their lines.
    for (step, (output, printed)) in steps.iter().zip(outputs.iter().zip(&printed)).rev() {
        let printed: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
        let difference = difference(&lines[step.shown.clone()], &printed);
        let failure = match difference {
            _ if output.status.code() != Some(step.status) => {
                format!("ended with {}, not {}", output.status, step.status)
            }
            Some(_) if bless => {
                lines.splice(step.shown.clone(), printed);
                continue;
            }
            Some(at) => format!("no output for line {} of the chapter", step.shown.start + at + 1),
            None => continue,
        };
        let said = printed.join("\n");
        failures = format!("docs/tutorial/{name}:{}: {failure}\n$ {}\n{said}\n\n{failures}", step.line, step.command);
    }
    if bless {
        fs::write(&file, lines.join("\n") + "\n").unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
    assert!(failures.is_empty(), "\n{failures}KFORGE_BLESS=1 writes the present output into the chapter");
}

/// Where a chapter's commands run.
struct Scratch {
    folder: PathBuf,
    /// The built tools, then those of the system.
    path: std::ffi::OsString,
}

impl Scratch {
    fn new(name: &str) -> Scratch {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tutorial").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let tools = Path::new(env!("CARGO_BIN_EXE_kforge-opt")).parent().expect("the tools are in a folder");
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([tools.to_owned()].into_iter().chain(env::split_paths(&path)));
        Scratch { folder, path: path.expect("a folder of PATH can be in PATH") }
    }

    /// Runs a command; its standard error is in the output too.
    fn run(&self, command: &str) -> Output {
        let mut bash = Command::new("bash");
        bash.args(["-o", "pipefail", "-c", &format!("exec 2>&1\n{command}")]).current_dir(root()).stdin(Stdio::null());
        bash.env("PATH", &self.path).env("T", &self.folder).env("KFORGE_CACHE", self.folder.join("cache"));
        bash.output().unwrap_or_else(|e| panic!("bash does not start: {e}"))
    }
}

/// A command of a chapter.
#[derive(Debug, PartialEq)]
struct Step {
    /// Its line, the first being 1.
    line: usize,
    command: String,
    status: i32,
    /// Indices of the lines with its output.
    shown: Range<usize>,
}

/// The commands of a chapter, or the line and the cause of what is none.
fn steps(lines: &[&str]) -> Result<Vec<Step>, String> {
    let mut steps: Vec<Step> = vec![];
    let mut fence: Option<(usize, &str)> = None;
    for (i, line) in lines.iter().enumerate() {
        match (line.strip_prefix("```"), fence) {
            (Some(kind), None) => fence = Some((i + 1, kind)),
            (Some(_), Some(_)) => fence = None,
            (None, Some((_, "console"))) => add(&mut steps, i, line)?,
            _ => {}
        }
    }
    match fence {
        Some((line, _)) => Err(format!("{line}: the block is not closed")),
        None if steps.is_empty() => Err("1: no block of the chapter is a ```console".into()),
        None => Ok(steps),
    }
}

/// Takes line `i` as a command, or as a part of what the command before it shows.
fn add(steps: &mut Vec<Step>, i: usize, line: &str) -> Result<(), String> {
    if let Some(command) = line.strip_prefix("$ ") {
        steps.push(Step { line: i + 1, command: command.into(), status: 0, shown: i + 1..i + 1 });
        return Ok(());
    }
    let step = steps.last_mut().filter(|step| step.shown.end == i);
    let step = step.ok_or_else(|| format!("{}: output without a command", i + 1))?;
    let status = line.strip_prefix("# exits ");
    if !step.shown.is_empty() || !step.command.ends_with('\\') && status.is_none() {
        step.shown.end = i + 1;
        return Ok(());
    }
    match status {
        Some(status) => step.status = status.parse().map_err(|_| format!("{}: {status:?} is no status", i + 1))?,
        None => step.command += &format!("\n{line}"),
    }
    step.shown = i + 1..i + 1;
    Ok(())
}

/// Index of the first line that is shown and not printed, or the number of lines shown if more is printed.
fn difference(shown: &[&str], printed: &[&str]) -> Option<usize> {
    let line = |shown: &&str, printed: &&str| {
        let characters = |line: &str| line.trim_end().chars().collect::<Vec<_>>();
        mismatch(&characters(shown), &characters(printed), &'…', PartialEq::eq).is_none()
    };
    mismatch(shown, printed, &"...", line)
}

/// How far a pattern, in which `any` stands for any number of items, gets in being `items`; `None` if it is them.
fn mismatch<T: PartialEq>(pattern: &[T], items: &[T], any: &T, same: impl Fn(&T, &T) -> bool) -> Option<usize> {
    let (mut at, mut item, mut furthest) = (0, 0, 0);
    // The place after the last `any`, and the item with which to try again from there.
    let mut again: Option<(usize, usize)> = None;
    loop {
        furthest = furthest.max(at);
        match (pattern.get(at), items.get(item)) {
            (Some(expected), _) if expected == any => {
                at += 1;
                again = Some((at, item));
            }
            (None, None) => return None,
            (Some(expected), Some(found)) if same(expected, found) => {
                at += 1;
                item += 1;
            }
            _ => match again.as_mut().filter(|(_, next)| *next < items.len()) {
                Some((start, next)) => {
                    *next += 1;
                    (at, item) = (*start, *next);
                }
                None => return Some(furthest),
            },
        }
    }
}

#[test]
fn commands_are_read() {
    let chapter = "text\n```sh\n$ no\n```\n```console\n$ a\n1\n\n2\n$ b \\\n  c\n# exits 3\nd\n$ e\n```\n";
    let lines: Vec<&str> = chapter.lines().collect();
    let step = |line, command: &str, status, shown| Step { line, command: command.into(), status, shown };
    let expected = vec![step(6, "a", 0, 6..9), step(10, "b \\\n  c", 3, 12..13), step(14, "e", 0, 14..14)];
    assert_eq!(steps(&lines), Ok(expected));
    for (chapter, error) in [
        ("```sh\n$ a\n```", "1: no block of the chapter is a ```console"),
        ("```console\n$ a", "1: the block is not closed"),
        ("```console\n$ a\n```\n```console\n1\n```", "5: output without a command"),
        ("```console\n$ a\n# exits badly\n```", "3: \"badly\" is no status"),
    ] {
        assert_eq!(steps(&chapter.lines().collect::<Vec<_>>()), Err(error.into()), "{chapter}");
    }
}

#[test]
fn outputs_are_compared() {
    let difference = |shown: &str, printed: &str| {
        difference(&shown.lines().collect::<Vec<_>>(), &printed.lines().collect::<Vec<_>>())
    };
    for (shown, printed) in [
        ("", ""),
        ("...", ""),
        ("a\n...\nc", "a\nc"),
        ("a\n...\nc", "a\nb\nc\nc"),
        ("...\nb\nc\n...", "b\na\nb\nc\nd"),
        ("…b", "b"),
        ("at … s, … GB/s", "at 1.5 s, 20 GB/s"),
        ("a …", "a b …"),
        ("a", "a  "),
    ] {
        assert_eq!(difference(shown, printed), None, "{shown:?} is not {printed:?}");
    }
    for (shown, printed, at) in [
        ("", "a", 0),
        ("a", "", 0),
        ("a\nb", "a\nc", 1),
        ("a\nb", "a\nb\nc", 2),
        ("a\n...\nc\nd", "a\nb\nc\ne", 3),
        ("a\n...\nc", "a\nb\nc\nd", 3),
        ("at … s", "at 1.5 ms, or so", 0),
        ("a…b", "ac", 0),
        ("....", "....a", 0),
    ] {
        assert_eq!(difference(shown, printed), Some(at), "{shown:?} is {printed:?}");
    }
}
