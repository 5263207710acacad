//! The machine and the compiler that a measurement holds for.

use kforge_target::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything outside the problem that a time depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Environment {
    Cpu(Cpu),
    Gpu(Gpu),
}

/// A CPU, as LLVM compiles for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// As LLVM calls it: `znver3`.
    pub cpu: String,
    /// LLVM's feature string.
    pub features: String,
    /// Instruction set that kernels are generated for.
    pub isa: String,
    /// Bytes of the data caches, by level: `L1`, `L2`, `L3`.
    pub caches: BTreeMap<String, usize>,
    pub threads: usize,
    pub llvm: String,
    /// Hash of the code generator's sources.
    pub generator: String,
}

impl Cpu {
    pub fn cache(&self, level: &str) -> usize {
        self.caches.get(level).copied().unwrap_or(0)
    }
}

/// A GPU, as wgpu reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// As its driver calls it.
    pub gpu: String,
    /// Numbers of vendor and device: `10de:2330`.
    pub device: String,
    /// Name and version.
    pub driver: String,
    /// What the driver is reached by: `Vulkan`.
    pub backend: String,
    /// What kernels are generated for: the text of an [`Adapter`](kforge_target::Adapter).
    pub adapter: String,
    /// Its limits, by name.
    pub limits: BTreeMap<String, u64>,
    /// Versions of what turns WGSL into the driver's language.
    pub wgpu: String,
    /// Hash of the code generator's sources.
    pub generator: String,
}

impl Environment {
    /// A short hash of all of it.
    pub fn id(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    }

    /// What kernels are generated for.
    ///
    /// # Errors
    /// If there is no such target.
    pub fn target(&self) -> Result<Target, String> {
        match self {
            Environment::Cpu(cpu) => cpu.isa.parse().map(Target::Cpu),
            Environment::Gpu(gpu) => gpu.adapter.parse().map(Target::Gpu),
        }
    }

    /// For people: `znver3 avx2 x2`, or the name of a GPU.
    pub fn describe(&self) -> String {
        match self {
            Environment::Cpu(cpu) => format!("{} {} x{}", cpu.cpu, cpu.isa, cpu.threads),
            Environment::Gpu(gpu) => gpu.gpu.clone(),
        }
    }
}

/// Bytes of this machine's data caches, where the system says.
pub fn caches() -> BTreeMap<String, usize> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    let names = [
        ("L1", libc::_SC_LEVEL1_DCACHE_SIZE),
        ("L2", libc::_SC_LEVEL2_CACHE_SIZE),
        ("L3", libc::_SC_LEVEL3_CACHE_SIZE),
    ];
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let names: [(&str, libc::c_int); 0] = [];
    // SAFETY: sysconf only answers; -1 and 0 are no answer.
    let size = |name| usize::try_from(unsafe { libc::sysconf(name) }).ok().filter(|bytes| *bytes > 0);
    names.into_iter().filter_map(|(level, name)| Some((level.to_owned(), size(name)?))).collect()
}
