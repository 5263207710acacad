//! docs/dialect.md, docs/passes.md and docs/bench-suite.schema.json are what the sources say. `KFORGE_BLESS=1`
//! (`make docs`) rewrites them.

use kforge_lowering::compile::{Machine, Pipeline, compile_with};
use kforge_reference::{Element, Tensor};
use kforge_runtime::Executor;
use kforge_tools::{explain::sections, tensors};
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

/// What mlir-tblgen makes of the definitions, with the tables of attributes and parameters in columns: value, default,
/// meaning. The descriptions of Transformer.td hold the last two.
fn dialect_reference() -> String {
    let prefix = PathBuf::from(std::env::var("MLIR_SYS_220_PREFIX").unwrap_or_else(|_| "/usr/lib/llvm-22".into()));
    let generated = output(
        Command::new(prefix.join("bin/mlir-tblgen"))
            // Hugo's form has the descriptions of attributes, the other does not.
            .args(["-gen-dialect-doc", "-dialect=transformer", "--allow-hugo-specific-features"])
            .args(["dialect/include/Transformer.td", "-I"])
            .arg(prefix.join("include"))
            .current_dir(root()),
    );
    let reference = reference_functions();
    // The generator leaves blanks at the ends of lines and a table of contents for another renderer.
    let lines = generated.lines().map(str::trim_end).filter(|line| *line != "[TOC]").skip(1);
    let mut text = String::from("<!-- Written by `make docs`. -->\n");
    let mut blank = false;
    let mut name = String::new();
    for line in lines {
        if let Some(heading) = line.strip_prefix("### ") {
            name = title(heading);
            text += &format!("### `{name}`\n");
        } else if !(blank && line.is_empty()) {
            text += &table_row(&name, line).unwrap_or_else(|| format!("{line}\n"));
        }
        if line.starts_with("_")
            && let Some((_, function)) = reference.iter().find(|(op, _)| *op == name)
        {
            text += &format!("\nReference semantics: {function}\n");
        }
        blank = line.is_empty();
    }
    format!("{}\n", text.trim_end())
}

#[test]
fn dialect() {
    compare("dialect.md", &dialect_reference());
}

/// The name of IR in a heading of the generator.
fn title(heading: &str) -> String {
    let sigil = |kind| if kind == "Type" { '!' } else { '#' };
    let stem =
        |kind| heading.strip_suffix(kind).map(|stem| format!("{}transformer.{}", sigil(kind), stem.to_lowercase()));
    let op = || heading.split('`').nth(1).unwrap_or(heading).to_owned();
    stem("Type").or_else(|| stem("Attr")).unwrap_or_else(op)
}

/// A row of a table of attributes or parameters.
fn table_row(op: &str, line: &str) -> Option<String> {
    let row = |name: &str, value: &str, default: &str, meaning: &str| {
        Some(format!("| `{name}` | {value} | {default} | {} |\n", meaning.replace('|', "\\|")))
    };
    let undescribed = |name: &str| -> ! {
        panic!("'{name}' of {op} has no description in Transformer.td; say default and meaning, as by Transformer_Attr")
    };
    if line == "<table>" {
        return Some("| Attribute | Value | Default | Meaning |\n|---|---|---|---|\n".into());
    }
    if line == "</table>" || line.starts_with("<tr><th>") || line.starts_with("| :-------: | :-------: |") {
        return Some(String::new());
    }
    if line.starts_with("| Parameter |") {
        return Some("| Parameter | Value | Default | Meaning |\n|---|---|---|---|\n".into());
    }
    if let Some(cells) = line.strip_prefix("<tr><td><code>") {
        let (name, cells) = cells.split_once("</code>")?;
        let parts = || {
            let (value, description) = cells.split_once("<summary>")?.1.split_once("</summary>{{% markdown %}}")?;
            Some((value, description.split_once("{{% /markdown %}}")?.0.split_once("; ")?))
        };
        let Some((value, (default, meaning))) = parts() else { undescribed(name) };
        return row(name, value, default, meaning);
    }
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    // The second column has the type in C++, which nobody needs who writes IR.
    if op.starts_with(['!', '#']) && cells.get(2).is_some_and(|cell| cell.starts_with('`')) {
        let (name, description) = (*cells.get(1)?, *cells.get(3)?);
        let mut parts = description.splitn(3, "; ");
        let (Some(default), Some(value), Some(meaning)) = (parts.next(), parts.next(), parts.next()) else {
            undescribed(name)
        };
        return row(name, value, default, meaning);
    }
    None
}

/// The ops that have a function of the same name in dialect/reference, and where it is.
fn reference_functions() -> Vec<(String, String)> {
    let folder = "dialect/reference/src";
    let mut functions = vec![];
    for file in fs::read_dir(root().join(folder)).expect("the reference can be listed") {
        let file = file.expect("a file of the reference").path();
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for function in text.lines().filter_map(|line| line.strip_prefix("pub fn ")?.split('(').next()) {
            functions.push((format!("transformer.{function}"), format!("`{function}` of `{folder}/{name}`.")));
        }
    }
    functions
}

/// Each op has a source and an example; the first line of the example is the command that runs it, or says that it is made
/// of launches.
#[test]
fn examples() {
    let text = dialect_reference();
    let sections = sections(&text);
    let ops: Vec<_> = sections.iter().filter(|section| section.title.starts_with("transformer.")).collect();
    assert!(!ops.is_empty(), "no section of docs/dialect.md is on an op");
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let tools = Path::new(env!("CARGO_BIN_EXE_kforge-opt")).parent().expect("the tools are in a folder");
    for op in ops {
        let name = op.title;
        assert!(op.has_source(), "{name} has no line 'Source: ...'");
        let example = op.example().unwrap_or_else(|| panic!("{name} has no example, or several"));
        assert!(
            example.contains(&format!("{name} ")) || example.contains(&format!("{name}(")),
            "{name}: not in its example"
        );
        let first = example.lines().next().and_then(|line| line.strip_prefix("// ")).unwrap_or_default();
        if first.starts_with("Launches") {
            launches(name, &example);
            continue;
        }
        let mut words = first.split_whitespace();
        assert_eq!(words.next(), Some("kforge-run"), "{name}: the first line of its example is no command");
        let file = scratch.path().join(format!("{name}.mlir"));
        fs::write(&file, &example).expect("the example can be written");
        let mut command = Command::new(tools.join("kforge-run"));
        command.args(words.map(|word| if word == "FILE" { file.to_str().expect("a path of text") } else { word }));
        assert!(first.ends_with("--compare reference"), "{name}: its command compares nothing");
        output(command.env("KFORGE_CACHE", scratch.path()));
    }
}

/// Compiles a module of launches, and checks what its function gives.
fn launches(op: &str, example: &str) {
    let machine = Machine::host(None).expect("kernels can be compiled for this machine");
    let compiled = compile_with(example, &machine, &Pipeline::default().on_module(&["canonicalize"]))
        .unwrap_or_else(|e| panic!("{op}: {e}"));
    let mut executor = Executor::new(compiled.program, &compiled.code, 2).expect("the object loads");
    let mut call = |inputs: &[Tensor]| tensors::call(&mut executor, "main", inputs);
    let floats = |values: &[f32]| Tensor::f32([values.len()], values).expect("a vector");
    let ids = |values: &[i32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|id| id.to_le_bytes()).collect();
        Tensor::from_bytes(vec![values.len()], Element::I32, &bytes).expect("a vector")
    };
    let result = match op {
        "transformer.launch" => call(&[floats(&[1.0, 2.0, 3.0, 4.0])]),
        "transformer.check" => {
            let table = floats(&(0..100).map(|i| i as f32 / 2.0).collect::<Vec<_>>());
            assert!(call(&[ids(&[0, 100, 1]), table.clone()]).is_err(), "an id outside the table is refused");
            call(&[ids(&[4, 99, 0]), table])
        }
        _ => panic!("{op}: nothing is known of what its example gives"),
    };
    let expected: &[f32] = if op == "transformer.launch" { &[2.0, 4.0, 6.0, 8.0] } else { &[2.0, 49.5, 0.0] };
    assert_eq!(result.unwrap_or_else(|e| panic!("{op}: {e}"))[0].to_f32(), expected, "{op}");
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
