//! Adapters and open devices.

use crate::{Error, Result};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use wgpu::{
    Backends, DeviceDescriptor, DeviceType, ExperimentalFeatures, Features, Instance, InstanceDescriptor, Limits,
    MemoryHints, PollType,
};

/// Time limit for one submission; a GPU that exceeds it is treated as hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// A GPU that wgpu can use, with the features and limits that kernels may use.
#[derive(Clone, Debug)]
pub struct Adapter {
    adapter: wgpu::Adapter,
    info: wgpu::AdapterInfo,
    number: usize,
}

/// Every adapter of this machine; hardware first.
pub fn adapters() -> Vec<Adapter> {
    let mut descriptor = InstanceDescriptor::new_without_display_handle();
    descriptor.backends = Backends::PRIMARY;
    let found = pollster::block_on(Instance::new(descriptor).enumerate_adapters(Backends::PRIMARY));
    let mut adapters: Vec<Adapter> =
        found.into_iter().map(|adapter| Adapter { info: adapter.get_info(), adapter, number: 0 }).collect();
    adapters.sort_by_key(|adapter| match adapter.info.device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    });
    adapters.iter_mut().enumerate().for_each(|(i, adapter)| adapter.number = i);
    adapters
}

impl Adapter {
    /// The adapter whose number is `wanted`, or whose name contains it; the first if `wanted` is `None`.
    ///
    /// # Errors
    /// If there is none.
    pub fn choose(wanted: Option<&str>) -> Result<Adapter> {
        let all = adapters();
        let names: Vec<String> = all.iter().enumerate().map(|(i, a)| format!("{i}: {}", a.name())).collect();
        if all.is_empty() {
            return Err(Error::Gpu(
                "there is no adapter: install a driver for Vulkan, Metal or DX12 (Mesa's lavapipe runs without a GPU)"
                    .into(),
            ));
        }
        let found = match wanted {
            None => all.into_iter().next(),
            Some(wanted) => {
                let number = wanted.parse::<usize>().ok();
                let lower = wanted.to_lowercase();
                all.into_iter().enumerate().find_map(|(i, adapter)| {
                    let is_it = number.map_or_else(|| adapter.name().to_lowercase().contains(&lower), |n| n == i);
                    is_it.then_some(adapter)
                })
            }
        };
        let missing = || {
            let wanted = wanted.unwrap_or_default();
            Error::Gpu(format!("there is no adapter '{wanted}'; this machine has {}", names.join(", ")))
        };
        found.ok_or_else(missing)
    }

    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Its index among this machine's adapters.
    pub fn number(&self) -> usize {
        self.number
    }

    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.info
    }

    pub fn limits(&self) -> Limits {
        self.adapter.limits()
    }

    /// Whether it is a software implementation that runs on the CPU.
    pub fn is_software(&self) -> bool {
        self.info.device_type == DeviceType::Cpu
    }

    pub fn features(&self) -> Features {
        self.adapter.features()
    }

    pub fn has_f16(&self) -> bool {
        self.features().contains(Features::SHADER_F16)
    }

    /// Minimum threads of a subgroup; 0 without subgroups.
    pub fn subgroup_size(&self) -> usize {
        if self.features().contains(Features::SUBGROUP) { self.info.subgroup_min_size as usize } else { 0 }
    }

    /// Whether it multiplies matrices of 16 x 16 f16 and sums in f32, with subgroups of one size.
    pub fn has_matrices(&self) -> bool {
        let is_it = |p: &wgpu::wgt::CooperativeMatrixProperties| {
            (p.m_size, p.n_size, p.k_size) == (16, 16, 16)
                && p.ab_type == wgpu::wgt::CooperativeScalarType::F16
                && p.cr_type == wgpu::wgt::CooperativeScalarType::F32
        };
        self.features().contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX)
            && self.subgroup_size() > 0
            && self.info.subgroup_min_size == self.info.subgroup_max_size
            && self.adapter.cooperative_matrix_properties().iter().any(is_it)
    }

    pub fn has_timestamps(&self) -> bool {
        self.features().contains(Features::TIMESTAMP_QUERY)
    }

    pub fn has_pipeline_cache(&self) -> bool {
        self.features().contains(Features::PIPELINE_CACHE)
    }

    /// Maximum threads of a workgroup.
    pub fn threads(&self) -> usize {
        self.limits().max_compute_invocations_per_workgroup as usize
    }

    /// Bytes that a workgroup can share.
    pub fn workgroup_bytes(&self) -> usize {
        self.limits().max_compute_workgroup_storage_size as usize
    }

    /// Storage buffers that a shader can have.
    pub fn bindings(&self) -> usize {
        self.limits().max_storage_buffers_per_shader_stage as usize
    }

    /// Maximum bytes of a storage buffer, limited to what a 32-bit offset addresses.
    pub fn binding_bytes(&self) -> usize {
        let limits = self.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size).min(u64::from(u32::MAX)) as usize
    }

    /// Identifies this adapter in the keys of cached code and timings.
    pub fn identity(&self) -> String {
        let info = &self.info;
        let (driver, details) = (&info.driver, &info.driver_info);
        format!("{:?} {:04x}:{:04x} {} {driver} {details}", info.backend, info.vendor, info.device, info.name)
    }

    /// Opens the adapter with all its features and limits.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(&self) -> Result<Gpu> {
        let wanted = Features::SHADER_F16
            | Features::SUBGROUP
            | Features::TIMESTAMP_QUERY
            | Features::PIPELINE_CACHE
            | Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        let features = self.features() & wanted;
        // SAFETY: shaders that use cooperative matrices are generated here, within what the adapter says that it has.
        let experimental_features = unsafe { ExperimentalFeatures::enabled() };
        let descriptor = DeviceDescriptor {
            label: Some("KernelForge"),
            required_features: features,
            required_limits: self.limits(),
            experimental_features,
            memory_hints: MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        };
        let (device, queue) = pollster::block_on(self.adapter.request_device(&descriptor))
            .map_err(|e| Error::Gpu(format!("{} cannot be opened: {e}", self.name())))?;
        let failure = Failure::default();
        let (uncaptured, lost) = (failure.clone(), failure.clone());
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| uncaptured.set(error.to_string())));
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                lost.set(format!("the device was lost: {message}"));
            }
        });
        Ok(Gpu { adapter: self.clone(), device, queue, failure })
    }
}

/// The error of a device, which wgpu reports through a callback and not to a caller.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    fn set(&self, message: String) {
        // The first is the cause.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
    }

    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An open device.
#[derive(Clone)]
pub struct Gpu {
    pub adapter: Adapter,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    failure: Failure,
}

impl Gpu {
    /// The first error since the last call of this function.
    ///
    /// # Errors
    /// That.
    pub(super) fn check(&self) -> Result<()> {
        match self.failure.take() {
            Some(message) => Err(Error::Gpu(message.trim().replace("\n\n", "\n"))),
            None => Ok(()),
        }
    }

    /// Waits until all submitted work is done.
    ///
    /// # Errors
    /// If it takes too long, or the device is lost.
    pub(super) fn wait(&self) -> Result<()> {
        let outcome = self.device.poll(PollType::Wait { submission_index: None, timeout: Some(PATIENCE) });
        self.check()?;
        match outcome {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => {
                Err(Error::Gpu(format!("it has not answered for {} s and counts as hanging", PATIENCE.as_secs())))
            }
            Err(error) => Err(Error::Gpu(format!("waiting for it failed: {error}"))),
        }
    }
}
