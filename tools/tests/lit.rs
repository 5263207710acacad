//! Runs the `// RUN:` lines of every `.mlir` file below `test/`, one named test a file.
//!
//! ```text
//! cargo test -p kforge-tools --test lit                 all
//! cargo test -p kforge-tools --test lit passes/fuse     those whose name contains it
//! ```
//! The same files pass under LLVM's own lit and FileCheck (`make lit`); this runner needs neither. FileCheck is the
//! crate litcheck-filecheck. Its sister litcheck-lit is left out: it wants suites discovered from configuration files
//! and prints its own report, which hides the names and filters of `cargo test`, and what remains of it is the forty
//! lines of [`script`]. This program is also the `FileCheck` and the `not` of the scripts, under those names.
//!
//! Understood in RUN lines: `%s` the file, `%S` its folder, `%t` a temporary name of its own, `%%`, and `\` at the end
//! of a line. Everything else is bash's, with `pipefail`.

use clap::Parser;
use libtest_mimic::{Arguments, Failed, Trial};
use litcheck_filecheck::{
    Config, Options, Test,
    litcheck::{
        diagnostics::{FileName, SourceLanguage},
        reporting::PrintDiagnostic,
    },
};
use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    match Path::new(&program).file_name().and_then(|n| n.to_str()) {
        Some("FileCheck") => return file_check(arguments.collect()),
        Some("not") => return not(arguments.collect()),
        _ => {}
    }
    let trials = match trials() {
        Ok(trials) => trials,
        Err(error) => {
            eprintln!("the lit tests could not be set up: {error}");
            return ExitCode::FAILURE;
        }
    };
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trials() -> Result<Vec<Trial>, Box<dyn Error>> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the package is not in the workspace")?.join("test");
    let executable = std::env::current_exe()?;
    let binaries = Path::new(env!("CARGO_BIN_EXE_kforge-opt")).parent().ok_or("the tools are in no folder")?;
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lit");
    fs::create_dir_all(&scratch)?;
    for name in ["FileCheck", "not"] {
        let link = scratch.join(name);
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&executable, link)?;
    }
    let path = std::env::join_paths(
        [scratch.clone(), binaries.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;

    let mut files = vec![];
    collect(&root, &mut files)?;
    files.sort();
    let mut trials = vec![Trial::test("a failing check fails", a_failing_check_fails)];
    for file in files {
        let name = file.strip_prefix(&root)?.with_extension("").to_string_lossy().into_owned();
        let (path, temporary) = (path.clone(), scratch.join(name.replace('/', "-")));
        trials.push(Trial::test(name, move || {
            let script = script(&fs::read_to_string(&file)?, &file, &temporary)?;
            let output = Command::new("bash").args(["-o", "pipefail", "-c", &script]).env("PATH", &path).output()?;
            if output.status.success() {
                return Ok(());
            }
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Err(format!("{}:\n{script}\n{}{}", output.status, text(&output.stdout), text(&output.stderr)).into())
        }));
    }
    Ok(trials)
}

/// The `.mlir` files below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "mlir") {
            files.push(path);
        }
    }
    Ok(())
}

/// The file's RUN lines as one shell script.
fn script(text: &str, file: &Path, temporary: &Path) -> Result<String, Failed> {
    let mut commands: Vec<String> = vec![];
    let mut continues = false;
    for line in text.lines() {
        let Some((_, command)) = line.split_once("RUN:") else { continue };
        let command = command.trim();
        let (command, more) = command.strip_suffix('\\').map_or((command, false), |c| (c, true));
        match commands.last_mut().filter(|_| continues) {
            Some(last) => *last += command,
            None => commands.push(command.to_owned()),
        }
        continues = more;
    }
    if commands.is_empty() {
        return Err("the file has no RUN line".into());
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let expand = |command: &String| {
        let parts = command.split("%%").map(|part| {
            part.replace("%s", &file.to_string_lossy())
                .replace("%S", &folder.to_string_lossy())
                .replace("%t", &temporary.to_string_lossy())
        });
        parts.collect::<Vec<_>>().join("%")
    };
    Ok(commands.iter().map(expand).collect::<Vec<_>>().join(" &&\n"))
}

/// `FileCheck [options] CHECKS < INPUT`.
fn file_check(mut arguments: Vec<String>) -> ExitCode {
    let Some(position) = arguments.iter().position(|a| !a.starts_with('-')) else {
        eprintln!("FileCheck: no file of checks given");
        return ExitCode::from(2);
    };
    let checks = PathBuf::from(arguments.remove(position));
    let checked = Options::try_parse_from(&arguments).map_err(|e| e.to_string()).and_then(|options| {
        let text = fs::read_to_string(&checks).map_err(|e| format!("{}: {e}", checks.display()))?;
        let input = io::read_to_string(io::stdin()).map_err(|e| format!("standard input: {e}"))?;
        check(options, &checks.to_string_lossy(), &text, input)
    });
    match checked {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn check(options: Options, name: &str, checks: &str, input: String) -> Result<(), String> {
    if input.is_empty() && !options.allow_empty {
        return Err("FileCheck: the input is empty".into());
    }
    let config = Config { options, ..Config::default() };
    let load = |name: &str, text: String| {
        config.source_manager().load(SourceLanguage::Unknown, FileName::from(name.to_owned()), text)
    };
    let (checks, input) = (load(name, checks.to_owned()), load("<stdin>", input));
    let outcome = Test::new(checks, &config).verify(input);
    outcome.map(drop).map_err(|error| PrintDiagnostic::new(error).to_string())
}

/// `not COMMAND`: succeeds if the command fails, and not if a signal ended it.
fn not(arguments: Vec<String>) -> ExitCode {
    let Some((program, rest)) = arguments.split_first() else { return ExitCode::FAILURE };
    match Command::new(program).args(rest).status().map(|status| status.code()) {
        Ok(Some(code)) if code != 0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The checker checks: each of these must fail, or no other result here means anything.
fn a_failing_check_fails() -> Result<(), Failed> {
    for (checks, input) in [
        ("// CHECK: absent", "present\n"),
        ("// CHECK: a\n// CHECK-NEXT: c", "a\nb\nc\n"),
        ("// CHECK-LABEL: f\n// CHECK-NOT: x\n// CHECK: y", "f\nx\ny\n"),
        ("// CHECK-COUNT-3: a", "a\na\nb\n"),
        ("// CHECK: %[[A:.*]] = a\n// CHECK: b %[[A]]", "%0 = a\nb %1\n"),
    ] {
        if check(Options::default(), "checks", checks, input.into()).is_ok() {
            return Err(format!("{checks:?} passes on {input:?}").into());
        }
    }
    Ok(())
}
