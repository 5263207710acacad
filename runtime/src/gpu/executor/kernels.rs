//! The compute pipelines of a program's kernels.

use super::call::Bound;
use crate::{Error, Result, gpu::Gpu};
use kforge_program::{Buffer, Function, Program, Shader};
use std::thread;
use wgpu::{
    BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType, BufferBindingType, ComputePipeline,
    ComputePipelineDescriptor, Features, PipelineCache, PipelineCompilationOptions, PipelineLayoutDescriptor,
    ShaderModuleDescriptor, ShaderRuntimeChecks, ShaderSource, ShaderStages,
};

/// Other kernels for an executor: a program with the same globals, inputs and results, and its shaders.
pub struct Kernels {
    pub(super) program: Program,
    pub(super) kernels: Vec<Kernel>,
    pub(super) functions: Vec<Bound>,
}

pub(super) struct Kernel {
    pub pipeline: ComputePipeline,
    pub layout: BindGroupLayout,
}

impl Kernels {
    pub(super) fn build(
        gpu: &Gpu,
        program: Program,
        shaders: &[Shader],
        pipelines: Option<&PipelineCache>,
    ) -> Result<Kernels> {
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
