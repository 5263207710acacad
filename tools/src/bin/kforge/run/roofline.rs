//! `kforge-run roofline`: this machine's limits.

use crate::run::{Common, Target, compile};
use anyhow::{Result, bail};
use clap::{Args, builder::RangedU64ValueParser};
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use kforge_runtime::{
    memory,
    roofline::{self, Roofline},
};
use kforge_tools::gpu::roof::Roof;
use serde::Serialize;
use std::{iter, process::ExitCode};

#[derive(Args, Debug)]
pub struct Options {
    /// Bytes that are read over and over, as a decoder reads its weights
    #[arg(long, default_value_t = 100_000_000, value_name = "N",
          value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    bytes: usize,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    cpu: String,
    features: Vec<&'static str>,
    /// The footprint.
    read_bytes: usize,
    results: Vec<roofline::Roof>,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    if common.cpu_features.is_some() {
        bail!("roofline takes the best of every instruction set that this machine has; leave --cpu-features out");
    }
    match common.target {
        Target::Cpu => {}
        Target::Gpu => return on_gpu(common, options),
        _ => bail!("roofline measures a CPU or a GPU; give --target cpu or gpu"),
    }
    // It is allocated twice, on ordinary and on huge pages.
    let most = memory::physical() / 4;
    if options.bytes > most {
        bail!("--bytes {} is too much for this machine's memory; give at most {most}", options.bytes);
    }
    let roofline = Roofline::new(options.bytes)?;
    let roofs = thread_counts(common.thread_count())
        .map(|n| Ok(roofline.measure(n)?))
        .collect::<Result<Vec<roofline::Roof>>>()?;
    let cpu = compile::machine(common)?.cpu;
    if options.json {
        let report = Report { cpu, features: roofline::features(), read_bytes: options.bytes, results: roofs };
        outln!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        outln!("{cpu}, with {}; reads go over {} MB", features(), options.bytes as f64 / 1e6)?;
        outln!("{}", table(&roofs))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn on_gpu(common: &Common, options: &Options) -> Result<ExitCode> {
    let gpu = compile::gpu(common)?;
    let roof = kforge_tools::gpu::roof::measure(&gpu, options.bytes as u64)?;
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&roof)?)?;
    } else {
        let Roof { adapter, f32_gflops, copy_gb_s, copy_bytes } = roof;
        outln!(
            "{adapter}: f32 {f32_gflops:.0} GFLOP/s; copies of {} MB at {copy_gb_s:.1} GB/s, read and written",
            copy_bytes as f64 / 1e6
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// 1, 2, 4 and so on, and the largest: on many cores, every number would take minutes.
fn thread_counts(largest: usize) -> impl Iterator<Item = usize> {
    iter::successors(Some(1), |n: &usize| n.checked_mul(2)).take_while(move |n| *n < largest).chain([largest])
}

fn features() -> String {
    match roofline::features() {
        none if none.is_empty() => "no vector extension that is measured".into(),
        features => features.join(", "),
    }
}

fn table(roofs: &[roofline::Roof]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["threads", "f32 GFLOP/s", "by", "int8 GOP/s", "by", "read GB/s", "in"]);
    for r in roofs {
        table.add_row([
            r.threads.to_string(),
            format!("{:.1}", r.peaks.f32_gflops),
            r.peaks.f32_instruction.clone(),
            r.peaks.int8_gops.map(|rate| format!("{rate:.1}")).unwrap_or_default(),
            r.peaks.int8_instruction.clone().unwrap_or_default(),
            format!("{:.1}", r.read_gb_s),
            r.read_pattern.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_counts_end_with_the_largest() {
        let counts = |largest| thread_counts(largest).collect::<Vec<_>>();
        assert_eq!(counts(1), [1]);
        assert_eq!(counts(2), [1, 2]);
        assert_eq!(counts(6), [1, 2, 4, 6]);
        assert_eq!(counts(8), [1, 2, 4, 8]);
    }
}
