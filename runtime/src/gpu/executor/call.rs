//! What a call of given sizes needs: its buffers, bind groups and commands.

use super::{Executor, ROWS, read::Read};
use crate::{
    View,
    bind::{self, CallError, layout_bytes, pack},
    check::check_values,
};
use kforge_program::{Buffer, Function, Layout};
use std::{ops::Range, slice};
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BufferBinding, BufferDescriptor, BufferUsages, CommandBuffer,
    CommandEncoder, CommandEncoderDescriptor, ComputePassDescriptor,
};

/// Maximum number of workgroups along an axis.
const GRID: u64 = 65535;

/// What a function's last call bound.
#[derive(Default)]
pub(super) struct Bound {
    pub symbols: Option<Vec<i64>>,
    /// For each input its buffer, or one for each piece of a split weight.
    pub inputs: Vec<Vec<wgpu::Buffer>>,
    pub shapes: Vec<Vec<usize>>,
    pub dispatches: Vec<Dispatch>,
    /// For each result that is read back, its byte range in the staging buffer.
    pub results: Vec<Option<Range<usize>>>,
    pub read: Option<Read>,
    /// Commands encoded in advance for the next call, if it has the same sizes.
    pub ready: Option<CommandBuffer>,
}

pub(super) struct Dispatch {
    pub kernel: usize,
    pub group: BindGroup,
    pub grid: [u32; 2],
}

impl Executor {
    /// Binds the sizes of a call, unless the last call had the same, and writes its inputs.
    pub(super) fn prepare(&mut self, index: usize, inputs: &[View]) -> Result<(), CallError> {
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

    /// All launches of a function, one after another, `times` times.
    pub(super) fn encode(&self, bound: &Bound, times: u64, encoder: &mut CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        for dispatch in (0..times).flat_map(|_| &bound.dispatches) {
            pass.set_pipeline(&self.kernels[dispatch.kernel].pipeline);
            pass.set_bind_group(0, &dispatch.group, &[]);
            pass.dispatch_workgroups(dispatch.grid[0], dispatch.grid[1], 1);
        }
    }

    /// The commands of a call: the launches, unless they have already run, and the copies of results to the staging buffer.
    pub(super) fn commands(&self, index: usize, launches: bool) -> CommandBuffer {
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

    pub(super) fn encoder(&self) -> CommandEncoder {
        self.gpu.device.create_command_encoder(&CommandEncoderDescriptor::default())
    }
}
