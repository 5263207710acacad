//! `kforge-run bench compile`: how the time of `--kforge-cpu` grows with the ops of a function.
//!
//! Each module is generated, parsed and verified; then the pipeline from tensors to launches is timed, including kernel
//! generation and memory planning. Equal kernels are generated once, so the time is that of processing the ops. A pass that
//! walks the function once per op shows as a rate that falls as the function grows.

use crate::run::{Common, Target, compile};
use anyhow::{Result, bail};
use clap::Args;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use kforge_lowering::{
    backend::Backend as _,
    compile::{Diagnostics, Source, context, parse_with, run_pipeline},
};
use kforge_measure::median;
use kforge_tools::outln;
use serde::Serialize;
use std::{fmt::Write as _, process::ExitCode, time::Instant};

#[derive(Args, Debug)]
pub struct Options {
    /// Ops of the function
    #[arg(long, value_delimiter = ',', default_value = "25000,100000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    ops: Vec<u32>,
    /// Times that each module is compiled; the median counts
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: u32,
    /// Print one JSON object a row instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    function: &'static str,
    ops: usize,
    seconds: f64,
    ops_per_second: f64,
}

/// Generates a function of about this many ops; returns the text and the exact number.
type Generator = fn(usize) -> (String, usize);

/// Kinds of functions, and their generators.
const FUNCTIONS: [(&str, Generator); 2] = [("layers", layers), ("elementwise", elementwise)];

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    if common.target != Target::Cpu {
        bail!("bench compile times the pipeline of a CPU; leave --target out");
    }
    let pipeline = kforge_lowering::pipeline(compile::machine(common)?.target(), kforge_passes::Options::default());
    let mut rows = vec![];
    for (function, text) in FUNCTIONS {
        for ops in &options.ops {
            let (source, ops) = text(*ops as usize);
            let mut seconds = vec![];
            for _ in 0..options.repetitions {
                let context = context();
                let diagnostics = Diagnostics::new(&context, Source { name: function, bytes: source.as_bytes() });
                let mut module = parse_with(&diagnostics)?;
                let start = Instant::now();
                run_pipeline(&diagnostics, &mut module, &pipeline)?;
                seconds.push(start.elapsed().as_secs_f64());
            }
            let seconds = median(&seconds);
            rows.push(Row { function, ops, seconds, ops_per_second: ops as f64 / seconds });
        }
    }
    if options.json {
        for row in &rows {
            outln!("{}", serde_json::to_string(row)?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["function", "ops", "s", "ops/s"]);
    for row in &rows {
        let (seconds, rate) = (format!("{:.3}", row.seconds), format!("{:.0}", row.ops_per_second));
        table.add_row([row.function.to_owned(), row.ops.to_string(), seconds, rate]);
    }
    outln!("{table}")?;
    Ok(ExitCode::SUCCESS)
}

/// Gated feed-forward layers with a norm before and a residual around each, with separate weights: ten ops per layer.
fn layers(ops: usize) -> (String, usize) {
    let layers = ops.div_ceil(10);
    let (x, norm) = ("tensor<?x64xf32>", "tensor<64xf32>");
    let (wide, narrow) = ("tensor<128x64xf32>", "tensor<64x128xf32>");
    let hidden = "tensor<?x128xf32>";
    let (mut globals, mut body) = (String::new(), String::new());
    for i in 0..layers {
        for (name, ty) in [("n", norm), ("g", wide), ("u", wide), ("d", narrow)] {
            let _ = writeln!(globals, "ml_program.global private @{name}{i}(#ml_program.extern<{ty}>) : {ty}");
            let _ = writeln!(body, "  %{name}{i} = ml_program.global_load_const @{name}{i} : {ty}");
        }
        let _ = write!(
            body,
            "  %a{i} = transformer.rms_norm %x{i}, %n{i} {{eps = 1.0e-5 : f32}} : {x}, {norm}
  %b{i} = transformer.linear %a{i}, %g{i} : {x}, {wide} -> {hidden}
  %c{i} = transformer.linear %a{i}, %u{i} : {x}, {wide} -> {hidden}
  %e{i} = transformer.swiglu %b{i}, %c{i} : {hidden}
  %f{i} = transformer.linear %e{i}, %d{i} : {hidden}, {narrow} -> {x}
  %x{} = arith.addf %f{i}, %x{i} : {x}
",
            i + 1
        );
    }
    (format!("{globals}func.func @main(%x0: {x}) -> {x} {{\n{body}  return %x{layers} : {x}\n}}\n"), 10 * layers)
}

/// A chain of element-wise ops, each a separate launch.
fn elementwise(ops: usize) -> (String, usize) {
    let x = "tensor<?x64xf32>";
    let mut body = String::new();
    for i in 0..ops {
        let _ = writeln!(body, "  %x{} = transformer.silu %x{i} : {x}", i + 1);
    }
    (format!("func.func @main(%x0: {x}) -> {x} {{\n{body}  return %x{ops} : {x}\n}}\n"), ops)
}
