//! Runs the shaders of random kernels on this machine's GPU.

use kforge_lowering::to_wgsl::{Access, Argument, Shader, types::Scalar};
use kforge_test::gpu_kernels::{GROUP, GROUPS, Inputs, OUTPUTS};
use wgpu::{
    Backends, BindGroupDescriptor, BindGroupEntry, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType,
    Buffer, BufferBindingType, BufferDescriptor, BufferUsages, CommandEncoderDescriptor, ComputePassDescriptor,
    ComputePipelineDescriptor, DeviceDescriptor, Instance, InstanceDescriptor, MapMode, PipelineCompilationOptions,
    PipelineLayoutDescriptor, PollType, RequestAdapterOptions, ShaderModuleDescriptor, ShaderRuntimeChecks,
    ShaderSource, ShaderStages,
};

pub struct Device {
    device: wgpu::Device,
    queue: wgpu::Queue,
}

impl Device {
    /// The first adapter; a software one will do.
    pub fn open() -> Device {
        let mut descriptor = InstanceDescriptor::new_without_display_handle();
        descriptor.backends = Backends::PRIMARY;
        let instance = Instance::new(descriptor);
        let adapter = pollster::block_on(instance.request_adapter(&RequestAdapterOptions::default()))
            .expect("an adapter: `make setup` installs a software one");
        let (device, queue) =
            pollster::block_on(adapter.request_device(&DeviceDescriptor::default())).expect("the adapter opens");
        Device { device, queue }
    }

    fn buffer(&self, bytes: &[u8], usage: BufferUsages) -> Buffer {
        let size = bytes.len() as u64;
        let usage = usage | BufferUsages::COPY_DST;
        let buffer =
            self.device.create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
        self.queue.write_buffer(&buffer, 0, bytes);
        buffer
    }

    /// Runs a random kernel and returns what it stores. An error of wgpu panics.
    pub fn run(&self, shader: &Shader, inputs: &Inputs) -> (Vec<i32>, Vec<f32>) {
        let words = GROUPS * GROUP * OUTPUTS;
        let mut uniform = vec![0; 16];
        let mut scalars = [inputs.n.to_le_bytes(), inputs.s.to_le_bytes()].into_iter();
        let ints: Vec<u8> = inputs.ints.iter().flat_map(|x| x.to_le_bytes()).collect();
        let floats: Vec<u8> = inputs.floats.iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut contents = [ints, floats, vec![0xff; 4 * words], vec![0xff; 4 * words]].into_iter();
        let mut buffers = vec![];
        let mut kinds = vec![];
        for argument in &shader.arguments {
            match argument {
                Argument::Buffer { access, .. } => {
                    let bytes = contents.next().expect("a kernel has four buffers");
                    buffers.push(self.buffer(&bytes, BufferUsages::STORAGE | BufferUsages::COPY_SRC));
                    kinds.push(BufferBindingType::Storage { read_only: *access == Access::Read });
                }
                Argument::Scalar { offset, scalar } => {
                    assert!(matches!(scalar, Scalar::I32 | Scalar::F32), "{scalar:?}");
                    let at = *offset as usize;
                    uniform[at..at + 4].copy_from_slice(&scalars.next().expect("a kernel has two scalars"));
                }
            }
        }
        buffers.push(self.buffer(&uniform, BufferUsages::UNIFORM));
        kinds.push(BufferBindingType::Uniform);
        self.dispatch(shader, &buffers, &kinds);
        let [ints, floats] = [2, 3].map(|i| self.read(&buffers[i]));
        let ints = ints.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect();
        (ints, floats.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn dispatch(&self, shader: &Shader, buffers: &[Buffer], kinds: &[BufferBindingType]) {
        let device = &self.device;
        let entry = |(binding, ty): (usize, &BufferBindingType)| BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: ShaderStages::COMPUTE,
            ty: BindingType::Buffer { ty: *ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let entries: Vec<_> = kinds.iter().enumerate().map(entry).collect();
        let layout = device.create_bind_group_layout(&BindGroupLayoutDescriptor { label: None, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let source = ShaderSource::Wgsl(shader.text.as_str().into());
        let descriptor = ShaderModuleDescriptor { label: None, source };
        // SAFETY: random kernels stay in bounds and terminate, and the executor creates its shaders the same way.
        let module = unsafe { device.create_shader_module_trusted(descriptor, ShaderRuntimeChecks::unchecked()) };
        let pipeline = device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: None,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(&shader.entry),
            compilation_options: PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        let numbered = buffers.iter().zip(0..);
        let entries: Vec<_> = numbered
            .map(|(buffer, binding)| BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let group = device.create_bind_group(&BindGroupDescriptor { label: None, layout: &layout, entries: &entries });
        let mut encoder = device.create_command_encoder(&CommandEncoderDescriptor::default());
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(GROUPS as u32, 1, 1);
        drop(pass);
        self.queue.submit([encoder.finish()]);
    }

    fn read(&self, buffer: &Buffer) -> Vec<u8> {
        let staging = self.device.create_buffer(&BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: BufferUsages::MAP_READ | BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
        self.queue.submit([encoder.finish()]);
        staging.map_async(MapMode::Read, .., |outcome| outcome.expect("the memory is mapped"));
        self.device.poll(PollType::wait_indefinitely()).expect("the device answers");
        staging.get_mapped_range(..).expect("the memory is mapped").to_vec()
    }
}
