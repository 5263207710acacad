//! GPUs: what an adapter offers, as the compiler takes it, and what it can do at most.

pub mod check;
pub mod roof;

use kforge_passes::adapter;
use kforge_runtime::gpu::Adapter;

/// What kernels for `adapter` may use.
pub fn features(adapter: &Adapter) -> adapter::Adapter {
    adapter::Adapter {
        f16: adapter.has_f16(),
        subgroups: adapter.subgroup_size(),
        matrices: adapter.has_matrices(),
        threads: adapter.threads(),
        workgroup_bytes: adapter.workgroup_bytes(),
        bindings: adapter.bindings(),
        binding_bytes: adapter.binding_bytes(),
    }
}
