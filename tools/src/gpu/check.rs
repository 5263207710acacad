//! Whether a GPU computes what it says it can: a small kernel for each feature, set against the CPU.

use anyhow::{Result, bail};
use half::f16;
use kforge_lowering::compile;
use kforge_program::Element;
use kforge_runtime::{
    Execute, View,
    gpu::{Executor, Gpu},
};
use std::time::Duration;

/// A feature with a test kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    F32,
    F16,
    Subgroups,
    Timestamps,
}

impl Check {
    /// Runs the kernel.
    ///
    /// # Errors
    /// If it does not run, or its result is not the CPU's.
    pub fn run(self, gpu: &Gpu) -> Result<()> {
        match self {
            Check::F32 => f32s(gpu),
            Check::F16 => halves(gpu),
            Check::Subgroups => subgroups(gpu),
            Check::Timestamps => timestamps(gpu),
        }
    }
}

/// Small whole numbers in no order.
fn number(i: usize) -> usize {
    i * 7919 % 1021
}

/// One call of `main` on elements of a type: the bytes of each result.
fn call(executor: &mut dyn Execute, dims: &[usize], element: Element, bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let outputs = executor.call("main", &[View { dims, element, bytes }])?;
    Ok((0..outputs.len()).filter_map(|i| Some(outputs.get(i)?.bytes.to_vec())).collect())
}

fn executor(gpu: &Gpu, text: &str) -> Result<Executor> {
    let compiled = compile::compile_gpu_with(text, "")?;
    Ok(Executor::new(gpu.clone(), compiled.program, &compiled.shaders)?)
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
    // A GPU may round either way: one in the last place.
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

/// Pairs of what a GPU and the CPU have, element by element.
fn equal<T: Copy + std::fmt::Display>(pairs: impl Iterator<Item = (T, T)>, same: impl Fn(T, T) -> bool) -> Result<()> {
    match pairs.enumerate().find(|(_, (actual, expected))| !same(*actual, *expected)) {
        Some((i, (actual, expected))) => bail!("element {i} is {actual}, not {expected}"),
        None => Ok(()),
    }
}
