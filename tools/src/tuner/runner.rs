//! Compiles and runs candidates: on this machine's CPU, or its GPU.

use crate::gpu;
use anyhow::{Result, bail};
use kforge_lowering::{
    backend::Machine,
    compile::{self, Options},
    launches,
};
use kforge_measure::Roofs;
use kforge_passes::tiles::{Problem, problem::ENTRY, space};
use kforge_program::{Program, Shader};
use kforge_runtime::{Execute, Executor, KernelTime, Roofline, View, executor, gpu as device};
use kforge_target::{Adapter, Target};
use kforge_tuner::Environment;
use std::time::{Duration, Instant};

/// Bytes of weights that are read before the same ones are read again, as in a decoder: more than caches hold.
pub const FOOTPRINT: usize = 64 << 20;

/// Minimum time of a round on a CPU; a GPU needs more work per submission.
const ROUND: Duration = Duration::from_millis(6);
const ROUND_OF_GPU: Duration = Duration::from_millis(15);
/// How long a GPU works before a measurement, if it has idled as long: its clock falls after seconds without work, as
/// while candidates are compiled (an H200's to a sixth), and takes half a second of work to rise.
const WARMING: Duration = Duration::from_millis(700);
const IDLE: Duration = Duration::from_millis(500);

/// Maximum launches per round: submitted commands stay in memory until they are done.
const LAUNCHES: u64 = 4096;

/// Bytes of the copies that measure a GPU's read roof: more than its caches hold, read and written.
const COPIED: u64 = 4 * FOOTPRINT as u64;

/// Compiles for a machine.
#[derive(Clone, Debug)]
pub enum Compiler {
    Cpu { machine: Machine, threads: usize },
    Gpu(Adapter),
}

/// The compiled code of a candidate.
pub struct Code {
    pub program: Program,
    kernels: Made,
}

enum Made {
    Object(Vec<u8>),
    Shaders(Vec<Shader>),
}

impl Code {
    /// A hash of the object, or of the text of the shaders.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        match &self.kernels {
            Made::Object(object) => hasher.update(object),
            Made::Shaders(shaders) => shaders.iter().fold(&mut hasher, |h, shader| h.update(shader.text.as_bytes())),
        };
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

impl Compiler {
    /// A compiler for this machine, as described by an environment.
    ///
    /// # Errors
    /// If the environment is not of this machine.
    pub fn new(machine: &Environment) -> Result<Compiler> {
        Ok(match (machine, machine.target().map_err(anyhow::Error::msg)?) {
            (Environment::Cpu(cpu), Target::Cpu(isa)) => {
                Compiler::Cpu { machine: Machine::host(Some(isa))?, threads: cpu.threads }
            }
            (_, Target::Gpu(adapter)) => Compiler::Gpu(adapter),
            (Environment::Gpu(_), Target::Cpu(isa)) => bail!("{isa} is no target of a GPU"),
        })
    }

    /// Compiles a problem with a tile.
    ///
    /// # Errors
    /// If the tile is not legal or the problem does not compile.
    pub fn compile(&self, problem: &Problem, tile: &[usize]) -> Result<Code> {
        space::legal(&problem.product, tile).map_err(anyhow::Error::msg)?;
        let text = problem.with_tile(tile);
        let launches = |target| launches(target, Options::default());
        Ok(match self {
            Compiler::Cpu { machine, .. } => {
                let compiled = compile::compile_with(&text, machine, &launches(Target::Cpu(machine.isa)))?;
                Code { program: compiled.program, kernels: Made::Object(compiled.code) }
            }
            Compiler::Gpu(adapter) => {
                let compiled = compile::compile_with(&text, adapter, &launches(Target::Gpu(*adapter)))?;
                Code { program: compiled.program, kernels: Made::Shaders(compiled.code) }
            }
        })
    }

    /// Loads compiled code.
    ///
    /// # Errors
    /// If it does not load, or there is not enough memory or no GPU.
    pub fn load(&self, code: Code) -> Result<Runner> {
        Ok(match (self, code.kernels) {
            (Compiler::Cpu { threads, .. }, Made::Object(object)) => {
                Runner::Cpu(Box::new(Executor::new(code.program, &object, *threads)?))
            }
            (Compiler::Gpu(_), Made::Shaders(shaders)) => {
                let executor = device::Executor::new(gpu::open(None)?, code.program, &shaders)?;
                Runner::Gpu { executor: Box::new(executor), calls: 0, worked: None }
            }
            _ => bail!("what was compiled is for another machine"),
        })
    }
}

/// An executor whose kernels can be exchanged.
pub enum Runner {
    Cpu(Box<Executor>),
    Gpu {
        executor: Box<device::Executor>,
        /// Submitted repetitions per round; 0 until determined.
        calls: u64,
        /// When the last round ended.
        worked: Option<Instant>,
    },
}

/// Kernels that are currently not in the executor.
pub enum Kernels {
    Cpu(executor::Kernels),
    Gpu(device::Kernels),
}

impl Runner {
    pub fn execute(&mut self) -> &mut dyn Execute {
        match self {
            Runner::Cpu(executor) => &mut **executor,
            Runner::Gpu { executor, .. } => &mut **executor,
        }
    }

    pub fn program(&self) -> &Program {
        match self {
            Runner::Cpu(executor) => executor.program(),
            Runner::Gpu { executor, .. } => executor.program(),
        }
    }

    /// Loads other kernels without replacing the executor's.
    ///
    /// # Errors
    /// If they do not load.
    pub fn keep(&self, code: Code) -> Result<Kernels> {
        Ok(match (self, code.kernels) {
            (Runner::Cpu(_), Made::Object(object)) => Kernels::Cpu(executor::Kernels::load(code.program, &object)?),
            (Runner::Gpu { executor, .. }, Made::Shaders(shaders)) => {
                Kernels::Gpu(executor.load(code.program, &shaders)?)
            }
            _ => bail!("what was compiled is for another machine"),
        })
    }

    /// Swaps the executor's kernels with `other`'s.
    ///
    /// # Errors
    /// If they belong to another problem.
    pub fn exchange(&mut self, other: &mut Kernels) -> Result<()> {
        match (self, other) {
            (Runner::Cpu(executor), Kernels::Cpu(kernels)) => executor.exchange(kernels)?,
            (Runner::Gpu { executor, .. }, Kernels::Gpu(kernels)) => executor.exchange(kernels)?,
            _ => bail!("what was compiled is for another machine"),
        }
        Ok(())
    }

    /// Microseconds per product, in a round of many, including companion kernels. The program must have been called
    /// before.
    ///
    /// # Errors
    /// If the device fails.
    pub fn time(&mut self, inputs: &[View]) -> Result<f64> {
        match self {
            Runner::Cpu(executor) => profiled(executor, inputs),
            Runner::Gpu { executor, calls, worked } => {
                let is_warm = worked.is_some_and(|worked| worked.elapsed() < IDLE);
                let time = sent(executor, calls, is_warm)?;
                *worked = Some(Instant::now());
                Ok(time)
            }
        }
    }
}

/// Timed by a clock around each launch.
fn profiled(executor: &mut Executor, inputs: &[View]) -> Result<f64> {
    let kernels = executor.program().kernels.iter();
    let family = |name: &str| ["gemv", "gemm"].iter().any(|family| name.contains(family));
    let kernels: Vec<usize> = kernels.enumerate().filter(|(_, k)| family(&k.name)).map(|(i, _)| i).collect();
    if kernels.is_empty() {
        bail!("the problem has no kernel of linear layers");
    }
    executor.start_profile();
    let mut total = KernelTime::default();
    while total.time < ROUND {
        executor.call(ENTRY, inputs)?;
        let times = executor.profile();
        total = kernels.iter().fold(KernelTime::default(), |total, kernel| KernelTime {
            launches: total.launches.max(times[*kernel].launches),
            time: total.time + times[*kernel].time,
        });
    }
    executor.end_profile();
    Ok(total.time.as_secs_f64() * 1e6 / total.launches.max(1) as f64)
}

/// Timed by a clock around one submission: the launches, on the inputs left in place by the last call.
fn sent(executor: &mut device::Executor, calls: &mut u64, is_warm: bool) -> Result<f64> {
    let launches = executor.program().function(ENTRY).map_or(1, |f| f.launches.len()).max(1) as u64;
    let mut time = |calls: u64| -> Result<Duration> {
        let begin = Instant::now();
        executor.rerun(ENTRY, calls)?;
        Ok(begin.elapsed())
    };
    if !is_warm {
        let begin = Instant::now();
        while begin.elapsed() < WARMING {
            time((*calls).max(1))?;
        }
    }
    if *calls == 0 {
        *calls = 1;
        while time(*calls)? < ROUND_OF_GPU / 2 && 2 * *calls * launches <= LAUNCHES {
            *calls *= 2;
        }
    }
    Ok(time(*calls)?.as_secs_f64() * 1e6 / (*calls * launches) as f64)
}

/// Measures this machine's roofs, for `rounds` rounds, or at length.
///
/// # Errors
/// If the device fails.
pub fn roofs(machine: &Environment, rounds: Option<usize>) -> Result<Roofs> {
    Ok(match machine {
        Environment::Cpu(cpu) => {
            let roofline = Roofline::new(FOOTPRINT)?;
            Roofs::from(&match rounds {
                Some(rounds) => roofline.measure_in(rounds, cpu.threads)?,
                None => roofline.measure(cpu.threads)?,
            })
        }
        Environment::Gpu(_) => Roofs::from(&gpu::roof::measure(&gpu::open(None)?, COPIED)?),
    })
}
