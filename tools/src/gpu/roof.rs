//! What a GPU can do at most, measured.

use anyhow::Result;
use kforge_lowering::compile;
use kforge_runtime::{Execute, gpu};
use serde::Serialize;
use std::time::{Duration, Instant};

/// A hand-written launch program; see there.
const CHAINS: &str = include_str!("chains.mlir");
/// Its multiply-adds: workgroups, threads, steps, vectors, lanes.
const MULTIPLY_ADDS: f64 = 1056.0 * 256.0 * 1024.0 * 8.0 * 4.0;
/// Time for each limit.
const BUDGET: Duration = Duration::from_millis(200);

/// The limits of a GPU, each the best that was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Roof {
    /// As its driver calls it.
    pub adapter: String,
    /// 1e9 operations a second; a multiply-add is two.
    pub f32_gflops: f64,
    /// 1e9 bytes a second, read and written, of copies in its memory.
    pub copy_gb_s: f64,
    /// Bytes of such a copy, read and written.
    pub copy_bytes: u64,
}

/// Measures multiply-adds, and copies of `bytes`.
///
/// # Errors
/// If the GPU fails.
pub fn measure(gpu: &gpu::Gpu, bytes: u64) -> Result<Roof> {
    let copy_gb_s = gpu.copy_gb_s(bytes, BUDGET)?;
    Ok(Roof { adapter: gpu.adapter.name().to_owned(), f32_gflops: f32_gflops(gpu)?, copy_gb_s, copy_bytes: bytes })
}

fn f32_gflops(gpu: &gpu::Gpu) -> Result<f64> {
    let compiled = compile::compile_gpu_with(CHAINS, "")?;
    let mut executor = gpu::Executor::new(gpu.clone(), compiled.program, &compiled.shaders)?;
    (&mut executor as &mut dyn Execute).call("main", &[])?;
    let (mut best, start) = (f64::INFINITY, Instant::now());
    let mut times = 1;
    loop {
        let begin = Instant::now();
        executor.rerun("main", times)?;
        let seconds = begin.elapsed().as_secs_f64();
        best = best.min(seconds / times as f64);
        if start.elapsed() >= BUDGET {
            return Ok(2.0 * MULTIPLY_ADDS / best / 1e9);
        }
        // Long enough that sending it is nothing.
        if seconds < 0.02 {
            times *= 2;
        }
    }
}
