//! `kforge-run FILE.mlir`: runs one function of tensors.
//!
//! The CPU target runs the compiled module, the reference target interprets it; both take the same inputs and globals,
//! so that `--compare reference` can compare them.

use crate::run::{Common, Target, compile, npy, npy::Array, print};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use kforge_dialect::{InterpretError, Interpreter};
use kforge_lowering::compile::{CompileError, Diagnostics, Source, context, parse_with};
use kforge_passes::Numerics;
use kforge_program::Element;
use kforge_reference::{Roundings, Tensor, Tolerance, compare, compare_rows, random};
use kforge_runtime::{View, memory};
use kforge_tools::{
    bounds,
    output::{self, STANDARD},
    source::ModuleFile,
    tensors::{self, passed},
};
use std::{
    ffi::{OsStr, OsString},
    io::{BufWriter, Write as _},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[derive(Args, Debug)]
pub struct Options {
    /// A module with the function to run; - is standard input
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// The function
    #[arg(long, default_value = "main")]
    entry: String,
    /// An input, in order: X.npy, or random:SEED with sizes for dynamic dimensions, as in random:7:1x5x64
    #[arg(long = "input", value_name = "X.npy|random:SEED[:DIMS]")]
    inputs: Vec<OsString>,
    /// A global: NAME=X.npy, or NAME=random:SEED[:DIMS]
    #[arg(long = "global", value_name = "NAME=VALUE")]
    globals: Vec<OsString>,
    /// Fill every external global that --global does not name with random numbers
    #[arg(long, value_name = "SEED")]
    random_globals: Option<u64>,
    /// Size of dynamic dimensions of state, such as a KV cache's capacity
    #[arg(long, default_value_t = 128, value_name = "N", value_parser = bounds::size())]
    ctx: usize,
    /// Save a result, in order, instead of printing it
    #[arg(long = "output", value_name = "Y.npy")]
    outputs: Vec<PathBuf>,
    /// Run a second time with another target and compare
    #[arg(long, value_enum)]
    compare: Option<Target>,
    /// Largest difference that --compare accepts, absolute and relative; without it, one that follows from element types,
    /// lengths of sums, --numerics and the size of a row's elements
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = bounds::float(0f64..))]
    tolerance: Option<f64>,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    let file = options.file.as_ref().context("no file was given")?;
    let module = ModuleFile::read(file)?;
    let plan = Plan::new(common, module.source(), options)?;
    options.outputs.iter().try_for_each(|path| output::check_place(path))?;
    let results = plan.run(common, common.target)?;
    for (i, result) in results.iter().enumerate() {
        let array =
            Array { dims: result.shape().to_vec(), element: passed(result.element())?, bytes: result.to_bytes() };
        match options.outputs.get(i) {
            Some(path) => npy::write(path, &array)?,
            None => {
                let mut out = BufWriter::new(output::standard()?);
                let view = View { dims: &array.dims, element: array.element, bytes: &array.bytes };
                print::tensor(&mut out, view).and_then(|()| out.flush()).context(STANDARD)?;
            }
        }
    }
    let Some(other) = options.compare else { return Ok(ExitCode::SUCCESS) };
    let expected = plan.run(common, other)?;
    let mut within = true;
    for (i, (actual, expected)) in results.iter().zip(&expected).enumerate() {
        let comparison = match options.tolerance {
            Some(tolerance) => compare(actual, expected, Tolerance { abs: tolerance, rel: tolerance })?,
            None => compare_rows(actual, expected, plan.roundings.tolerance(expected.element()))?,
        };
        within &= comparison.within_tolerance();
        errln!("result {i}: {comparison}");
    }
    Ok(if within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A function with its inputs and globals, ready for any target.
struct Plan<'s> {
    source: Source<'s>,
    entry: &'s str,
    /// Allowed difference between correct results of the targets.
    roundings: Roundings,
    inputs: Vec<Tensor>,
    globals: Vec<(String, Tensor)>,
    /// Mutable globals, initialised to zeros of these shapes.
    states: Vec<(String, Vec<usize>, Element)>,
}

impl<'s> Plan<'s> {
    fn new(common: &Common, source: Source<'s>, options: &'s Options) -> Result<Self> {
        let context = context();
        let diagnostics = Diagnostics::new(&context, source);
        let module = parse_with(&diagnostics)?;
        let interpreter = Interpreter::new(&module).map_err(|e| located(&diagnostics, &e))?;
        let functions = interpreter.functions();
        let Some(function) = functions.iter().find(|f| f.name == options.entry) else {
            let names: Vec<&str> = functions.iter().map(|f| f.name.as_str()).collect();
            bail!("there is no function '{}'; the module has {}", options.entry, names.join(", "));
        };
        let wanted = function.inputs.len();
        if wanted != options.inputs.len() {
            bail!(
                "'{}' takes {wanted} input{}, but {} --input were given",
                options.entry,
                if wanted == 1 { "" } else { "s" },
                options.inputs.len()
            );
        }
        if options.outputs.len() > function.outputs.len() {
            bail!(
                "'{}' has {} results, but {} --output were given",
                options.entry,
                function.outputs.len(),
                options.outputs.len()
            );
        }
        let inputs = options.inputs.iter().zip(&function.inputs).enumerate();
        let inputs = inputs
            .map(|(i, (spec, (dims, element)))| value(spec, dims, *element).with_context(|| format!("input {i}")))
            .collect::<Result<Vec<Tensor>>>()?;
        let mut given = vec![];
        for text in &options.globals {
            let bytes = text.as_bytes();
            let at = bytes.iter().position(|b| *b == b'=');
            let named =
                at.and_then(|at| Some((str::from_utf8(&bytes[..at]).ok()?, OsStr::from_bytes(&bytes[at + 1..]))));
            given.push(named.ok_or_else(|| anyhow!("--global {}: it has the form NAME=VALUE", text.display()))?);
        }
        let (mut globals, mut states) = (vec![], vec![]);
        for (number, info) in interpreter.globals().into_iter().enumerate() {
            let spec = match given.iter().find(|(name, _)| *name == info.name) {
                Some((_, spec)) => (*spec).to_owned(),
                None if info.initialised => continue,
                None if info.mutable => {
                    let dims: Vec<usize> = info.dims.iter().map(|d| d.unwrap_or(options.ctx)).collect();
                    fits(&dims).with_context(|| format!("global '{}'", info.name))?;
                    states.push((info.name, dims, passed(info.element)?));
                    continue;
                }
                None => match options.random_globals {
                    Some(seed) => format!("random:{}", seed.wrapping_add(number as u64)).into(),
                    None => bail!(
                        "the global '{}' has no value; give --global {}=X.npy, or --random-globals SEED",
                        info.name,
                        info.name
                    ),
                },
            };
            let tensor = value(&spec, &info.dims, info.element).with_context(|| format!("global '{}'", info.name))?;
            globals.push((info.name, tensor));
        }
        if let Some((name, _)) = given.iter().find(|(name, _)| !globals.iter().any(|(g, _)| g == name)) {
            bail!("the module has no global '{name}'");
        }
        let fast = common.numerics == Numerics::Fast;
        let gpu = [Some(common.target), options.compare].iter().any(|t| matches!(t, Some(Target::Gpu | Target::Auto)));
        let roundings = interpreter.roundings(&options.entry, fast, fast && gpu);
        let mut roundings = roundings.context("the function has no body")?;
        let tensors = inputs.iter().chain(globals.iter().map(|(_, tensor)| tensor));
        let sizes = tensors.flat_map(Tensor::shape);
        let sizes = sizes.chain(states.iter().flat_map(|(_, dims, _)| dims));
        roundings.terms = sizes.copied().fold(roundings.terms, usize::max);
        Ok(Plan { source, entry: &options.entry, roundings, inputs, globals, states })
    }

    fn run(&self, common: &Common, target: Target) -> Result<Vec<Tensor>> {
        match target {
            Target::Reference => self.interpreted(),
            target => compile::on_target(&Common { target, ..common.clone() }, |common| self.compiled(common)),
        }
    }

    fn interpreted(&self) -> Result<Vec<Tensor>> {
        let context = context();
        let diagnostics = Diagnostics::new(&context, self.source);
        let module = parse_with(&diagnostics)?;
        let located = |e: InterpretError| located(&diagnostics, &e);
        let mut interpreter = Interpreter::new(&module).map_err(located)?;
        for (name, value) in &self.globals {
            interpreter.set_global(name, value.clone()).map_err(located)?;
        }
        for (name, dims, element) in &self.states {
            let zeros = Tensor::zeros(dims.clone(), *element)?;
            interpreter.set_global(name, zeros).map_err(located)?;
        }
        Ok(interpreter.call(self.entry, self.inputs.clone()).map_err(located)?)
    }

    fn compiled(&self, common: &Common) -> Result<Vec<Tensor>> {
        let mut executor = compile::executor(common, self.source)?;
        for (name, tensor) in &self.globals {
            tensors::set_weight(&mut *executor, name, tensor)?;
        }
        for (name, dims, _) in &self.states {
            executor.make_state(name, dims)?;
        }
        tensors::call(&mut *executor, self.entry, &self.inputs)
    }
}

/// Converts an interpreter error to a compiler error, with the source's line.
fn located(diagnostics: &Diagnostics, error: &InterpretError) -> CompileError {
    CompileError::Diagnostics(diagnostics.error_at(error.place.as_ref(), &error.message))
}

/// Rejects a tensor larger than half of this machine's memory, at 8 bytes per element, which leaves room for a copy.
fn fits(dims: &[usize]) -> Result<()> {
    let elements = dims.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim));
    let most = memory::physical() / 16;
    if dims.contains(&0) || elements.is_some_and(|elements| elements <= most) {
        return Ok(());
    }
    bail!("a tensor of {dims:?} is too large for this machine's memory; give at most {most} elements")
}

/// The tensor of a specification: a file, or random numbers.
fn value(spec: &OsStr, declared: &[Option<usize>], element: Element) -> Result<Tensor> {
    let Some(random) = spec.to_str().and_then(|spec| spec.strip_prefix("random:")) else {
        let array = npy::read(Path::new(spec))?;
        return Ok(Tensor::from_bytes(array.dims, array.element, &array.bytes)?);
    };
    let (seed, dims) = match random.split_once(':') {
        Some((seed, dims)) => {
            let dims = dims.split('x').map(|d| d.parse::<usize>().with_context(|| format!("'{d}' is no size")));
            (seed, Some(dims.collect::<Result<Vec<_>>>()?))
        }
        None => (random, None),
    };
    let seed: u64 = seed.parse().with_context(|| format!("'{seed}' is no seed; write random:7, or random:7:1x5x64"))?;
    let dims = match dims.or_else(|| declared.iter().copied().collect()) {
        Some(dims) => dims,
        None => bail!("it has dynamic dimensions; give their sizes, as in random:{seed}:1x5x64"),
    };
    fits(&dims)?;
    // Positions and ids: the smallest, which are valid for any cache and table.
    if element.is_integer() {
        return Ok(random::integers(seed, &dims, element, 0..2)?);
    }
    Ok(random::uniform(seed, &dims, element)?)
}
