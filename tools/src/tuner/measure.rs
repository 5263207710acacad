//! Compiles candidates of a problem, checks their answers and measures them against each other.

use super::now;
use crate::tensors::{Inputs, program_element, reference_element};
use anyhow::{Context as _, Result, anyhow, bail};
use kforge_dialect::Interpreter;
use kforge_lowering::compile::{self, Compiled, Target};
use kforge_passes::{
    isa::Isa,
    tuner::{Environment, Family, Problem, Roofs, Row, problem::ENTRY, product::USUAL_ROWS, space},
};
use kforge_program::{Buffer, Program};
use kforge_reference::{Tensor, Tolerance, compare, random};
use kforge_runtime::{Executor, KernelTime, View, executor::Kernels};
use std::{thread, time::Duration};

/// Bytes of weights that a GEMV goes through before it sees the same ones again, as in a decoder.
pub const FOOTPRINT: usize = 64 << 20;

/// Copies of a problem at most, for one of a few rows.
const COPIES: usize = 256;

/// Rounds of a candidate that is not given up; in each, it and the default take turns.
const ROUNDS: usize = 11;

/// A round is at least this long.
const ROUND: Duration = Duration::from_millis(6);

/// After so many rounds, a candidate this much slower than the best is given up.
const STOPS: [(usize, f64); 2] = [(3, 1.15), (6, 1.04)];

/// How far sums in f32 may be from sums in f64, and where they become elements of 16 bits, one unit in the last place of
/// those more. All candidates have the same bits, so one comparison speaks for all.
fn tolerance(element: kforge_reference::Element) -> Tolerance {
    let rounding = match element {
        kforge_reference::Element::BF16 => 2f64.powi(-7),
        kforge_reference::Element::F16 => 2f64.powi(-10),
        _ => 0.0,
    };
    Tolerance { abs: 1e-3, rel: 1e-3 + rounding }
}

/// A candidate with its code, or why it has none.
pub struct Candidate {
    pub tile: Vec<usize>,
    compiled: Result<Compiled, String>,
}

/// A problem in an executor, with the answer that every candidate must give.
pub struct Bench<'p> {
    problem: &'p Problem,
    target: Target,
    executor: Executor,
    inputs: Vec<Tensor>,
    /// How often the launches are repeated, each time with weights of their own.
    copies: usize,
    answer: Vec<Vec<u8>>,
    /// Of the answer, against the reference.
    error: f64,
    /// The tile that every other is compared with.
    default: Vec<usize>,
    /// The tile in the executor.
    loaded: Vec<usize>,
    /// Kernels that are not in the executor now.
    others: Vec<(Vec<usize>, Kernels)>,
}

impl<'p> Bench<'p> {
    /// Compiles the default and compares its answer with the reference semantics.
    ///
    /// # Errors
    /// If it does not compile, its answer is wrong, or there is no memory.
    pub fn new(problem: &'p Problem, machine: &Environment) -> Result<Bench<'p>> {
        let isa: Isa = machine.isa.parse().map_err(anyhow::Error::msg)?;
        let target = Target::host(Some(isa))?;
        let tile = space::rule(&problem.product);
        let compiled = compile_tile(problem, &tile, &target)?;
        let copies = match problem.product.family {
            Family::Gemv => FOOTPRINT.div_ceil(problem.product.weight_bytes.max(1)).min(COPIES),
            Family::Gemm => 1,
        };
        let program = repeat(compiled.program, copies)?;
        let mut executor = Executor::new(program, &compiled.object, machine.threads)?;
        let context = compile::context();
        let module = compile::parse(&context, &problem.text, "problem")?;
        let mut interpreter = Interpreter::new(&module)?;
        for (seed, global) in interpreter.globals().into_iter().enumerate() {
            let dims = global.dims.iter().map(|d| d.unwrap_or(USUAL_ROWS)).collect::<Vec<_>>();
            let weight = random::uniform(seed as u64 + 1, &dims, global.element)?;
            let (element, bytes) = (program_element(global.element)?, weight.to_bytes());
            for copy in 0..copies {
                executor.set_weight(&copied(&global.name, copy), View { dims: &dims, element, bytes: &bytes })?;
            }
            interpreter.set_global(&global.name, weight)?;
        }
        let functions = interpreter.functions();
        let function = functions.iter().find(|f| f.name == ENTRY).context("the problem has no function")?;
        let inputs = function.inputs.iter().enumerate().map(|(i, (dims, element))| {
            let dims: Vec<usize> = dims.iter().map(|d| d.unwrap_or(USUAL_ROWS)).collect();
            Ok(random::uniform(100 + i as u64, &dims, *element)?)
        });
        let inputs: Vec<Tensor> = inputs.collect::<Result<_>>()?;
        let expected = interpreter.call(ENTRY, inputs.clone())?;
        let mut bench = Bench {
            problem,
            target,
            executor,
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
            let actual = Tensor::from_bytes(expected.shape(), expected.element(), bytes)?;
            let comparison = compare(&actual, expected, tolerance(expected.element()))?;
            if !comparison.within_tolerance() {
                bail!("the default kernel is wrong: {comparison}");
            }
            bench.error = bench.error.max(comparison.max_abs);
        }
        Ok(bench)
    }

    /// Compiles several candidates at once, each on a thread of its own.
    pub fn compile(&self, tiles: &[Vec<usize>]) -> Vec<Candidate> {
        let (problem, target) = (self.problem, &self.target);
        thread::scope(|scope| {
            let compile = |tile| move || compile_tile(problem, tile, target).map_err(|e| format!("{e:#}"));
            let threads: Vec<_> = tiles.iter().map(|tile| (tile, scope.spawn(compile(tile)))).collect();
            let candidates = threads.into_iter().map(|(tile, thread)| {
                let compiled = thread.join().unwrap_or_else(|_| Err("the compiler panicked".into()));
                Candidate { tile: tile.clone(), compiled }
            });
            candidates.collect()
        })
    }

    /// The row of a candidate, measured in turns with the default. It is given up early if it is slower than what takes
    /// `best` of the default's time.
    ///
    /// # Errors
    /// If the executor fails; a candidate that does is a row with a failure.
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
            predicate: space::PREDICATE.to_owned(),
            error: self.error,
            share: 0.0,
            recorded: now(),
        };
        let compiled = match candidate.compiled {
            Ok(compiled) => compiled,
            Err(message) => {
                row.failure = Some(format!("illegal: {message}"));
                return Ok(row);
            }
        };
        // Only what takes turns stays in memory.
        let default = self.default.clone();
        self.others.retain(|(tile, _)| *tile == default);
        row.code = code_hash(&compiled.object);
        self.keep(&candidate.tile, compiled)?;
        self.load(&candidate.tile)?;
        let answer = self.call()?;
        if answer != self.answer {
            row.failure = Some(self.wrong(&answer)?);
            return Ok(row);
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
        // All in turns with the default, never in a chain of comparisons, whose errors would multiply.
        row.ratio = Some(if ratios.is_empty() { 1.0 } else { median(&ratios) });
        row.share = roofs.seconds(&self.problem.product) / (row.median() * 1e-6);
        Ok(row)
    }

    /// Whether a tile still becomes the code that was measured, and that gives the right answer.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&mut self, tile: &[usize], code: &str) -> Result<(), String> {
        let said = |e: anyhow::Error| format!("{e:#}");
        let compiled = compile_tile(self.problem, tile, &self.target).map_err(said)?;
        let found = code_hash(&compiled.object);
        if found != code {
            return Err(format!("its code is {found} now, not {code}"));
        }
        self.keep(tile, compiled).map_err(said)?;
        self.load(tile).map_err(said)?;
        let answer = self.call().map_err(said)?;
        if answer == self.answer { Ok(()) } else { Err(self.wrong(&answer).map_err(said)?) }
    }

    /// How far an answer is from the right one.
    fn wrong(&self, answer: &[Vec<u8>]) -> Result<String> {
        let function = self.executor.program().function(ENTRY).context("the program has no function")?;
        let mut most = 0f64;
        for ((bytes, right), output) in answer.iter().zip(&self.answer).zip(&function.outputs) {
            let element = reference_element(output.ty.element);
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

    /// Loads a candidate's code beside the executor.
    fn keep(&mut self, tile: &[usize], compiled: Compiled) -> Result<()> {
        if !self.has(tile) {
            let kernels = Kernels::load(repeat(compiled.program, self.copies)?, &compiled.object)?;
            self.others.push((tile.to_vec(), kernels));
        }
        Ok(())
    }

    /// Puts a candidate into the executor.
    fn load(&mut self, tile: &[usize]) -> Result<()> {
        if self.loaded == tile {
            return Ok(());
        }
        let (other, kernels) = self
            .others
            .iter_mut()
            .find(|(other, _)| other == tile)
            .ok_or_else(|| anyhow!("the tile {tile:?} has not been compiled"))?;
        self.executor.exchange(kernels)?;
        std::mem::swap(other, &mut self.loaded);
        Ok(())
    }

    /// The bytes of all results.
    fn call(&mut self) -> Result<Vec<Vec<u8>>> {
        let inputs = Inputs::new(&self.inputs)?;
        let outputs = self.executor.call(ENTRY, &inputs.views())?;
        let bytes = |i| outputs.get(i).map(|view| view.bytes.to_vec());
        (0..outputs.len()).map(|i| bytes(i).context("a result is in a layout of its own")).collect()
    }

    /// Microseconds of one product, in a round of many: of its kernel, and of what is launched for it.
    fn time(&mut self) -> Result<f64> {
        let inputs = Inputs::new(&self.inputs)?;
        let views = inputs.views();
        let kernels = self.executor.program().kernels.iter();
        let family = |name: &str| ["gemv", "gemm"].iter().any(|family| name.contains(family));
        let kernels: Vec<usize> = kernels.enumerate().filter(|(_, k)| family(&k.name)).map(|(i, _)| i).collect();
        if kernels.is_empty() {
            bail!("the problem has no kernel of linear layers");
        }
        self.executor.start_profile();
        let mut total = KernelTime::default();
        while total.time < ROUND {
            self.executor.call(ENTRY, &views)?;
            let times = self.executor.profile();
            total = kernels.iter().fold(KernelTime::default(), |total, kernel| KernelTime {
                launches: total.launches.max(times[*kernel].launches),
                time: total.time + times[*kernel].time,
            });
        }
        self.executor.end_profile();
        Ok(total.time.as_secs_f64() * 1e6 / total.launches.max(1) as f64)
    }
}

/// Compiles a problem with a tile.
pub fn compile_tile(problem: &Problem, tile: &[usize], target: &Target) -> Result<Compiled> {
    space::legal(&problem.product, tile).map_err(anyhow::Error::msg)?;
    let pipeline = kforge_lowering::LAUNCHES.replace("{isa}", &format!("{{isa={}}}", target.isa));
    Ok(compile::compile_with(&problem.with_tile(tile), target, &pipeline)?)
}

/// The hash of an object.
fn code_hash(object: &[u8]) -> String {
    blake3::hash(object).to_hex()[..16].to_owned()
}

/// The name of a copy of a global.
fn copied(name: &str, copy: usize) -> String {
    if copy == 0 { name.to_owned() } else { format!("{name}.{copy}") }
}

/// The program with its launches over and over, each time with weights of their own.
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
    // Every copy uses the intermediates again.
    let last = function.launches.len().saturating_sub(1);
    function.locals.iter_mut().for_each(|local| (local.first, local.last) = (0, last));
    Ok(program)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
