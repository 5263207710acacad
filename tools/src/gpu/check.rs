//! Checks that a GPU computes correctly: a small kernel for each feature, compared with the CPU.

use anyhow::{Result, bail};
use half::f16;
use kforge_lowering::compile::{self, Compiled, Options, Pipeline};
use kforge_program::Element;
use kforge_program::Shader;
use kforge_runtime::{
    Execute, View,
    cache::Cache,
    gpu::{Executor, Gpu},
};
use kforge_target::Adapter;
use std::{fs, time::Duration};

/// A feature with a test kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    F32,
    F16,
    Subgroups,
    Timestamps,
    Matrices,
    PipelineCache,
}

impl Check {
    /// Runs the kernel.
    ///
    /// # Errors
    /// If it does not run, or its result differs from the CPU's.
    pub fn run(self, gpu: &Gpu) -> Result<()> {
        match self {
            Check::F32 => f32s(gpu),
            Check::F16 => halves(gpu),
            Check::Subgroups => subgroups(gpu),
            Check::Timestamps => timestamps(gpu),
            Check::Matrices => matrices(gpu),
            Check::PipelineCache => pipeline_cache(gpu),
        }
    }
}

/// Small pseudo-random integers.
fn number(i: usize) -> usize {
    i * 7919 % 1021
}

/// Calls `main` on elements of a type; returns the bytes of each result.
fn call(executor: &mut dyn Execute, dims: &[usize], element: Element, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    call_all(executor, &[View { dims, element, bytes }])
}

fn call_all(executor: &mut dyn Execute, inputs: &[View]) -> Result<Vec<Vec<u8>>> {
    let outputs = executor.call("main", inputs)?;
    Ok((0..outputs.len()).filter_map(|i| Some(outputs.get(i)?.bytes.to_vec())).collect())
}

fn executor(gpu: &Gpu, text: &str) -> Result<Executor> {
    let compiled = compile::compile_with(text, &Adapter::default(), &Pipeline::default())?;
    Ok(Executor::new(gpu.clone(), compiled.program, &compiled.code)?)
}

/// Workgroups of the f32 kernel, and the threads of each.
const F32: [usize; 2] = [1024, 256];

fn f32_call(executor: &mut Executor) -> Result<()> {
    let x: Vec<f32> = (0..F32[0] * F32[1]).map(|i| number(i) as f32).collect();
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    let results = call(executor, &F32, Element::F32, &bytes)?;
    let expected = x.chunks(F32[1]).flat_map(|group| group.iter().rev().map(|x| 3.0 * x + 0.25));
    let actual = results[0].as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    equal(actual.zip(expected), |a, e| a == e)
}

fn f32s(gpu: &Gpu) -> Result<()> {
    f32_call(&mut executor(gpu, include_str!("checks/f32.mlir"))?)
}

fn timestamps(gpu: &Gpu) -> Result<()> {
    let mut executor = executor(gpu, include_str!("checks/f32.mlir"))?;
    executor.start_profile()?;
    f32_call(&mut executor)?;
    let time: Duration = executor.end_profile().unwrap_or_default().iter().map(|kernel| kernel.time).sum();
    if time.is_zero() {
        bail!("a launch took no time");
    }
    Ok(())
}

fn halves(gpu: &Gpu) -> Result<()> {
    // 1 to 2: their squares are rounded.
    let x: Vec<f16> = (0..1024).map(|i| f16::from_f32(1.0 + i as f32 / 1024.0)).collect();
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    let results = call(&mut executor(gpu, include_str!("checks/f16.mlir"))?, &[1024], Element::F16, &bytes)?;
    let actual = results[0].as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32());
    // A GPU may round either way: an error of one unit in the last place is allowed.
    equal(actual.zip(x.iter().map(|x| (x * x).to_f32())), |a, e| (a - e).abs() <= e / 1024.0)
}

fn subgroups(gpu: &Gpu) -> Result<()> {
    let x: Vec<i32> = (0..1024).map(|i| number(i) as i32).collect();
    let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
    let results = call(&mut executor(gpu, include_str!("checks/subgroups.mlir"))?, &[4, 256], Element::I32, &bytes)?;
    let [sums, ids, neighbours] =
        [0, 1, 2].map(|i| results[i].as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect::<Vec<_>>());
    for group in (0..1024).step_by(256) {
        let all = group..group + 256;
        let sum = |i: usize| all.clone().filter(|other| ids[*other] == ids[i]).map(|other| x[other]).sum::<i32>();
        equal(all.clone().map(|i| (sums[i], sum(i))), |a, e| a == e)?;
    }
    equal(neighbours.into_iter().zip((0..).map(|i| i ^ 1)), |a, e| a == e)
}

/// M, N and K of a product of several matrices along each axis.
const MATRICES: [usize; 3] = [48, 80, 64];
/// f16 operands and result.
const PRODUCT: &str = include_str!("checks/matrices.mlir");

/// The kernel for cooperative matrices generated for `adapter`, and whether there is one.
fn matrix_kernel(adapter: Adapter) -> Result<Compiled<Vec<Shader>>> {
    let compiled = compile::compile(PRODUCT, &adapter, Options::default())?;
    match &compiled.code[..] {
        [shader] if shader.cooperative_matrices => Ok(compiled),
        _ => bail!("the product was compiled without them"),
    }
}

fn matrices(gpu: &Gpu) -> Result<()> {
    let compiled = matrix_kernel(super::features(&gpu.adapter))?;
    let mut executor = Executor::new(gpu.clone(), compiled.program, &compiled.code)?;
    let [m, n, k] = MATRICES;
    // Small integers: their sums are exact in f32, and below 2048 exact in f16.
    let factor = |length: usize, step: usize| (0..length).map(|i| number(i * step) % 7).collect::<Vec<_>>();
    let (x, w) = (factor(m * k, 1), factor(n * k, 3));
    let bytes = |values: &[usize]| -> Vec<u8> {
        values.iter().flat_map(|value| f16::from_f32(*value as f32 - 3.0).to_le_bytes()).collect()
    };
    let (x_bytes, w_bytes) = (bytes(&x), bytes(&w));
    let view = |dims, bytes| View { dims, element: Element::F16, bytes };
    let results = call_all(&mut executor, &[view(&[m, k], &x_bytes), view(&[n, k], &w_bytes)])?;
    let actual = results[0].as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32());
    let product = |(row, column): (usize, usize)| -> f32 {
        (0..k).map(|i| (x[row * k + i] as f32 - 3.0) * (w[column * k + i] as f32 - 3.0)).sum()
    };
    let expected = (0..m).flat_map(|row| (0..n).map(move |column| (row, column))).map(product);
    equal(actual.zip(expected), |a, e| a == e)
}

/// The pipeline cache of one executor is reused by the next, which computes the same.
fn pipeline_cache(gpu: &Gpu) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let cache = Cache::new(directory.path().to_owned());
    for _ in 0..2 {
        let compiled =
            compile::compile_with(include_str!("checks/f32.mlir"), &Adapter::default(), &Pipeline::default())?;
        let (mut executor, kept) = Executor::with_cache(gpu.clone(), compiled.program, &compiled.code, &cache)?;
        kept?;
        f32_call(&mut executor)?;
        if fs::read_dir(directory.path())?.next().is_none() {
            bail!("the driver gave nothing to keep");
        }
    }
    Ok(())
}

/// Compares pairs of GPU and CPU values, element by element.
fn equal<T: Copy + std::fmt::Display>(pairs: impl Iterator<Item = (T, T)>, same: impl Fn(T, T) -> bool) -> Result<()> {
    match pairs.enumerate().find(|(_, (actual, expected))| !same(*actual, *expected)) {
        Some((i, (actual, expected))) => bail!("element {i} is {actual}, not {expected}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kforge_lowering::to_wgsl::check;

    /// Few machines have matrix units, but naga validates the shader on all.
    #[test]
    fn the_kernel_of_matrices_is_one() {
        let adapter = Adapter { f16: true, subgroups: 32, matrices: true, ..Adapter::default() };
        matrix_kernel(adapter).expect("a product of f16");
        let (_, shaders) = compile::translate_gpu(PRODUCT, adapter, Options::default()).expect("a product of f16");
        check::validate(&shaders[0]).expect("valid WGSL").spirv().expect("SPIR-V");
        let error = matrix_kernel(Adapter::default()).expect_err("no f16").to_string();
        assert!(error.contains("which no kernel of this GPU can store"), "{error}");
    }
}
