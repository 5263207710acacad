//! Compiles candidates of a problem, checks their results and measures them against each other.

use super::{
    now,
    runner::{Code, Compiler, FOOTPRINT, Kernels, Runner},
};
use crate::{
    product::HALF_FACTORS,
    tensors::{self, Inputs, set_weight},
};
use anyhow::{Context as _, Result, anyhow, bail};
use kforge_dialect::Interpreter;
use kforge_lowering::compile;
use kforge_measure::{Roofs, median};
use kforge_passes::tiles::{Family, Problem, Product, problem::ENTRY, space};
use kforge_program::{Buffer, Program};
use kforge_reference::{Element, Tensor, Tolerance, compare, random};
use kforge_tuner::{Environment, Row, model::least_seconds};
use std::thread;

/// Maximum copies of a problem's weights.
const COPIES: usize = 256;

/// Maximum seconds that all copies may take on a GPU.
const SWEEP: f64 = 0.02;

/// Rounds of a candidate that is not abandoned; in each, it and the default alternate.
const ROUNDS: usize = 11;

/// (rounds, ratio): after this many rounds, a candidate slower than the best by this ratio is abandoned.
const STOPS: [(usize, f64); 2] = [(3, 1.15), (6, 1.04)];

/// Maximum operations of the reference if fewer rows suffice: some seconds.
const REFERENCE: f64 = 4e9;

/// The allowed error of sums in f32 against f64, plus one unit in the last place for 16-bit results. Where operands are
/// rounded to f16, plus twice the error of such a product for the largest result. All candidates give the same bits, so
/// one comparison covers all.
fn tolerance(product: &Product, expected: &Tensor) -> Tolerance {
    let rounding = match expected.element() {
        Element::BF16 => 2f64.powi(-7),
        Element::F16 => 2f64.powi(-10),
        _ => 0.0,
    };
    let largest = || expected.to_f32().iter().fold(0f32, |most, x| most.max(x.abs()));
    let rounds = product.family == Family::Mma && !product.half;
    let factors = if rounds { 2.0 * HALF_FACTORS * f64::from(largest()) } else { 0.0 };
    Tolerance { abs: 1e-3 + factors, rel: 1e-3 + rounding }
}

/// A candidate with its code, or the reason that it has none.
pub struct Candidate {
    pub tile: Vec<usize>,
    code: Result<Code, String>,
}

/// A problem in an executor, with the result that every candidate must give.
pub struct Bench<'p> {
    problem: &'p Problem,
    compiler: Compiler,
    runner: Runner,
    inputs: Vec<Tensor>,
    /// How often the launches are repeated, each time with another copy of the weights.
    copies: usize,
    answer: Vec<Vec<u8>>,
    /// Error of the result against the reference.
    error: f64,
    /// The tile that every other is compared with.
    default: Vec<usize>,
    /// The tile in the executor.
    loaded: Vec<usize>,
    /// Kernels that are currently not in the executor.
    others: Vec<(Vec<usize>, Kernels)>,
}

impl<'p> Bench<'p> {
    /// Compiles the default and compares its result with the reference semantics. With `roofs` it is for measuring: a
    /// kernel then uses copies of its weights in turn, as a decoder does.
    ///
    /// # Errors
    /// If it does not compile, its result is wrong, or there is not enough memory.
    pub fn new(problem: &'p Problem, machine: &Environment, roofs: Option<&Roofs>) -> Result<Bench<'p>> {
        let compiler = Compiler::new(machine)?;
        let product = &problem.product;
        let tile = space::rule(product);
        let mut code = compiler.compile(problem, &tile)?;
        let copies = roofs.map_or(1, |roofs| copies(problem, machine, roofs));
        code.program = repeat(code.program, copies)?;
        let mut runner = compiler.load(code)?;
        let context = compile::context();
        let module = compile::parse(&context, &problem.text)?;
        let mut interpreter = Interpreter::new(&module)?;
        for (seed, global) in interpreter.globals().into_iter().enumerate() {
            let dims =
                global.dims.iter().map(|d| d.context("a weight's shape is not known")).collect::<Result<Vec<_>>>()?;
            let weight = random::uniform(seed as u64 + 1, &dims, global.element)?;
            for copy in 0..copies {
                set_weight(runner.execute(), &copied(&global.name, copy), &weight)?;
            }
            interpreter.set_global(&global.name, weight)?;
        }
        let functions = interpreter.functions();
        let function = functions.iter().find(|f| f.name == ENTRY).context("the problem has no function")?;
        let rows = product.usual_rows();
        let inputs = function.inputs.iter().enumerate().map(|(i, (dims, element))| {
            let dims: Vec<usize> = dims.iter().map(|d| d.unwrap_or(rows)).collect();
            Ok(random::uniform(100 + i as u64, &dims, *element)?)
        });
        let inputs: Vec<Tensor> = inputs.collect::<Result<_>>()?;
        let checked = function.inputs.iter().zip(&inputs).map(|((dims, _), input)| first_rows(product, dims, input));
        let expected = interpreter.call(ENTRY, checked.collect::<Result<_>>()?)?;
        let mut bench = Bench {
            problem,
            compiler,
            runner,
            inputs,
            copies,
            answer: vec![],
            error: 0.0,
            default: tile.clone(),
            loaded: tile,
            others: vec![],
        };
        bench.answer = bench.call()?;
        for (bytes, expected) in bench.answer.iter().zip(&expected) {
            // If the reference has computed only the first rows, these come first in the result.
            let bytes = bytes.get(..expected.to_bytes().len()).context("the default kernel's result is too short")?;
            let actual = Tensor::from_bytes(expected.shape(), expected.element(), bytes)?;
            let comparison = compare(&actual, expected, tolerance(product, expected))?;
            if !comparison.within_tolerance() {
                bail!("the default kernel is wrong: {comparison}");
            }
            bench.error = bench.error.max(comparison.max_abs);
        }
        Ok(bench)
    }

    /// Compiles several candidates in parallel, each on its own thread.
    pub fn compile(&self, tiles: &[Vec<usize>]) -> Vec<Candidate> {
        let (problem, compiler) = (self.problem, &self.compiler);
        thread::scope(|scope| {
            let compile = |tile| move || compiler.compile(problem, tile).map_err(|e| format!("{e:#}"));
            let threads: Vec<_> = tiles.iter().map(|tile| (tile, scope.spawn(compile(tile)))).collect();
            let candidates = threads.into_iter().map(|(tile, thread)| {
                let code = thread.join().unwrap_or_else(|_| Err("the compiler panicked".into()));
                Candidate { tile: tile.clone(), code }
            });
            candidates.collect()
        })
    }

    /// Measures a candidate, alternating with the default, and returns its row. It is abandoned early if it is slower
    /// than `best`, a fraction of the default's time.
    ///
    /// # Errors
    /// If the default fails; a candidate that fails gives a row with a failure.
    pub fn measure(
        &mut self,
        candidate: Candidate,
        best: f64,
        roofs: &Roofs,
        key: &str,
        environment: &str,
    ) -> Result<Row> {
        let mut row = Row {
            key: key.to_owned(),
            environment: environment.to_owned(),
            tile: candidate.tile.clone(),
            code: String::new(),
            samples: vec![],
            ratio: None,
            failure: None,
            predicate: space::predicate(&self.problem.product).to_owned(),
            error: self.error,
            share: 0.0,
            recorded: now(),
        };
        let code = match candidate.code {
            Ok(code) => code,
            Err(message) => {
                row.failure = Some(format!("illegal: {message}"));
                return Ok(row);
            }
        };
        // Only the kernels being compared stay in memory.
        let default = self.default.clone();
        self.others.retain(|(tile, _)| *tile == default);
        row.code = code.hash();
        match self.answer_of(&candidate.tile, code) {
            Ok(answer) if answer == self.answer => {}
            Ok(answer) => {
                row.failure = Some(self.wrong(&answer)?);
                return Ok(row);
            }
            Err(error) => {
                // If the default fails too, the machine is at fault, not the candidate.
                self.load(&default)?;
                self.call()?;
                row.failure = Some(format!("failed: {error:#}"));
                return Ok(row);
            }
        }
        let mut ratios = vec![];
        self.load(&default)?;
        self.time()?;
        for round in 1..=ROUNDS {
            self.load(&candidate.tile)?;
            let time = self.time()?;
            row.samples.push(time);
            if candidate.tile == default {
                continue;
            }
            self.load(&default)?;
            ratios.push(time / self.time()?);
            if STOPS.iter().any(|(rounds, limit)| *rounds == round && median(&ratios) > *limit * best) {
                break;
            }
        }
        // Each candidate is compared with the default, never in a chain of comparisons, whose errors would multiply.
        row.ratio = Some(if ratios.is_empty() { 1.0 } else { median(&ratios) });
        row.share = least_seconds(&self.problem.product, roofs) / (row.median() * 1e-6);
        Ok(row)
    }

    /// The result of a candidate, which is then in the executor.
    fn answer_of(&mut self, tile: &[usize], code: Code) -> Result<Vec<Vec<u8>>> {
        self.keep(tile, code)?;
        self.load(tile)?;
        self.call()
    }

    /// Checks that a tile still compiles to the measured code, and gives the right result.
    ///
    /// # Errors
    /// The reason, if not.
    pub fn check(&mut self, tile: &[usize], code: &str) -> Result<(), String> {
        let said = |e: anyhow::Error| format!("{e:#}");
        let compiled = self.compiler.compile(self.problem, tile).map_err(said)?;
        let found = compiled.hash();
        if found != code {
            return Err(format!("its code is {found} now, not {code}"));
        }
        let answer = self.answer_of(tile, compiled).map_err(said)?;
        if answer == self.answer { Ok(()) } else { Err(self.wrong(&answer).map_err(said)?) }
    }

    /// Describes how far a result is from the right one.
    fn wrong(&self, answer: &[Vec<u8>]) -> Result<String> {
        let function = self.runner.program().function(ENTRY).context("the program has no function")?;
        let mut most = 0f64;
        for ((bytes, right), output) in answer.iter().zip(&self.answer).zip(&function.outputs) {
            let element = output.ty.element;
            let size = output.ty.element.bytes().unwrap_or(1);
            let [a, b] = [bytes, right].map(|bytes| Tensor::from_bytes([bytes.len() / size], element, bytes));
            let (a, b) = (a?.to_f32(), b?.to_f32());
            most = a.iter().zip(&b).map(|(a, b)| f64::from((a - b).abs())).fold(most, f64::max);
        }
        Ok(format!("wrong: off by up to {most:.3e} where every candidate has the same bits"))
    }

    fn has(&self, tile: &[usize]) -> bool {
        self.loaded == tile || self.others.iter().any(|(other, _)| other == tile)
    }

    /// Loads a candidate's code next to the executor.
    fn keep(&mut self, tile: &[usize], mut code: Code) -> Result<()> {
        if !self.has(tile) {
            code.program = repeat(code.program, self.copies)?;
            self.others.push((tile.to_vec(), self.runner.keep(code)?));
        }
        Ok(())
    }

    /// Makes a candidate's kernels those of the executor.
    fn load(&mut self, tile: &[usize]) -> Result<()> {
        if self.loaded == tile {
            return Ok(());
        }
        let (other, kernels) = self
            .others
            .iter_mut()
            .find(|(other, _)| other == tile)
            .ok_or_else(|| anyhow!("the tile {tile:?} has not been compiled"))?;
        self.runner.exchange(kernels)?;
        std::mem::swap(other, &mut self.loaded);
        Ok(())
    }

    /// The bytes of all results.
    fn call(&mut self) -> Result<Vec<Vec<u8>>> {
        let results = tensors::call(self.runner.execute(), ENTRY, &self.inputs)?;
        Ok(results.iter().map(Tensor::to_bytes).collect())
    }

    /// Microseconds per product with the executor's kernels.
    fn time(&mut self) -> Result<f64> {
        let inputs = Inputs::new(&self.inputs)?;
        self.runner.time(&inputs.views())
    }
}

/// How often the launches are repeated, each time with another copy of the weights. On a CPU a GEMV then reads them
/// from memory, as in a decoder; on a GPU every kernel does, within [`SWEEP`].
fn copies(problem: &Problem, machine: &Environment, roofs: &Roofs) -> usize {
    let product = &problem.product;
    let most = FOOTPRINT.div_ceil(product.weight_bytes.max(1)).min(COPIES);
    match machine {
        Environment::Gpu(_) => most.min((SWEEP / least_seconds(product, roofs)) as usize).max(1),
        Environment::Cpu(_) if product.family == Family::Gemv => most,
        Environment::Cpu(_) => 1,
    }
}

/// The rows of an input that the reference computes: all, or if their number is dynamic the first ones, so that it
/// takes some seconds. For later rows, candidates with other tiles must give the same bytes.
fn first_rows(product: &Product, dims: &[Option<usize>], input: &Tensor) -> Result<Tensor> {
    let rows = product.usual_rows();
    let enough = ((REFERENCE / product.operations() * rows as f64) as usize).clamp(1, rows);
    let Some(axis) = dims.iter().position(Option::is_none) else { return Ok(input.clone()) };
    let is_outermost = dims[..axis].iter().all(|d| *d == Some(1)) && dims[axis + 1..].iter().all(Option::is_some);
    if !is_outermost {
        return Ok(input.clone());
    }
    let mut shape = input.shape().to_vec();
    shape[axis] = enough;
    let bytes = input.to_bytes();
    Ok(Tensor::from_bytes(shape, input.element(), &bytes[..bytes.len() / rows * enough])?)
}

/// The name of a copy of a global.
fn copied(name: &str, copy: usize) -> String {
    if copy == 0 { name.to_owned() } else { format!("{name}.{copy}") }
}

/// The program with its launches repeated, each time with another copy of the weights.
fn repeat(mut program: Program, copies: usize) -> Result<Program> {
    let globals = program.globals.clone();
    let function = program.functions.iter_mut().find(|f| f.name == ENTRY).context("the program has no function")?;
    let launches = function.launches.clone();
    for copy in 1..copies {
        for global in &globals {
            program.globals.push(kforge_program::Global { name: copied(&global.name, copy), ..global.clone() });
        }
        for launch in &launches {
            let mut launch = launch.clone();
            launch.barrier = true;
            for buffer in &mut launch.buffers {
                if let Buffer::Global(i) = buffer {
                    *i += copy * globals.len();
                }
            }
            function.launches.push(launch);
        }
    }
    // All copies share the intermediates.
    let last = function.launches.len().saturating_sub(1);
    function.locals.iter_mut().for_each(|local| (local.first, local.last) = (0, last));
    Ok(program)
}
