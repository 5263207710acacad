//! `kforge-run bench matmul`: the speed of C[M, N] = A[M, K] x B[N, K]^T, B being a constant weight.
//!
//! The product is a module of one `transformer.linear`, compiled like any other, so that B is packed once and M decides
//! between GEMV and GEMM. On a CPU a call includes copying A into the executor. On a GPU only the launches are timed, many
//! per submission, because operands stay in its memory. Before any figure is printed, each result is compared with sums in
//! f64.

use crate::run::{Common, Target, compile};
use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use kforge_lowering::compile::Compiled;
use kforge_measure::median;
use kforge_passes::{Numerics, tuner::Mode};
use kforge_quant::BlockFormat;
use kforge_reference::{Element, Tensor, linear, random};
use kforge_runtime::{Execute, Executor, memory};
use kforge_tools::{
    bounds,
    product::{HALF_FACTORS, Product, Shape},
    tensors::{self, Inputs, set_weight},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

#[derive(Args, Debug)]
pub struct Options {
    /// Rows of A and C
    #[arg(long, value_parser = bounds::size())]
    m: usize,
    /// Rows of B, columns of C
    #[arg(long, value_parser = bounds::size())]
    n: usize,
    /// Columns of A and B
    #[arg(long, value_parser = bounds::size())]
    k: usize,
    /// Elements of A, B and C; sums are f32
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Block format that B is stored in instead, as in `!transformer.quant`: q4_0 for example
    #[arg(long, value_name = "FORMAT")]
    weight: Option<BlockFormat>,
    /// One of them; without it, each that there is
    #[arg(long, value_enum)]
    kernel: Option<Kernel>,
    /// Timed calls; without it, as many as half a second takes, at least three
    #[arg(short, long, value_parser = bounds::rounds())]
    repetitions: Option<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Dtype {
    F32,
    F16,
    #[value(name = "bf16")]
    BF16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kernel {
    /// The reference semantics, slow and plain
    Reference,
    /// The compiled kernel on one thread
    Blocked,
    /// The compiled kernel on all threads
    Parallel,
    /// The compiled kernel on a GPU, its tile by rule
    Gpu,
    /// The compiled kernel with the tuner's tile: measured now if this kernel alone is asked for, else as --tuning says
    Tuned,
}

#[derive(Serialize)]
struct Row {
    kernel: Kernel,
    /// `cpu`, or the name of a GPU.
    backend: String,
    m: usize,
    n: usize,
    k: usize,
    dtype: Dtype,
    /// Blocks that B is stored in; null if it is of `dtype`.
    weight: Option<String>,
    threads: usize,
    repetitions: usize,
    /// Of the median call.
    gflops: f64,
    median_us: f64,
    min_us: f64,
    max_us: f64,
    max_abs_error: f64,
}

/// Operations above which the reference, at about one GFLOP/s, runs only if requested.
const SLOW: f64 = 2e9;

/// Total time of the calls if their number is not given.
const BUDGET: Duration = Duration::from_millis(500);

/// Time of the calls in one GPU submission, so that submission is negligible.
const SUBMISSION: Duration = Duration::from_millis(20);

/// Peak bytes per element of A, B and C: as a tensor, as f32, as bytes, packed, and in the reference's operands.
const BYTES: usize = 24;

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    let shape = shape(options)?;
    let kernels = kernels(common, options, shape)?;
    let element = options.dtype.reference();
    let a = random::uniform(1, &[shape.m, shape.k], element)?;
    let weight = options.weight.map_or(element, Element::Quant);
    if let Some(format) = options.weight
        && !shape.k.is_multiple_of(format.block())
    {
        bail!("--k {} must be a multiple of the {} weights of a block of {format}", shape.k, format.block());
    }
    let b = random::uniform(2, &[shape.n, shape.k], weight)?;
    let product = Product::new(shape, &a, &b)?;
    let source = shape.module(tensors::passed(element)?, tensors::passed(weight)?);
    let on_gpu = common.target == Target::Gpu;
    let by_rule = Common { tuning: Mode::Off, ..common.clone() };
    let tuning = if options.kernel == Some(Kernel::Tuned) { Mode::Tune } else { common.tuning };
    let tuned = Common { tuning, ..common.clone() };
    let (mut compiled, mut rows) = (None, vec![]);
    for kernel in kernels {
        let mut backend = "cpu".to_owned();
        let (threads, (max_abs_error, mut samples)) = match kernel {
            Kernel::Reference => (1, reference(options, &product, &a, &b)?),
            Kernel::Gpu | Kernel::Tuned if on_gpu => {
                let common = if kernel == Kernel::Gpu { &by_rule } else { &tuned };
                let mut executor = compile::executor(common, (&source).into())?;
                backend = executor.machine();
                let rounding = if common.numerics == Numerics::Fast { HALF_FACTORS } else { 0.0 };
                (1, launched(options, (&product, rounding), &a, &b, &mut *executor)?)
            }
            Kernel::Tuned => {
                let compiled = compile::compile(&tuned, (&source).into())?;
                let threads = common.thread_count();
                (threads, executed(options, &product, &a, &b, &compiled, threads)?)
            }
            Kernel::Blocked | Kernel::Parallel | Kernel::Gpu => {
                let threads = if kernel == Kernel::Blocked { 1 } else { common.thread_count() };
                let compiled = match &compiled {
                    Some(compiled) => compiled,
                    None => compiled.insert(compile::compile(&by_rule, (&source).into())?),
                };
                (threads, executed(options, &product, &a, &b, compiled, threads)?)
            }
        };
        samples.sort_by(f64::total_cmp);
        let median_us = median(&samples);
        rows.push(Row {
            kernel,
            backend,
            m: shape.m,
            n: shape.n,
            k: shape.k,
            dtype: options.dtype,
            weight: options.weight.map(|format| format.to_string()),
            threads,
            repetitions: samples.len(),
            gflops: shape.operations() / median_us / 1e3,
            median_us,
            min_us: samples[0],
            max_us: samples[samples.len() - 1],
            max_abs_error,
        });
    }
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&BTreeMap::from([("results", rows)]))?)?;
    } else {
        outln!("{}", table(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The sizes, if they fit this machine.
fn shape(options: &Options) -> Result<Shape> {
    let Options { m, n, k, .. } = *options;
    let shape = Shape { m, n, k };
    let most = memory::physical() / 2;
    match shape.elements().and_then(|elements| elements.checked_mul(BYTES)) {
        Some(bytes) if bytes <= most => Ok(shape),
        bytes => bail!(
            "--m {m} --n {n} --k {k} takes {} of memory, and half of this machine's is {:.1} GB; give smaller sizes",
            bytes.map_or("more than 2^64 bytes".into(), |bytes| format!("{:.1} GB", bytes as f64 / 1e9)),
            most as f64 / 1e9
        ),
    }
}

/// The kernels requested by the options, in order.
fn kernels(common: &Common, options: &Options, shape: Shape) -> Result<Vec<Kernel>> {
    let reference_target = common.target == Target::Reference;
    let gpu_target = common.target == Target::Gpu;
    Ok(match options.kernel {
        Some(Kernel::Gpu) if !gpu_target => bail!("--kernel gpu runs on a GPU; add --target gpu"),
        Some(kernel @ (Kernel::Blocked | Kernel::Parallel)) if gpu_target => {
            let name = format!("{kernel:?}").to_lowercase();
            bail!("--kernel {name} runs on the CPU; leave --target gpu out, or use --kernel gpu")
        }
        None if gpu_target && shape.operations() > SLOW => vec![Kernel::Gpu, Kernel::Tuned],
        None if gpu_target => vec![Kernel::Reference, Kernel::Gpu, Kernel::Tuned],
        Some(kernel @ (Kernel::Blocked | Kernel::Parallel | Kernel::Tuned)) if reference_target => {
            let name = format!("{kernel:?}").to_lowercase();
            bail!("--kernel {name} is compiled code; leave --target reference out, or use --kernel reference")
        }
        Some(kernel) => vec![kernel],
        None if reference_target => vec![Kernel::Reference],
        None if shape.operations() > SLOW => {
            errln!("kforge-run: the reference is left out, as it is slow; --kernel reference measures it");
            vec![Kernel::Blocked, Kernel::Parallel, Kernel::Tuned]
        }
        None => vec![Kernel::Reference, Kernel::Blocked, Kernel::Parallel, Kernel::Tuned],
    })
}

/// Runs the reference semantics; returns the largest error, and microseconds of each call.
fn reference(options: &Options, product: &Product, a: &Tensor, b: &Tensor) -> Result<(f64, Vec<f64>)> {
    let error = product.check(&linear(a, b, None)?).context("--kernel reference")?;
    let call = || {
        linear(a, b, None)?;
        Ok(())
    };
    Ok((error, samples(options, call)?))
}

/// The same for the compiled kernel.
fn executed(
    options: &Options,
    product: &Product,
    a: &Tensor,
    b: &Tensor,
    compiled: &Compiled,
    threads: usize,
) -> Result<(f64, Vec<f64>)> {
    let mut executor = Executor::new(compiled.program.clone(), &compiled.code, threads)?;
    set_weight(&mut executor, "b", b)?;
    let inputs = Inputs::new([a])?;
    let inputs = inputs.views();
    let c = tensors::results(&executor.call("main", &inputs)?)?.pop().context("the function has no result")?;
    let error = product.check(&c).with_context(|| format!("the compiled kernel on {threads} threads"))?;
    let call = || {
        executor.call("main", &inputs)?;
        Ok(())
    };
    Ok((error, samples(options, call)?))
}

/// The same for the launches on a GPU.
fn launched(
    options: &Options,
    (product, rounding): (&Product, f64),
    a: &Tensor,
    b: &Tensor,
    executor: &mut dyn Execute,
) -> Result<(f64, Vec<f64>)> {
    set_weight(executor, "b", b)?;
    let c = tensors::call(executor, "main", [a])?.pop().context("the function has no result")?;
    let error =
        product.check_of(&c, rounding).with_context(|| format!("the compiled kernel on {}", executor.machine()))?;
    let time = |executor: &mut dyn Execute, calls: u64| -> Result<f64> {
        let begin = Instant::now();
        executor.rerun("main", calls)?;
        Ok(begin.elapsed().as_secs_f64())
    };
    time(executor, 1)?;
    let calls = (SUBMISSION.as_secs_f64() / time(executor, 1)?).clamp(1.0, 1000.0) as u64;
    let (mut all, start) = (vec![], Instant::now());
    loop {
        all.push(time(executor, calls)? * 1e6 / calls as f64);
        let enough = match options.repetitions {
            Some(repetitions) => all.len() >= repetitions,
            None => all.len() >= 3 && start.elapsed() >= BUDGET,
        };
        if enough {
            return Ok((error, all));
        }
    }
}

/// Microseconds of each call; at least one.
fn samples(options: &Options, mut call: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut samples = vec![];
    let start = Instant::now();
    loop {
        let begin = Instant::now();
        call()?;
        samples.push(begin.elapsed().as_nanos() as f64 / 1e3);
        let enough = match options.repetitions {
            Some(repetitions) => samples.len() >= repetitions,
            None => samples.len() >= 3 && start.elapsed() >= BUDGET,
        };
        if enough {
            return Ok(samples);
        }
    }
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "kernel",
        "on",
        "m x n x k",
        "dtype",
        "threads",
        "GFLOP/s",
        "median us",
        "min",
        "max",
        "max abs error",
    ]);
    for r in rows {
        table.add_row([
            format!("{:?}", r.kernel).to_lowercase(),
            r.backend.clone(),
            format!("{} x {} x {}", r.m, r.n, r.k),
            r.weight
                .as_ref()
                .map_or_else(|| r.dtype.reference().to_string(), |w| format!("{} x {w}", r.dtype.reference())),
            r.threads.to_string(),
            format!("{:.2}", r.gflops),
            format!("{:.1}", r.median_us),
            format!("{:.1}", r.min_us),
            format!("{:.1}", r.max_us),
            format!("{:.1e}", r.max_abs_error),
        ]);
    }
    table
}

impl Dtype {
    fn reference(self) -> Element {
        match self {
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::BF16,
        }
    }
}
