//! The GPU of this process, and an adapter's features in the compiler's form.

use crate::Result;
use kforge_runtime::gpu::{Adapter, Gpu};
use kforge_target as target;
use std::sync::OnceLock;

/// The GPU of this process, selected at the first request by its number or a part of its name.
///
/// # Errors
/// If there is none.
pub fn adapter(wanted: Option<&str>) -> Result<&'static Adapter> {
    static CHOSEN: OnceLock<Adapter> = OnceLock::new();
    if let Some(adapter) = CHOSEN.get() {
        return Ok(adapter);
    }
    let adapter = Adapter::choose(wanted)?;
    Ok(CHOSEN.get_or_init(|| adapter))
}

/// The same, opened once, as drivers limit the devices per process.
///
/// # Errors
/// If there is none, or it cannot be opened.
pub fn open(wanted: Option<&str>) -> Result<Gpu> {
    static OPEN: OnceLock<Gpu> = OnceLock::new();
    if let Some(gpu) = OPEN.get() {
        return Ok(gpu.clone());
    }
    let gpu = adapter(wanted)?.open()?;
    Ok(OPEN.get_or_init(|| gpu).clone())
}

/// The features and limits that kernels for `adapter` may use.
pub fn features(adapter: &Adapter) -> target::Adapter {
    target::Adapter {
        f16: adapter.has_f16(),
        subgroups: adapter.subgroup_size(),
        matrices: adapter.has_matrices(),
        threads: adapter.threads(),
        workgroup_bytes: adapter.workgroup_bytes(),
        bindings: adapter.bindings(),
        binding_bytes: adapter.binding_bytes(),
    }
}
