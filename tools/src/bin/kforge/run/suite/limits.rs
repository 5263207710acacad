//! What the machine can do at most, measured in the run.

use super::{
    Budget,
    cases::Case,
    report::{Limit, Roof},
};
use crate::run::{Common, Target, compile};
use anyhow::{Result, bail};
use kforge_measure::Peaks;
use kforge_runtime::{Roofline, gpu, roofline::peaks};
use kforge_tools::gpu::roof;
use std::{collections::HashMap, time::Duration};

/// The measured device.
enum On {
    Cpu {
        threads: usize,
        /// Time per access pattern of a read roof.
        pattern: Duration,
    },
    Gpu(Box<gpu::Gpu>),
}

/// Limits of the machine, the best measured in the run.
pub struct Limits {
    on: On,
    compute: Peaks,
    /// GB/s by footprint.
    reads: HashMap<u64, f64>,
}

impl Limits {
    pub fn new(common: &Common, budget: Budget) -> Result<Limits> {
        let on = match common.target {
            Target::Gpu => On::Gpu(Box::new(compile::gpu(common)?)),
            _ => On::Cpu { threads: common.thread_count(), pattern: budget.pattern },
        };
        Ok(Limits { compute: on.compute()?, on, reads: HashMap::new() })
    }

    pub fn raise_compute(&mut self) -> Result<()> {
        self.compute.raise(&self.on.compute()?);
        Ok(())
    }

    /// Memory of as many bytes as a case reads; a GPU's is allocated when measured.
    pub fn footprint(&self, case: &Case) -> Result<Option<Roofline>> {
        match self.on {
            On::Cpu { .. } => Ok(Some(Roofline::new(usize::try_from(case.work.bytes())?)?)),
            On::Gpu(_) => Ok(None),
        }
    }

    /// Measures again the GB/s at which a case's bytes are read repeatedly, or copied by a GPU.
    pub fn raise_read(&mut self, case: &Case, footprint: Option<&Roofline>) -> Result<()> {
        let bytes = case.work.bytes();
        let read = match (&self.on, footprint) {
            (On::Cpu { threads, pattern }, Some(footprint)) => footprint.read_gb_s(*threads, *pattern)?,
            (On::Cpu { .. }, None) => bail!("a CPU's read roof is measured over memory"),
            // Once is enough: nothing else uses it.
            (On::Gpu(_), _) if self.reads.contains_key(&bytes) => return Ok(()),
            (On::Gpu(gpu), _) => roof::copies(gpu, bytes)?.0,
        };
        let most = self.reads.entry(bytes).or_insert(read);
        *most = most.max(read);
        Ok(())
    }

    pub fn roofs(&self) -> Peaks {
        self.compute.clone()
    }

    /// The roof of a case whose read rate has been measured.
    pub fn over(&self, case: &Case) -> Roof {
        let (by, peak) = match (case.work.is_int8(case.numerics), self.compute.int8_gops) {
            (true, Some(int8)) => (Limit::Int8, int8),
            // The peak of a GPU's matrix units is not measured; the read roof still applies.
            (true, None) => (Limit::Reading, f64::INFINITY),
            (false, _) => (Limit::F32, self.compute.f32_gflops),
        };
        let read_gb_s = self.reads[&case.work.bytes()];
        let computing = case.work.operations() as f64 / peak / 1e3;
        let reading = case.work.bytes() as f64 / read_gb_s / 1e3;
        Roof { by: if computing > reading { by } else { Limit::Reading }, us: computing.max(reading), read_gb_s }
    }
}

impl On {
    fn compute(&self) -> Result<Peaks> {
        Ok(match self {
            On::Cpu { threads, .. } => peaks(*threads)?,
            On::Gpu(gpu) => Peaks {
                f32_gflops: roof::f32_gflops(gpu)?,
                f32_instruction: "fma".into(),
                int8_gops: None,
                int8_instruction: None,
            },
        })
    }
}
