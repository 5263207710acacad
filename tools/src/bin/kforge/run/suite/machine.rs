//! The machine and the versions that a report names.

use super::report::{Machine, Versions};
use crate::run::{Common, Target, compile};
use anyhow::Result;
use kforge_runtime::gpu;
use kforge_tools::gpu::features;
use std::{env, fs, path::Path, process::Command};

pub fn machine(common: &Common) -> Result<Machine> {
    if common.target == Target::Gpu {
        let adapter = gpu::Adapter::choose(common.adapter.as_deref())?;
        return Ok(Machine {
            cpu: adapter.name().to_owned(),
            target_cpu: adapter.identity(),
            os: env::consts::OS.into(),
            cores: 1,
            threads: 1,
            isa: features(&adapter).to_string(),
        });
    }
    let host = compile::machine(common)?;
    Ok(Machine {
        cpu: cpu_name().unwrap_or_else(|| host.cpu.clone()),
        target_cpu: host.cpu,
        os: env::consts::OS.into(),
        cores: std::thread::available_parallelism().map_or(1, usize::from) as u64,
        threads: common.thread_count() as u64,
        isa: host.isa.to_string(),
    })
}

/// The processor's own name, if the system reports it.
fn cpu_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

pub fn versions() -> Versions {
    Versions {
        kernelforge: env!("CARGO_PKG_VERSION").into(),
        generator: kforge_lowering::BUILD_ID.into(),
        llvm: kforge_lowering::compile::llvm_version(),
        rustc: option_env!("KFORGE_RUSTC").map(str::to_owned),
        commit: commit(),
    }
}

/// The commit of the source tree that contains this program, as after `make build`; else `None`.
fn commit() -> Option<String> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    if !env::current_exe().ok()?.starts_with(tree) {
        return None;
    }
    let arguments = ["describe", "--always", "--exclude=*", "--abbrev=12", "--dirty"];
    let output = Command::new("git").arg("-C").arg(tree).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
