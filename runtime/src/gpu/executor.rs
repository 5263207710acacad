//! Binds a program's buffers on a GPU and runs its functions.
//!
//! The first call with given sizes allocates what calls of these sizes need: a buffer for each input, result and
//! intermediate (intermediates with disjoint lifetimes share one), the scalars of all launches in one uniform buffer, and a
//! bind group for each launch. A later call with the same sizes only writes the inputs, submits one command buffer and reads
//! the results. A decode step is such a call: position and token id are inputs.

use super::Gpu;
use crate::{
    Error, Execute, KernelTime, Result, View,
    bind::{self, CallError, layout_bytes, pack},
    cache::Cache,
    check::check_values,
};
use kforge_program::{Buffer, Element, Function, Layout, Program, Shader, TensorType};
use std::{io, ops::Range, slice, sync::mpsc, thread, time::Duration};
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry,
    BindingType, BufferBinding, BufferBindingType, BufferDescriptor, BufferUsages, CommandBuffer, CommandEncoder,
    CommandEncoderDescriptor, ComputePassDescriptor, ComputePassTimestampWrites, ComputePipeline,
    ComputePipelineDescriptor, Features, MapMode, PipelineCache, PipelineCacheDescriptor, PipelineCompilationOptions,
    PipelineLayoutDescriptor, QuerySet, QuerySetDescriptor, QueryType, ShaderModuleDescriptor, ShaderRuntimeChecks,
    ShaderSource, ShaderStages,
};

/// Maximum number of workgroups along an axis.
const GRID: u64 = 65535;
/// Advice of an error: what makes an activation smaller.
const ROWS: &str = "give fewer rows at once, or a shorter prompt";
/// Maximum number of timestamps in a query set.
const QUERIES: usize = 4096;

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

/// Other kernels for an executor: a program with the same globals, inputs and results, and its shaders.
pub struct Kernels {
    program: Program,
    kernels: Vec<Kernel>,
    functions: Vec<Bound>,
}

struct Kernel {
    pipeline: ComputePipeline,
    layout: BindGroupLayout,
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

/// What a function's last call bound.
#[derive(Default)]
struct Bound {
    symbols: Option<Vec<i64>>,
    /// For each input its buffer, or one for each piece of a split weight.
    inputs: Vec<Vec<wgpu::Buffer>>,
    shapes: Vec<Vec<usize>>,
    dispatches: Vec<Dispatch>,
    /// For each result that is read back, its byte range in the staging buffer.
    results: Vec<Option<Range<usize>>>,
    read: Option<Read>,
    /// Commands encoded in advance for the next call, if it has the same sizes.
    ready: Option<CommandBuffer>,
}

struct Dispatch {
    kernel: usize,
    group: BindGroup,
    grid: [u32; 2],
}

/// Prefixes of buffers, each at a word-aligned offset, and the staging buffer through which all are read back at once.
struct Read {
    sources: Vec<(wgpu::Buffer, usize)>,
    staging: wgpu::Buffer,
    bytes: Vec<u8>,
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

    fn prepare(&mut self, index: usize, inputs: &[View]) -> Result<(), CallError> {
        let function = &self.program.functions[index];
        let dims = |global: usize| self.globals[global].as_ref().map(|global| &global.dims[..]);
        let symbols = bind::symbols(&self.program, function, inputs, dims)?;
        let integers = |global: usize| {
            let global = self.globals[global].as_ref()?;
            Some((&global.dims[..], global.integers.as_deref()?))
        };
        check_values(&self.program, function, inputs, &symbols, integers)?;
        for (i, global) in self.program.globals.iter().enumerate() {
            let is_used = || function.launches.iter().any(|l| l.buffers.contains(&Buffer::Global(i)));
            if self.globals[i].is_none() && is_used() {
                return Err(CallError::Message(format!("the global '{}' has no value", global.name)));
            }
        }
        if self.functions[index].symbols.as_ref() != Some(&symbols) {
            self.functions[index] = Bound::default();
            let bound = self.bind(function, symbols)?;
            self.functions[index] = bound;
        }
        let bound = &self.functions[index];
        for ((port, input), buffers) in function.inputs.iter().zip(inputs).zip(&bound.inputs) {
            if port.layout == Layout::RowMajor {
                self.write_all(buffers, input.bytes);
                continue;
            }
            let symbols = bound.symbols.as_deref().unwrap_or_default();
            let mut packed = vec![0; layout_bytes(&port.ty.bytes(port.layout), symbols)?];
            pack(port.layout, *input, &mut packed)?;
            self.write_all(buffers, &packed);
        }
        Ok(())
    }

    /// Allocates what calls with these sizes need.
    fn bind(&self, function: &Function, symbols: Vec<i64>) -> Result<Bound, CallError> {
        let size = |expr: &kforge_program::Expr| layout_bytes(expr, &symbols);
        let mut inputs = vec![];
        for port in &function.inputs {
            let label = format!("the input '{}'", port.name);
            inputs.push(self.buffers(&label, &port.ty, port.layout, size(&port.ty.bytes(port.layout))?)?);
        }
        let mut outputs = vec![];
        for (i, output) in function.outputs.iter().enumerate() {
            let own = output.buffer == Buffer::Output(i);
            let bytes = if own { size(&output.ty.bytes(Layout::RowMajor))? } else { 0 };
            outputs.push(self.buffer(&format!("result {i}"), bytes, ROWS)?);
        }
        let locals = self.locals(function, &symbols)?;
        let shapes = bind::result_shapes(function, &symbols)?;
        let place = |buffer: Buffer| match buffer {
            Buffer::Input(i) => Ok(&inputs[i][..]),
            Buffer::Output(i) => Ok(slice::from_ref(&outputs[i])),
            Buffer::Local(i) => Ok(slice::from_ref(&locals[i])),
            Buffer::Global(i) => match &self.globals[i] {
                Some(global) => Ok(&global.buffers[..]),
                None => Err(format!("the global '{}' has no value", self.program.globals[i].name)),
            },
        };
        // Scalars of all launches, each launch's at an aligned offset.
        let step = self.gpu.adapter.limits().min_uniform_buffer_offset_alignment.max(4) as usize;
        let (mut words, mut planned) = (vec![], vec![]);
        for launch in &function.launches {
            let tasks = size(&launch.tasks)? as u64;
            if tasks == 0 {
                continue;
            }
            let offset = 4 * words.len();
            for scalar in &launch.scalars {
                let value = scalar.eval(&symbols)?;
                let value =
                    i32::try_from(value).map_err(|_| format!("the size {value} is more than a GPU's kernel takes"))?;
                words.push(value);
            }
            let down = tasks.div_ceil(GRID);
            if down > GRID {
                return Err(CallError::Message(format!("{tasks} workgroups are more than a GPU takes at once")));
            }
            words.push(i32::try_from(tasks).map_err(|_| format!("{tasks} workgroups are too many"))?);
            let bytes = 4 * words.len() - offset;
            words.resize(words.len().next_multiple_of(step / 4), 0);
            planned.push((launch, [tasks.div_ceil(down) as u32, down as u32], offset as u64, bytes as u64));
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let uniforms = self.gpu.device.create_buffer(&BufferDescriptor {
            label: Some("scalars"),
            size: bytes.len().max(4) as u64,
            usage: BufferUsages::UNIFORM | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.gpu.queue.write_buffer(&uniforms, 0, &bytes);
        let mut dispatches = vec![];
        for (launch, grid, offset, bytes) in planned {
            let mut entries = vec![];
            for buffer in &launch.buffers {
                for buffer in place(*buffer)? {
                    entries
                        .push(BindGroupEntry { binding: entries.len() as u32, resource: buffer.as_entire_binding() });
                }
            }
            entries.push(BindGroupEntry {
                binding: entries.len() as u32,
                resource: wgpu::BindingResource::Buffer(BufferBinding {
                    buffer: &uniforms,
                    offset,
                    size: std::num::NonZero::new(bytes),
                }),
            });
            let layout = &self.kernels[launch.kernel].layout;
            let descriptor = BindGroupDescriptor { label: None, layout, entries: &entries };
            let group = self.gpu.device.create_bind_group(&descriptor);
            dispatches.push(Dispatch { kernel: launch.kernel, group, grid });
        }
        let (mut results, mut sources, mut end) = (vec![], vec![], 0);
        for (output, dims) in function.outputs.iter().zip(&shapes) {
            let layout = match output.buffer {
                Buffer::Output(_) => Layout::RowMajor,
                Buffer::Input(i) => function.inputs[i].layout,
                Buffer::Global(i) => self.program.globals[i].layout,
                Buffer::Local(_) => return Err(CallError::Message("a result is no intermediate".into())),
            };
            let bytes = output.ty.element.tensor_bytes(dims).filter(|_| layout == Layout::RowMajor);
            results.push(bytes.map(|bytes| end..end + bytes));
            if let Some(bytes) = bytes {
                let [buffer] = place(output.buffer)? else {
                    return Err(CallError::Message("a result is no weight in several buffers".into()));
                };
                sources.push((buffer.clone(), bytes));
                end += bytes.next_multiple_of(4);
            }
        }
        let read = Some(self.read(sources)?);
        Ok(Bound { symbols: Some(symbols), inputs, shapes, dispatches, results, read, ready: None })
    }

    /// Buffers of the intermediates: a buffer that no later launch needs is reused for the next intermediate that fits.
    fn locals(&self, function: &Function, symbols: &[i64]) -> Result<Vec<wgpu::Buffer>, CallError> {
        let mut order: Vec<usize> = (0..function.locals.len()).collect();
        order.sort_by_key(|i| function.locals[*i].first);
        let mut places: Vec<Option<wgpu::Buffer>> = vec![None; function.locals.len()];
        // Buffers in use, with the last launch that uses each.
        let mut pool: Vec<(wgpu::Buffer, usize)> = vec![];
        for i in order {
            let local = &function.locals[i];
            let bytes = layout_bytes(&local.bytes, symbols)?.max(4);
            let free = pool.iter_mut().filter(|(buffer, last)| *last < local.first && buffer.size() >= bytes as u64);
            let buffer = match free.min_by_key(|(buffer, _)| buffer.size()) {
                Some((buffer, last)) => {
                    *last = local.last;
                    buffer.clone()
                }
                None => {
                    let buffer = self.buffer("an intermediate", bytes, ROWS)?;
                    pool.push((buffer.clone(), local.last));
                    buffer
                }
            };
            places[i] = Some(buffer);
        }
        Ok(places.into_iter().flatten().collect())
    }

    /// A staging buffer to read back the given number of bytes of each buffer.
    fn read(&self, sources: Vec<(wgpu::Buffer, usize)>) -> Result<Read> {
        let bytes: usize = sources.iter().map(|(_, bytes)| bytes.next_multiple_of(4)).sum();
        let staging = self.gpu.device.create_buffer(&BufferDescriptor {
            label: Some("read back"),
            size: bytes.max(4) as u64,
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.gpu.check()?;
        Ok(Read { sources, staging, bytes: vec![0; bytes] })
    }

    /// All launches of a function, one after another, `times` times.
    fn encode(&self, bound: &Bound, times: u64, encoder: &mut CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        for dispatch in (0..times).flat_map(|_| &bound.dispatches) {
            pass.set_pipeline(&self.kernels[dispatch.kernel].pipeline);
            pass.set_bind_group(0, &dispatch.group, &[]);
            pass.dispatch_workgroups(dispatch.grid[0], dispatch.grid[1], 1);
        }
    }

    /// The commands of a call: the launches, unless they have already run, and the copies of results to the staging buffer.
    fn commands(&self, index: usize, launches: bool) -> CommandBuffer {
        let bound = &self.functions[index];
        let mut encoder = self.encoder();
        if launches {
            self.encode(bound, 1, &mut encoder);
        }
        if let Some(read) = &bound.read {
            read.copy(&mut encoder);
        }
        encoder.finish()
    }

    fn encoder(&self) -> CommandEncoder {
        self.gpu.device.create_command_encoder(&CommandEncoderDescriptor::default())
    }

    /// The same, with the time of each launch.
    fn run_profiled(&mut self, index: usize) -> Result<()> {
        let bound = &self.functions[index];
        let mut times = vec![];
        for dispatches in bound.dispatches.chunks(QUERIES / 2) {
            let count = 2 * dispatches.len() as u32;
            let set =
                self.gpu.device.create_query_set(&QuerySetDescriptor { label: None, ty: QueryType::Timestamp, count });
            let mut encoder = self.encoder();
            for (i, dispatch) in dispatches.iter().enumerate() {
                let mut pass = encoder.begin_compute_pass(&timed(&set, 2 * i as u32));
                pass.set_pipeline(&self.kernels[dispatch.kernel].pipeline);
                pass.set_bind_group(0, &dispatch.group, &[]);
                pass.dispatch_workgroups(dispatch.grid[0], dispatch.grid[1], 1);
            }
            let bytes = 8 * u64::from(count);
            let resolved = self.gpu.device.create_buffer(&BufferDescriptor {
                label: Some("timestamps"),
                size: bytes,
                usage: BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            let mut read = self.read(vec![(resolved.clone(), bytes as usize)])?;
            encoder.resolve_query_set(&set, 0..count, &resolved, 0);
            read.copy(&mut encoder);
            self.gpu.queue.submit([encoder.finish()]);
            read.fetch(&self.gpu)?;
            let period = f64::from(self.gpu.queue.get_timestamp_period());
            let stamps: Vec<u64> = read.bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect();
            for (dispatch, stamps) in dispatches.iter().zip(stamps.as_chunks::<2>().0) {
                let nanoseconds = stamps[1].saturating_sub(stamps[0]) as f64 * period;
                times.push((dispatch.kernel, Duration::from_nanos(nanoseconds as u64)));
            }
        }
        if let Some(profile) = &mut self.profile {
            times.into_iter().for_each(|(kernel, time)| profile[kernel].add(time));
        }
        Ok(())
    }
}

impl Kernels {
    fn build(gpu: &Gpu, program: Program, shaders: &[Shader], pipelines: Option<&PipelineCache>) -> Result<Kernels> {
        program.verify().map_err(Error::Program)?;
        if program.kernels.len() != shaders.len() {
            return Err(Error::Program("there must be a shader for each kernel".into()));
        }
        for (kernel, shader) in program.kernels.iter().zip(shaders) {
            if kernel.name != shader.kernel || kernel.scalars != shader.scalars {
                return Err(Error::Program(format!("the shader '{}' is not of '{}'", shader.kernel, kernel.name)));
            }
            check_needs(gpu, shader)?;
        }
        for function in &program.functions {
            check_bindings(&program, function, shaders).map_err(Error::Program)?;
        }
        let kernels: Vec<Kernel> = thread::scope(|scope| {
            let threads: Vec<_> =
                shaders.iter().map(|shader| scope.spawn(|| Kernel::new(gpu, shader, pipelines))).collect();
            threads.into_iter().map(|thread| thread.join().expect("wgpu reports errors and does not panic")).collect()
        });
        gpu.check()?;
        let functions = program.functions.iter().map(|_| Bound::default()).collect();
        Ok(Kernels { program, kernels, functions })
    }
}

/// A compute pass between timestamps `first` and `first + 1`.
fn timed(set: &QuerySet, first: u32) -> ComputePassDescriptor<'_> {
    ComputePassDescriptor {
        label: None,
        timestamp_writes: Some(ComputePassTimestampWrites {
            query_set: set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }),
    }
}

impl Read {
    fn copy(&self, encoder: &mut CommandEncoder) {
        let mut at = 0;
        for (source, bytes) in &self.sources {
            let size = bytes.next_multiple_of(4) as u64;
            encoder.copy_buffer_to_buffer(source, 0, &self.staging, at, size);
            at += size;
        }
    }

    /// Waits for the submitted commands and returns the copied results.
    fn fetch(&mut self, gpu: &Gpu) -> Result<()> {
        let (sender, receiver) = mpsc::channel();
        self.staging.map_async(MapMode::Read, .., move |outcome| {
            // The receiver outlives the call unless waiting has failed, which is reported there.
            let _ = sender.send(outcome);
        });
        gpu.wait()?;
        let outcome = receiver.recv().map_err(|_| Error::Gpu("it did not answer".into()))?;
        outcome.map_err(|e| Error::Gpu(format!("results cannot be read back: {e}")))?;
        let view = self.staging.get_mapped_range(..).map_err(|e| Error::Gpu(format!("results are not mapped: {e}")))?;
        let length = self.bytes.len();
        self.bytes.copy_from_slice(&view[..length]);
        drop(view);
        self.staging.unmap();
        Ok(())
    }
}

/// Whether the shaders of a function's launches have a binding for each buffer of the launch, and are read-only where the
/// kernel does not write.
fn check_bindings(program: &Program, function: &Function, shaders: &[Shader]) -> Result<(), String> {
    for launch in &function.launches {
        let (kernel, shader) = (&program.kernels[launch.kernel], &shaders[launch.kernel]);
        let mut writes = vec![];
        for (buffer, access) in launch.buffers.iter().zip(&kernel.params) {
            let pieces = match *buffer {
                Buffer::Input(i) => program.pieces(&function.inputs[i].ty, function.inputs[i].layout)?,
                Buffer::Global(i) => program.pieces(&program.globals[i].ty, program.globals[i].layout)?,
                Buffer::Output(_) | Buffer::Local(_) => None,
            };
            writes.extend(vec![access.writes(); pieces.map_or(1, |pieces| pieces.count)]);
        }
        let mut bound = writes.iter().zip(&shader.writable);
        if writes.len() != shader.writable.len() || bound.any(|(writes, writable)| *writable && !writes) {
            return Err(format!(
                "the shader '{}' has not the buffers of a launch in '{}'",
                shader.kernel, function.name
            ));
        }
    }
    Ok(())
}

/// Whether the adapter has the features and limits that a shader needs.
fn check_needs(gpu: &Gpu, shader: &Shader) -> Result<()> {
    let features = gpu.device.features();
    let limits = gpu.adapter.limits();
    let threads: u64 = shader.threads.iter().map(|n| u64::from(*n)).product();
    let needs = [
        (!shader.f16 || features.contains(Features::SHADER_F16), "f16".to_owned()),
        (!shader.subgroups || features.contains(Features::SUBGROUP), "subgroups".to_owned()),
        (
            !shader.cooperative_matrices || features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
            "cooperative matrices".to_owned(),
        ),
        (threads <= u64::from(limits.max_compute_invocations_per_workgroup), format!("{threads} threads a workgroup")),
        (
            shader.workgroup_bytes <= u64::from(limits.max_compute_workgroup_storage_size),
            format!("{} bytes a workgroup", shader.workgroup_bytes),
        ),
        (
            shader.writable.len() <= limits.max_storage_buffers_per_shader_stage as usize,
            format!("{} buffers", shader.writable.len()),
        ),
    ];
    match needs.into_iter().find(|(has, _)| !has) {
        Some((_, need)) => {
            Err(Error::Gpu(format!("'{}' needs {need}, which {} has not", shader.kernel, gpu.adapter.name())))
        }
        None => Ok(()),
    }
}

impl Kernel {
    fn new(gpu: &Gpu, shader: &Shader, pipelines: Option<&PipelineCache>) -> Kernel {
        let entry = |(binding, ty): (usize, BufferBindingType)| BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: ShaderStages::COMPUTE,
            ty: BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let buffers = shader.writable.iter().map(|writable| BufferBindingType::Storage { read_only: !writable });
        let entries: Vec<_> = buffers.chain([BufferBindingType::Uniform]).enumerate().map(entry).collect();
        let label = Some(shader.kernel.as_str());
        let layout = gpu.device.create_bind_group_layout(&BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = gpu.device.create_pipeline_layout(&PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let descriptor = ShaderModuleDescriptor { label, source: ShaderSource::Wgsl(shader.text.as_str().into()) };
        // SAFETY: the program was verified and its sizes are checked at every call: a generated kernel stays within its
        // buffers, and its loops end.
        let module = unsafe { gpu.device.create_shader_module_trusted(descriptor, ShaderRuntimeChecks::unchecked()) };
        let pipeline = gpu.device.create_compute_pipeline(&ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(&shader.entry),
            compilation_options: PipelineCompilationOptions {
                // A kernel reads workgroup memory only after writing it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: pipelines,
        });
        Kernel { pipeline, layout }
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
