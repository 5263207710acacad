//! `--target auto` says why it takes the CPU: there is no adapter, or only one in software.

#![cfg(target_os = "linux")]

use std::process::{Command, Output};

/// `kforge-run`, with the Vulkan drivers of this machine or without any.
fn run(drivers: bool, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kforge-run"));
    if !drivers {
        command.env("VK_DRIVER_FILES", "/none").env("VK_ICD_FILENAMES", "/none");
    }
    command.args(arguments).output().expect("kforge-run starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const MATMUL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/matmul.mlir");
const INPUTS: [&str; 6] = ["--input", "random:1:3x64", "--input", "random:2", "--input", "random:3"];
const NONE: &str = "kforge-run: the GPU: there is no adapter: install a driver for Vulkan, Metal or DX12 (Mesa's lavapipe runs \
                    without a GPU)";

#[test]
fn without_an_adapter() {
    let target = |target: &str| run(false, &[&[MATMUL, "--target", target][..], &INPUTS].concat());
    let (cpu, auto, gpu) = (target("cpu"), target("auto"), target("gpu"));
    assert!(auto.status.success(), "{}", stderr(&auto));
    assert_eq!(stderr(&auto), format!("{NONE}: the CPU it is\n"));
    let numbers =
        |output: &Output| String::from_utf8_lossy(&output.stdout).split_once('\n').expect("lines").1.to_owned();
    assert_eq!(numbers(&auto), numbers(&cpu));
    for refused in [gpu, run(false, &["diagnose-gpu"])] {
        assert_eq!((refused.status.code(), stderr(&refused)), (Some(1), format!("{NONE}\n")));
    }
}

#[test]
fn with_an_adapter_in_software() {
    let report = run(true, &["diagnose-gpu", "--adapter", "0", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).expect("JSON");
    let auto = run(true, &[&[MATMUL, "--target", "auto"][..], &INPUTS].concat());
    assert!(auto.status.success(), "{}", stderr(&auto));
    let name = report[0]["name"].as_str().expect("a name");
    let expected = match report[0]["device_type"] == "Cpu" {
        true => format!("kforge-run: this machine has no GPU ({name} is software): the CPU it is\n"),
        false => String::new(),
    };
    assert_eq!(stderr(&auto), expected);
}
