//! `kforge-run FILE.mlir`: runs one function of tensors.
//!
//! The CPU target runs the compiled module, the reference target interprets it; both take the same inputs and globals,
//! so that `--compare reference` can set one against the other.

use crate::{Common, Numerics, Target, aot::read_source, compile, npy, npy::Array, print};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use kforge_dialect::Interpreter;
use kforge_program::Element;
use kforge_reference::{Roundings, Tensor, Tolerance, compare, compare_rows, random};
use kforge_runtime::View;
use kforge_tools::tensors::{self, program_element, reference_element};
use std::{io, path::PathBuf, process::ExitCode};

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
    inputs: Vec<String>,
    /// A global: NAME=X.npy, or NAME=random:SEED[:DIMS]
    #[arg(long = "global", value_name = "NAME=VALUE")]
    globals: Vec<String>,
    /// Fill every external global that --global does not name with random numbers
    #[arg(long, value_name = "SEED")]
    random_globals: Option<u64>,
    /// Size of dynamic dimensions of state, such as a KV cache's capacity
    #[arg(long, default_value_t = 128, value_name = "N")]
    ctx: usize,
    /// Save a result, in order, instead of printing it
    #[arg(long = "output", value_name = "Y.npy")]
    outputs: Vec<PathBuf>,
    /// Run a second time with another target and compare
    #[arg(long, value_enum)]
    compare: Option<Target>,
    /// Largest difference that --compare accepts, absolute and relative; without it, one that follows from element types,
    /// lengths of sums, --numerics and the size of a row's elements
    #[arg(long, value_name = "T", value_parser = tolerance, allow_negative_numbers = true)]
    tolerance: Option<f64>,
}

pub fn run(common: &Common, options: &Options) -> Result<ExitCode> {
    let file = options.file.as_ref().context("no file was given")?;
    let source = read_source(file)?;
    let plan = Plan::new(common, &source, options)?;
    let results = plan.run(common, common.target)?;
    if options.outputs.len() > results.len() {
        bail!("'{}' has {} results, but {} --output were given", options.entry, results.len(), options.outputs.len());
    }
    for (i, result) in results.iter().enumerate() {
        let array = Array {
            dims: result.shape().to_vec(),
            element: program_element(result.element())?,
            bytes: result.to_bytes(),
        };
        match options.outputs.get(i) {
            Some(path) => npy::write(path, &array)?,
            None => print::tensor(
                &mut io::stdout().lock(),
                View { dims: &array.dims, element: array.element, bytes: &array.bytes },
            )?,
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
        eprintln!("result {i}: {comparison}");
    }
    Ok(if within { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tolerance(text: &str) -> Result<f64, String> {
    let tolerance: f64 = text.parse().map_err(|_| "it is no number".to_owned())?;
    if tolerance >= 0.0 { Ok(tolerance) } else { Err("it must be 0 or more".to_owned()) }
}

/// A function with its inputs and globals, ready for any target.
struct Plan<'s> {
    source: &'s str,
    entry: &'s str,
    /// What right answers of the targets may differ by.
    roundings: Roundings,
    inputs: Vec<Tensor>,
    globals: Vec<(String, Tensor)>,
    /// Mutable globals begin as zeros of these shapes.
    states: Vec<(String, Vec<usize>, Element)>,
}

impl<'s> Plan<'s> {
    fn new(common: &Common, source: &'s str, options: &'s Options) -> Result<Self> {
        let context = kforge_lowering::compile::context();
        let name = options.file.as_ref().map(|f| f.display().to_string()).unwrap_or_default();
        let module = kforge_lowering::compile::parse(&context, source, &name)?;
        let interpreter = Interpreter::new(&module)?;
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
        let inputs = options.inputs.iter().zip(&function.inputs).enumerate();
        let inputs = inputs
            .map(|(i, (spec, (dims, element)))| value(spec, dims, *element).with_context(|| format!("input {i}")))
            .collect::<Result<Vec<Tensor>>>()?;
        let mut given = vec![];
        for text in &options.globals {
            let (name, spec) =
                text.split_once('=').ok_or_else(|| anyhow!("--global {text}: it has the form NAME=VALUE"))?;
            given.push((name, spec));
        }
        let (mut globals, mut states) = (vec![], vec![]);
        for (number, info) in interpreter.globals().into_iter().enumerate() {
            let spec = match given.iter().find(|(name, _)| *name == info.name) {
                Some((_, spec)) => (*spec).to_owned(),
                None if info.initialised => continue,
                None if info.mutable => {
                    let dims = info.dims.iter().map(|d| d.unwrap_or(options.ctx)).collect();
                    states.push((info.name, dims, program_element(info.element)?));
                    continue;
                }
                None => match options.random_globals {
                    Some(seed) => format!("random:{}", seed.wrapping_add(number as u64)),
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
        let context = kforge_lowering::compile::context();
        let module = kforge_lowering::compile::parse(&context, self.source, "module")?;
        let mut interpreter = Interpreter::new(&module)?;
        for (name, value) in &self.globals {
            interpreter.set_global(name, value.clone())?;
        }
        for (name, dims, element) in &self.states {
            interpreter.set_global(name, Tensor::zeros(dims.clone(), reference_element(*element))?)?;
        }
        Ok(interpreter.call(self.entry, self.inputs.clone())?)
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

/// The tensor that a specification names: a file, or random numbers.
fn value(spec: &str, declared: &[Option<usize>], element: kforge_reference::Element) -> Result<Tensor> {
    let Some(random) = spec.strip_prefix("random:") else {
        let array = npy::read(spec.as_ref())?;
        return Ok(Tensor::from_bytes(array.dims, reference_element(array.element), &array.bytes)?);
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
    // Positions and ids: the first that are legal for any cache and table.
    if element.is_integer() {
        return Ok(random::integers(seed, &dims, element, 0..2)?);
    }
    Ok(random::uniform(seed, &dims, element)?)
}
