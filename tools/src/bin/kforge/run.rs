//! Runs compiled modules: single functions, a decoder of real checkpoints, benchmarks.

// `println!` and `eprintln!` panic if the output is full or closed; `outln!` and `errln!` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod aot;
mod asm;
mod bench;
mod bench_compile;
mod compare_with;
mod compile;
mod diagnose;
mod emit;
mod export;
mod function;
mod generate;
mod inspect;
mod matmul;
mod model;
mod npy;
mod perplexity;
mod print;
mod profile;
mod roofline;
mod suite;
mod trace;
mod tune;
mod verify;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use kforge_passes::{Fusions, Numerics, Options, Tuning, tuner::Mode};
use kforge_tools::{bounds, program};
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// Run functions and models in the transformer dialect.
#[derive(Parser)]
#[command(
    name = "kforge-run",
    version,
    override_usage = "kforge-run [OPTIONS] <FILE>\n       kforge-run [OPTIONS] <COMMAND>",
    subcommand_negates_reqs = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    function: function::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options of every subcommand.
#[derive(Args, Clone, Debug)]
struct Common {
    /// Where to run
    #[arg(long, global = true, value_enum, default_value_t = Target::Cpu)]
    target: Target,
    /// The GPU: its number, or a part of its name; diagnose-gpu lists them
    #[arg(long, global = true, value_name = "N|NAME")]
    adapter: Option<String>,
    /// Threads of the CPU target; 0 takes one for each core
    #[arg(long, global = true, default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1024))]
    threads: u16,
    /// Narrow the CPU's instruction set: avx512+vnni, avx512, avx2, sse2 or neon
    #[arg(long, global = true, value_name = "SET")]
    cpu_features: Option<String>,
    /// What matrix products do to their activations: exact, which leaves them f32, or fast, which rounds them: on a CPU to 8
    /// bits, block by block, where the weight is quantised; on a GPU's matrix units to f16, with the weight, where there are
    /// many rows
    #[arg(long, global = true, value_name = "exact|fast", default_value_t = Numerics::Exact)]
    numerics: Numerics,
    /// Which ops share a kernel: all, none, or some of qkv,gate-up,norm,epilogue,rope-kv, and rope-attention for a GPU
    #[arg(long, global = true, value_name = "all|none|LIST", default_value_t = Fusions::ALL)]
    fuse: Fusions,
    /// What is asked of the tuner where a kernel's tile is chosen: off, which takes tiles by rule; cached-only, what `tune`
    /// or an earlier run has measured on this machine; tune, the same after measuring what is missing; incremental, the same
    /// until --tuning-budget is spent
    #[arg(long, global = true, value_name = "MODE", default_value_t = Mode::CachedOnly)]
    tuning: Mode,
    /// Time that --tuning incremental may take, as 500ms or 2s
    #[arg(long, global = true, value_name = "TIME", default_value = "2s", value_parser = bounds::time)]
    tuning_budget: Duration,
    /// Go on without a key of a model's configuration that is not supported although it may change the answers; may be
    /// given several times
    #[arg(long, global = true, value_name = "KEY")]
    ignore_config: Vec<String>,
    /// Neither read nor write the cache of compiled objects
    #[arg(long, global = true)]
    no_cache: bool,
    /// Write the IR after each pass, and the pipeline, into a directory
    #[arg(long, global = true, value_name = "DIR")]
    dump_ir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Compiled for this machine's CPU
    Cpu,
    /// WGSL on a GPU, by Vulkan, Metal or DX12
    Gpu,
    /// A GPU if this machine has one on which it runs, else the CPU
    Auto,
    /// The reference semantics, slow and plain
    Reference,
}

#[derive(Subcommand)]
enum Command {
    /// Continue a text with a model
    Generate(generate::Options),
    /// The same; without --model on random weights
    #[command(name = "llm-inference")]
    LlmInference(generate::Options),
    /// Print the module that the decoder compiles
    EmitMlir(emit::Options),
    /// Show a launch program, or a checkpoint's metadata and tensors
    Inspect(inspect::Options),
    /// Compile a module's kernels to an object, assembly or LLVM IR, for any target
    Compile(aot::Options),
    /// Show one generated kernel: assembly, LLVM IR or MLIR
    Asm(asm::Options),
    /// Write a model, or random weights, as a GGUF file or a Hugging Face folder
    Export(export::Options),
    /// Compare a model with a file of reference results
    Verify(verify::Options),
    /// Measure how well a model predicts a text, and how far it is from another model
    Perplexity(perplexity::Options),
    /// Measure kernels' tiles, and look into what has been measured
    Tune(tune::Options),
    /// Measure what this machine can do at most: multiply-adds and reading
    Roofline(roofline::Options),
    /// List the GPUs of this machine, what kernels get of them, and whether they compute
    DiagnoseGpu(diagnose::Options),
    /// Measure
    #[command(subcommand)]
    Bench(bench::Command),
    /// The same as bench matmul
    BenchmarkMatmul(matmul::Options),
    /// The same as bench suite
    BenchmarkSuite(suite::Options),
}

const NAME: &str = "kforge-run";

pub fn main() -> ExitCode {
    program::start(c"kforge-run");
    quiet_device_selection();
    kforge_tools::tuner::install();
    match program::options(NAME).map(run) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => program::failure(NAME, &error),
        Err(code) => code,
    }
}

fn run(cli: Cli) -> Result<ExitCode> {
    let common = &cli.common;
    match cli.command {
        None => function::run(common, &cli.function),
        Some(Command::Generate(options)) => generate::run(common, &options, model::DEFAULT),
        Some(Command::LlmInference(options)) => generate::run(common, &options, model::RANDOM),
        Some(Command::EmitMlir(options)) => emit::run(common, &options),
        Some(Command::Inspect(options)) => inspect::run(common, &options),
        Some(Command::Compile(options)) => aot::run(common, &options),
        Some(Command::Asm(options)) => asm::run(common, &options),
        Some(Command::Export(options)) => export::run(common, &options),
        Some(Command::Verify(options)) => verify::run(common, &options),
        Some(Command::Perplexity(options)) => perplexity::run(common, &options),
        Some(Command::Tune(options)) => tune::run(common, &options),
        Some(Command::Roofline(options)) => roofline::run(common, &options),
        Some(Command::DiagnoseGpu(options)) => diagnose::run(common, &options),
        Some(Command::Bench(command)) => bench::run(common, &command),
        Some(Command::BenchmarkMatmul(options)) => matmul::run(common, &options),
        Some(Command::BenchmarkSuite(options)) => suite::run(common, &options),
    }
}

/// Disables a Mesa layer that sorts GPUs: it queries a Wayland display, and prints a warning if there is none.
fn quiet_device_selection() {
    if std::env::var_os("NODEVICE_SELECT").is_none() {
        // SAFETY: no other thread has been started that could read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

impl Common {
    fn options(&self) -> Options {
        let tuning = Tuning { mode: self.tuning, threads: self.thread_count(), budget: self.tuning_budget };
        Options { fuse: self.fuse, numerics: self.numerics, tuning }
    }

    /// The same for the machine of `triple`, which has no measurements.
    fn options_for(&self, triple: Option<&String>) -> Options {
        let options = self.options();
        match triple {
            Some(_) => Options { tuning: Tuning::default(), ..options },
            None => options,
        }
    }

    fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => usize::from(n),
        }
    }
}
