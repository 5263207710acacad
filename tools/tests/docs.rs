//! docs/dialect.md, docs/passes.md and docs/bench-suite.schema.json are what the sources say. `KFORGE_BLESS=1`
//! (`make docs`) rewrites them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace")
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} does not start: {e}; run `make setup`"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the tool writes UTF-8")
}

fn compare(name: &str, current: &str) {
    let file = root().join("docs").join(name);
    if std::env::var_os("KFORGE_BLESS").is_some() {
        return fs::write(&file, current).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    let differs =
        written.lines().zip(current.lines()).position(|(a, b)| a != b).unwrap_or_else(|| written.lines().count());
    assert!(written == current, "docs/{name} is out of date from line {}; run `make docs`", differs + 1);
}

#[test]
fn dialect() {
    let prefix = PathBuf::from(std::env::var("MLIR_SYS_220_PREFIX").unwrap_or_else(|_| "/usr/lib/llvm-22".into()));
    let generated = output(
        Command::new(prefix.join("bin/mlir-tblgen"))
            .args(["-gen-dialect-doc", "-dialect=transformer", "dialect/include/Transformer.td", "-I"])
            .arg(prefix.join("include"))
            .current_dir(root()),
    );
    // The generator leaves blanks at the ends of lines and a table of contents for another renderer.
    let lines = generated.lines().map(str::trim_end).filter(|line| *line != "[TOC]").skip(1);
    let mut text = String::from("<!-- Written by `make docs`. -->\n");
    let mut blank = false;
    for line in lines {
        if !(blank && line.is_empty()) {
            text += line;
            text.push('\n');
        }
        blank = line.is_empty();
    }
    compare("dialect.md", &format!("{}\n", text.trim_end()));
}

#[test]
fn passes() {
    compare("passes.md", &output(Command::new(env!("CARGO_BIN_EXE_kforge-opt")).arg("--show-passes=markdown")));
}

#[test]
fn bench_suite_schema() {
    let schema = output(Command::new(env!("CARGO_BIN_EXE_kforge-run")).args(["bench", "suite", "--schema"]));
    compare("bench-suite.schema.json", &schema);
}
