//! Binds a program's buffers on a GPU and runs its functions.
//!
//! The first call with given sizes allocates what calls of these sizes need: a buffer for each input, result and
//! intermediate (intermediates with disjoint lifetimes share one), the scalars of all launches in one uniform buffer, and a
//! bind group for each launch. A later call with the same sizes only writes the inputs, submits one command buffer and reads
//! the results. A decode step is such a call: position and token id are inputs.

mod call;
mod kernels;
mod profile;
mod read;

pub use kernels::Kernels;

use self::{call::Bound, kernels::Kernel};
use super::Gpu;
use crate::{
    Error, Execute, KernelTime, Result, View,
    bind::{self, layout_bytes, pack},
    cache::Cache,
};
use kforge_program::{Element, Layout, Program, Shader, TensorType};
use std::io;
use wgpu::{BufferDescriptor, BufferUsages, Features, PipelineCache, PipelineCacheDescriptor};

/// Advice of an error: what makes an activation smaller.
const ROWS: &str = "give fewer rows at once, or a shorter prompt";

/// A program with its shaders, weights and state, ready to be called.
pub struct Executor {
    gpu: Gpu,
    program: Program,
    kernels: Vec<Kernel>,
    globals: Vec<Option<Global>>,
    functions: Vec<Bound>,
    /// While profiling, the accumulated time of each kernel.
    profile: Option<Vec<KernelTime>>,
}

/// A global with a value.
struct Global {
    dims: Vec<usize>,
    /// One buffer, or one for each piece of a split weight.
    buffers: Vec<wgpu::Buffer>,
    bytes: usize,
    /// Host copy of i32 elements, which no launch changes; the checks of a call read it.
    integers: Option<Vec<u8>>,
}

impl Executor {
    /// Compiles the shaders of a program, which are in the order of its kernels.
    ///
    /// # Errors
    /// If the program does not verify, or a shader is not one of its kernels', needs what the adapter lacks, or does not
    /// compile.
    pub fn new(gpu: Gpu, program: Program, shaders: &[Shader]) -> Result<Executor> {
        Self::build(gpu, program, shaders, None)
    }

    /// As [`new`](Self::new), with the driver's pipeline cache of an earlier process, if the backend supports one. The cache is
    /// then stored; the second result is the error if that fails.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_cache(
        gpu: Gpu,
        program: Program,
        shaders: &[Shader],
        cache: &Cache,
    ) -> Result<(Executor, io::Result<()>)> {
        if !gpu.device.features().contains(Features::PIPELINE_CACHE) {
            return Ok((Self::new(gpu, program, shaders)?, Ok(())));
        }
        let identity = gpu.adapter.identity();
        let texts = shaders.iter().map(|shader| shader.text.as_str());
        let key = Cache::key(["pipelines", &identity].into_iter().chain(texts).map(str::as_bytes));
        let kept = cache.get::<()>(&key).map(|((), data)| data);
        let descriptor = PipelineCacheDescriptor { label: None, data: kept.as_deref(), fallback: true };
        // SAFETY: the bytes are whole, by their hash, and this driver gave them for this adapter, by the key.
        let pipelines = unsafe { gpu.device.create_pipeline_cache(&descriptor) };
        let executor = Self::build(gpu, program, shaders, Some(&pipelines))?;
        let outcome = match pipelines.get_data().filter(|_| kept.is_none()) {
            Some(data) => cache.put(&key, &(), &data),
            None => Ok(()),
        };
        Ok((executor, outcome))
    }

    fn build(gpu: Gpu, program: Program, shaders: &[Shader], pipelines: Option<&PipelineCache>) -> Result<Executor> {
        let Kernels { program, kernels, functions } = Kernels::build(&gpu, program, shaders, pipelines)?;
        let globals = program.globals.iter().map(|_| None).collect();
        let mut executor = Executor { gpu, program, kernels, globals, functions, profile: None };
        for index in 0..executor.program.globals.len() {
            executor.initialise(index)?;
        }
        Ok(executor)
    }

    /// Sets a global to its value in the module, if it has one.
    fn initialise(&mut self, index: usize) -> Result<()> {
        let global = &self.program.globals[index];
        let fail = |message: String| Error::Weight { name: global.name.clone(), message };
        let Some(bind::Constant { dims, bytes }) = bind::constant(global).map_err(fail)? else { return Ok(()) };
        let view = View { dims: &dims, element: global.ty.element, bytes: &bytes };
        let size = layout_bytes(&global.ty.bytes(global.layout), &[]).map_err(fail)?;
        self.put_weight(index, view, size)
    }

    /// Packs a tensor into a global, `bytes` in its layout.
    fn put_weight(&mut self, index: usize, weight: View, bytes: usize) -> Result<()> {
        let global = &self.program.globals[index];
        let name = &global.name;
        let fail = |message: String| Error::Weight { name: name.clone(), message };
        let buffers = self.buffers(&format!("the weight '{name}'"), &global.ty, global.layout, bytes)?;
        if global.layout == Layout::RowMajor {
            self.write_all(&buffers, weight.bytes);
        } else {
            let mut packed = vec![0; bytes];
            pack(global.layout, weight, &mut packed).map_err(fail)?;
            self.write_all(&buffers, &packed);
        }
        // Writes are buffered in host memory until they are submitted.
        self.gpu.queue.submit([]);
        self.gpu.check()?;
        let integers = (weight.element == Element::I32).then(|| weight.bytes.to_vec());
        self.globals[index] = Some(Global { dims: weight.dims.to_vec(), buffers, bytes, integers });
        self.functions.iter_mut().for_each(|bound| *bound = Bound::default());
        Ok(())
    }

    /// Compiles the shaders of another program, to be [exchanged](Self::exchange) for this one's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn load(&self, program: Program, shaders: &[Shader]) -> Result<Kernels> {
        Kernels::build(&self.gpu, program, shaders, None)
    }

    /// Swaps this executor's kernels with `other`'s; the old ones are left in `other`. Weights and state stay; they must be set
    /// before kernels that have been called are swapped out.
    ///
    /// # Errors
    /// If their globals, or a function's inputs or results, are not the same.
    pub fn exchange(&mut self, other: &mut Kernels) -> Result<()> {
        bind::check_exchange(&self.program, &other.program)?;
        std::mem::swap(&mut self.program, &mut other.program);
        std::mem::swap(&mut self.kernels, &mut other.kernels);
        std::mem::swap(&mut self.functions, &mut other.functions);
        self.profile = None;
        Ok(())
    }

    /// A zeroed buffer of `bytes`, rounded up to a multiple of 16; `fix` is the advice of the error if it is too large.
    fn buffer(&self, label: &str, bytes: usize, fix: &str) -> Result<wgpu::Buffer> {
        let size = (bytes.max(16) as u64).next_multiple_of(16);
        let most = self.binding_bytes();
        if size > most as u64 {
            return Err(Error::Gpu(format!("{label} has {size} bytes, and the adapter binds {most} at once; {fix}")));
        }
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffer = self.gpu.device.create_buffer(&BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        });
        self.gpu.check()?;
        Ok(buffer)
    }

    /// Maximum bytes of one binding: the limit that the program was compiled for, at most the adapter's.
    fn binding_bytes(&self) -> usize {
        let most = self.gpu.adapter.binding_bytes();
        self.program.binding_bytes.map_or(most, |bytes| bytes.min(most))
    }

    /// The buffers of a global or input: one, or one for each piece of a split weight.
    fn buffers(&self, label: &str, ty: &TensorType, layout: Layout, bytes: usize) -> Result<Vec<wgpu::Buffer>> {
        let Some(pieces) = self.program.pieces(ty, layout).map_err(Error::Program)? else {
            return Ok(vec![self.buffer(label, bytes, ROWS)?]);
        };
        let piece = |i: usize| self.buffer(label, bytes.saturating_sub(i * pieces.bytes).min(pieces.bytes), ROWS);
        (0..pieces.count).map(piece).collect()
    }

    /// Writes bytes into buffers one after another.
    fn write_all(&self, buffers: &[wgpu::Buffer], mut bytes: &[u8]) {
        for buffer in buffers {
            let (piece, rest) = bytes.split_at(bytes.len().min(buffer.size() as usize));
            self.write(buffer, piece);
            bytes = rest;
        }
    }

    /// Writes bytes, padded to whole words.
    fn write(&self, buffer: &wgpu::Buffer, bytes: &[u8]) {
        let whole = bytes.len() / 4 * 4;
        self.gpu.queue.write_buffer(buffer, 0, &bytes[..whole]);
        if whole < bytes.len() {
            let mut word = [0; 4];
            word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.gpu.queue.write_buffer(buffer, whole as u64, &word);
        }
    }
}

impl Execute for Executor {
    fn program(&self) -> &Program {
        &self.program
    }

    fn set_weight(&mut self, name: &str, weight: View) -> Result<()> {
        let index = bind::global(&self.program, name)?;
        let global = &self.program.globals[index];
        bind::check_settable(global)?;
        let fail = |message: String| Error::Weight { name: name.into(), message };
        let (_, bytes) = bind::weight_bytes(global, &weight).map_err(fail)?;
        self.put_weight(index, weight, bytes)
    }

    fn make_state(&mut self, name: &str, dims: &[usize]) -> Result<()> {
        let index = bind::global(&self.program, name)?;
        let fail = |message: String| Error::Weight { name: name.into(), message };
        let bytes = bind::state_bytes(&self.program.globals[index], dims).map_err(fail)?;
        if self.program.globals[index].value.is_some() {
            return self.initialise(index);
        }
        let fix = "give it fewer positions (--ctx)";
        let buffers = vec![self.buffer(&format!("the state '{name}'"), bytes, fix)?];
        let integers = (self.program.globals[index].ty.element == Element::I32).then(|| vec![0; bytes]);
        self.globals[index] = Some(Global { dims: dims.to_vec(), buffers, bytes, integers });
        self.functions.iter_mut().for_each(|bound| *bound = Bound::default());
        Ok(())
    }

    fn read_state(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let index = self.program.globals.iter().position(|g| g.name == name && g.mutable);
        let Some(global) = index.and_then(|index| self.globals[index].as_ref()) else { return Ok(None) };
        let [buffer] = &global.buffers[..] else {
            return Err(Error::Program(format!("the state '{name}' lies in several buffers")));
        };
        let mut read = self.read(vec![(buffer.clone(), global.bytes)])?;
        let mut encoder = self.encoder();
        read.copy(&mut encoder);
        self.gpu.queue.submit([encoder.finish()]);
        read.fetch(&self.gpu)?;
        read.bytes.truncate(global.bytes);
        Ok(Some(read.bytes))
    }

    fn run(&mut self, name: &str, inputs: &[View]) -> Result<usize> {
        let index = bind::function(&self.program, name)?;
        self.prepare(index, inputs).map_err(|error| error.of(name))?;
        let profiled = self.profile.is_some();
        if profiled {
            self.run_profiled(index)?;
        }
        let ready = self.functions[index].ready.take().filter(|_| !profiled);
        let commands = ready.unwrap_or_else(|| self.commands(index, !profiled));
        self.gpu.queue.submit([commands]);
        if !profiled {
            // Encode the next call while the GPU works: it is likely to have the same sizes.
            self.functions[index].ready = Some(self.commands(index, true));
        }
        if let Some(read) = &mut self.functions[index].read {
            read.fetch(&self.gpu)?;
        }
        Ok(index)
    }

    fn result(&self, function: usize, index: usize) -> Option<View<'_>> {
        let bound = self.functions.get(function)?;
        let range = bound.results.get(index)?.clone()?;
        let element = self.program.functions[function].outputs.get(index)?.ty.element;
        Some(View { dims: bound.shapes.get(index)?, element, bytes: &bound.read.as_ref()?.bytes[range] })
    }

    fn rerun(&mut self, name: &str, times: u64) -> Result<()> {
        let index = bind::function(&self.program, name)?;
        let bound = &self.functions[index];
        if bound.symbols.is_none() {
            let message = "must be called before it is run again".into();
            return Err(Error::Call { function: name.into(), message });
        }
        let mut encoder = self.encoder();
        self.encode(bound, times, &mut encoder);
        self.gpu.queue.submit([encoder.finish()]);
        self.gpu.wait()
    }

    fn start_profile(&mut self) -> Result<()> {
        if !self.gpu.device.features().contains(Features::TIMESTAMP_QUERY) {
            return Err(Error::Gpu(format!("{} has no timestamps to measure launches with", self.gpu.adapter.name())));
        }
        self.profile = Some(vec![KernelTime::default(); self.program.kernels.len()]);
        Ok(())
    }

    fn end_profile(&mut self) -> Option<Vec<KernelTime>> {
        self.profile.take()
    }

    fn machine(&self) -> String {
        self.gpu.adapter.name().to_owned()
    }

    fn is_gpu(&self) -> bool {
        true
    }

    fn threads(&self) -> usize {
        1
    }
}
