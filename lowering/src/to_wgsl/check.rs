//! Runs naga on a shader: its validator, and the writers that show what a driver gets.
//!
//! Every shader that this crate returns should be valid; one that is not is a bug of the translation, and the message
//! shows the line. Limits of an API are checked before its writer runs.

use super::{Argument, Features, Shader};
use naga::{
    CooperativeSize, Module, ShaderStage, Type, TypeInner,
    back::{hlsl, msl, spv},
    front::wgsl,
    valid::{Capabilities, ModuleInfo, ValidationFlags, Validator},
};

/// Threadgroup memory of every Metal device.
pub const METAL_WORKGROUP_BYTES: u64 = 32 << 10;
/// Threads of a threadgroup on every Metal device.
pub const METAL_WORKGROUP_THREADS: u64 = 1024;

/// Groupshared memory, and threads of a group, on every device of DirectX 12.
pub const DIRECTX_WORKGROUP_BYTES: u64 = 32 << 10;
pub const DIRECTX_WORKGROUP_THREADS: u64 = 1024;

/// Why a shader is invalid or cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CheckError(pub String);

type Result<T> = std::result::Result<T, CheckError>;

/// A shader that naga has parsed and found valid.
#[derive(Debug)]
pub struct Valid<'s> {
    shader: &'s Shader,
    module: Module,
    info: ModuleInfo,
}

impl Features {
    /// The naga capabilities that the shader needs, and no others.
    pub fn capabilities(self) -> Capabilities {
        let mut capabilities = Capabilities::empty();
        capabilities.set(Capabilities::SHADER_FLOAT16, self.f16);
        capabilities.set(Capabilities::SHADER_FLOAT16_IN_FLOAT32, self.packed_halves);
        capabilities.set(Capabilities::SUBGROUP, self.subgroups);
        capabilities.set(Capabilities::COOPERATIVE_MATRIX, self.cooperative_matrices);
        capabilities
    }
}

/// Parses and validates a shader with the features that it says it needs.
///
/// # Errors
/// naga's message, with the line.
pub fn validate(shader: &Shader) -> Result<Valid<'_>> {
    let invalid = |message: String| {
        CheckError(format!("the WGSL of @{} is not valid, a mistake of the translation: {message}", shader.kernel))
    };
    let capabilities = shader.features.capabilities();
    let options = wgsl::Options { parse_doc_comments: false, capabilities };
    let module = wgsl::Frontend::new_with_options(options)
        .parse(&shader.text)
        .map_err(|e| invalid(e.emit_to_string(&shader.text)))?;
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|e| invalid(e.emit_to_string(&shader.text)))?;
    Ok(Valid { shader, module, info })
}

impl Valid<'_> {
    fn fails(&self, language: &str, error: impl std::fmt::Display) -> CheckError {
        CheckError(format!("@{} has no {language}: {error}", self.shader.kernel))
    }

    /// The shader in MSL, with buffer i at `[[buffer(i)]]`.
    ///
    /// # Errors
    /// A limit of Metal, or the writer's message.
    pub fn msl(&self) -> Result<String> {
        self.fits("MSL", ("Metal", METAL_WORKGROUP_THREADS, METAL_WORKGROUP_BYTES))?;
        let is_large =
            |ty: &Type| matches!(ty.inner, TypeInner::CooperativeMatrix { columns: CooperativeSize::Sixteen, .. });
        if self.module.types.iter().any(|(_, ty)| is_large(ty)) {
            return Err(self.fails("MSL", "Metal's matrices are 8x8"));
        }
        let mut resources = msl::EntryPointResources::default();
        for (binding, mutable) in self.bindings() {
            let target = msl::BindTarget { buffer: u8::try_from(binding).ok(), mutable, ..Default::default() };
            resources.resources.insert(naga::ResourceBinding { group: 0, binding }, target);
        }
        resources.sizes_buffer = u8::try_from(self.bindings().count()).ok();
        let options = msl::Options {
            lang_version: (3, 0),
            per_entry_point_map: [(self.shader.entry.clone(), resources)].into_iter().collect(),
            fake_missing_bindings: false,
            ..Default::default()
        };
        let pipeline = msl::PipelineOptions { entry_point: self.entry_point(), ..Default::default() };
        let (text, info) =
            msl::write_string(&self.module, &self.info, &options, &pipeline).map_err(|e| self.fails("MSL", e))?;
        for name in info.entry_point_names {
            name.map_err(|e| self.fails("MSL", e))?;
        }
        Ok(text)
    }

    /// The shader for Vulkan: the words of a SPIR-V module.
    ///
    /// # Errors
    /// The writer's message.
    pub fn spirv(&self) -> Result<Vec<u32>> {
        let flags = spv::WriterFlags::DEBUG | spv::WriterFlags::LABEL_VARYINGS;
        // Subgroups need 1.3; matrices need the memory model of 1.5.
        let lang_version = if self.shader.features.cooperative_matrices { (1, 6) } else { (1, 3) };
        let options = spv::Options { lang_version, flags, ..Default::default() };
        let pipeline =
            spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: self.shader.entry.clone() };
        spv::write_vec(&self.module, &self.info, &options, Some(&pipeline)).map_err(|e| self.fails("SPIR-V", e))
    }

    /// The shader in HLSL.
    ///
    /// # Errors
    /// A limit of DirectX, or the writer's message.
    pub fn hlsl(&self) -> Result<String> {
        if self.shader.features.cooperative_matrices {
            return Err(self.fails("HLSL", "it has no cooperative matrices"));
        }
        self.fits("HLSL", ("DirectX", DIRECTX_WORKGROUP_THREADS, DIRECTX_WORKGROUP_BYTES))?;
        let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_2, ..Default::default() };
        let pipeline = hlsl::PipelineOptions { entry_point: self.entry_point() };
        let mut text = String::new();
        hlsl::Writer::new(&mut text, &options, &pipeline)
            .write(&self.module, &self.info, None)
            .map_err(|e| self.fails("HLSL", e))?;
        Ok(text)
    }

    /// Checks a workgroup's threads and bytes against the limits of `who`.
    fn fits(&self, language: &str, (who, most_threads, most_bytes): (&str, u64, u64)) -> Result<()> {
        let Shader { workgroup_size, workgroup_bytes, .. } = self.shader;
        let threads: u64 = workgroup_size.iter().map(|size| u64::from(*size)).product();
        if threads > most_threads {
            let message = format!("a workgroup has {threads} threads, and {who} takes at most {most_threads}");
            return Err(self.fails(language, message));
        }
        if *workgroup_bytes > most_bytes {
            let message =
                format!("a workgroup has {workgroup_bytes} bytes of memory, and {who} takes at most {most_bytes}");
            return Err(self.fails(language, message));
        }
        Ok(())
    }

    fn entry_point(&self) -> Option<(ShaderStage, String)> {
        Some((ShaderStage::Compute, self.shader.entry.clone()))
    }

    /// Buffer bindings, and whether each is written.
    fn bindings(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        let buffers = self.shader.arguments.iter().filter_map(|argument| match argument {
            Argument::Buffer { binding, access, .. } => Some((*binding, *access == super::Access::ReadWrite)),
            Argument::Scalar { .. } => None,
        });
        buffers.chain(self.shader.uniform.map(|uniform| (uniform.binding, false)))
    }
}
