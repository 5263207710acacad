//! Measures the limits of a GPU.

use anyhow::Result;
use kforge_lowering::compile::{self, Pipeline};
use kforge_measure::Roofs;
use kforge_program::Element;
use kforge_runtime::{Execute, View, gpu};
use kforge_target::Adapter;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Handwritten launch programs; see the file.
const CHAINS: &str = include_str!("chains.mlir");
const COPIES: &str = include_str!("copies.mlir");
/// Bytes that each workgroup of the second program reads, and writes.
const WORKGROUP: u64 = 16384;
/// Multiply-adds of the first program: workgroups, threads, steps, vectors, lanes.
const MULTIPLY_ADDS: f64 = 1056.0 * 256.0 * 1024.0 * 8.0 * 4.0;
/// Time to measure each limit.
const BUDGET: Duration = Duration::from_millis(200);

/// The limits of a GPU, each the best measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Roof {
    /// The driver's name for it.
    pub adapter: String,
    /// 1e9 operations per second; a multiply-add is two.
    pub f32_gflops: f64,
    /// 1e9 bytes per second, read and written, of copies in its memory.
    pub copy_gb_s: f64,
    /// Bytes of such a copy, read and written.
    pub copy_bytes: u64,
}

impl From<&Roof> for Roofs {
    fn from(roof: &Roof) -> Roofs {
        Roofs { f32_gflops: roof.f32_gflops, int8_gops: None, read_gb_s: roof.copy_gb_s }
    }
}

/// Measures multiply-adds, and copies of about `bytes`, read and written.
///
/// # Errors
/// If the GPU fails.
pub fn measure(gpu: &gpu::Gpu, bytes: u64) -> Result<Roof> {
    let (copy_gb_s, copy_bytes) = copies(gpu, bytes)?;
    Ok(Roof { adapter: gpu.adapter.name().to_owned(), f32_gflops: f32_gflops(gpu)?, copy_gb_s, copy_bytes })
}

/// 1e9 f32 operations per second; a multiply-add is two.
///
/// # Errors
/// If the GPU fails.
pub fn f32_gflops(gpu: &gpu::Gpu) -> Result<f64> {
    Ok(2.0 * MULTIPLY_ADDS * rate(gpu, CHAINS, &[])? / 1e9)
}

/// 1e9 bytes per second of copies of about `bytes`, read and written; and the exact bytes.
///
/// # Errors
/// If the GPU fails.
pub fn copies(gpu: &gpu::Gpu, bytes: u64) -> Result<(f64, u64)> {
    // At most what one binding holds, as for a weight.
    let most = gpu.adapter.limits().max_storage_buffer_binding_size.min(1 << 31) / WORKGROUP;
    let workgroups = (bytes / 2).div_ceil(WORKGROUP).clamp(1, most);
    let copy_bytes = 2 * workgroups * WORKGROUP;
    let zeros = vec![0; (workgroups * WORKGROUP) as usize];
    let dims = [workgroups as usize, WORKGROUP as usize / 4];
    let input = View { dims: &dims, element: Element::F32, bytes: &zeros };
    let copies = rate(gpu, &COPIES.replace("WORKGROUPS", &workgroups.to_string()), &[input])?;
    Ok((copy_bytes as f64 * copies / 1e9, copy_bytes))
}

/// Maximum calls per second of a launch program's `main`.
fn rate(gpu: &gpu::Gpu, source: &str, inputs: &[View]) -> Result<f64> {
    let compiled = compile::compile_with(source, &Adapter::default(), &Pipeline::default())?;
    let mut executor = gpu::Executor::new(gpu.clone(), compiled.program, &compiled.code)?;
    (&mut executor as &mut dyn Execute).call("main", inputs)?;
    let (mut best, start) = (f64::INFINITY, Instant::now());
    let mut times = 1;
    loop {
        let begin = Instant::now();
        executor.rerun("main", times)?;
        let seconds = begin.elapsed().as_secs_f64();
        best = best.min(seconds / times as f64);
        if start.elapsed() >= BUDGET {
            return Ok(1.0 / best);
        }
        // Long enough that submission time is negligible.
        if seconds < 0.02 {
            times *= 2;
        }
    }
}
