//! Scripts in Python.

use std::{fs, path::Path, process::Command};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/upstream-lit.py");

/// Our tools know a dialect that upstream's do not. A test of mlir-translate and one that upstream's tool fails are no
/// part of the comparison.
pub fn upstream_lit_says_what_does_not_agree() {
    let folder = tempfile::tempdir().unwrap();
    let tests = folder.path().join("tests");
    fs::create_dir(&tests).unwrap();
    let module = "module {}\n";
    for (name, text) in [
        ("same.mlir", format!("// RUN: mlir-opt %s | FileCheck %s\n// CHECK: module\n{module}")),
        ("pass.mlir", format!("// RUN: mlir-opt %s \\\n// RUN:   -test-print-defuse\n{module}")),
        ("other-tool.mlir", format!("// RUN: mlir-opt %s | mlir-translate -mlir-to-llvmir\n{module}")),
        ("fails.mlir", format!("// RUN: not mlir-opt %s\n{module}")),
        ("differs.mlir", format!("// RUN: not mlir-opt %s --kforge-fuse\n{module}")),
    ] {
        fs::write(tests.join(name), text).unwrap();
    }
    let bin = Path::new(env!("CARGO_BIN_EXE_kforge-opt")).parent().unwrap();
    let run = |bin: &Path| {
        let mut command = Command::new("python3");
        command
            .arg(SCRIPT)
            .arg("--bin")
            .arg(bin)
            .arg("--tests")
            .arg(&tests)
            .arg("--out")
            .arg(folder.path().join("out"));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = run(bin);
    assert!(code == Some(1) && said.ends_with("does not agree: differs.mlir\n1 of 2 agree\n"), "{code:?} {said}");
    fs::remove_file(tests.join("differs.mlir")).unwrap();
    assert_eq!(run(bin), (Some(0), "1 of 1 agree\n".into()));
}
