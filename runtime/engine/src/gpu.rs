//! The GPU of this process, and what an adapter offers, as the compiler takes it.

use crate::Result;
use kforge_runtime::gpu::{Adapter, Gpu};
use kforge_target as target;
use std::sync::OnceLock;

/// The GPU of this process: the first that was asked for, by its number or a part of its name.
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

/// The same, opened once: a driver gives a process only so many devices.
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

/// What kernels for `adapter` may use.
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
