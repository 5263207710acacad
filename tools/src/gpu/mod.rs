//! GPUs: the one of this process, what an adapter offers, as the compiler takes it, and what it can do at most.

pub mod check;
pub mod roof;

use anyhow::{Result, bail};
use kforge_passes::{adapter, tuner::environment};
use kforge_runtime::gpu::{Adapter, Gpu};
use std::{collections::BTreeMap, sync::OnceLock};

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

/// A GPU as measurements on it are filed, of kernels that use no more than `used`.
///
/// # Errors
/// If it has less than that.
pub fn environment(adapter: &Adapter, used: adapter::Adapter) -> Result<environment::Gpu> {
    let has = features(adapter);
    if !has.covers(used) {
        bail!("{} has {has}, not {used}; kernels can use less of it, not more", adapter.name());
    }
    let (info, limits) = (adapter.info(), adapter.limits());
    let limits = [
        ("binding bytes", limits.max_storage_buffer_binding_size),
        ("buffer bytes", limits.max_buffer_size),
        ("buffers a shader", limits.max_storage_buffers_per_shader_stage.into()),
        ("threads a workgroup", limits.max_compute_invocations_per_workgroup.into()),
        ("workgroup bytes", limits.max_compute_workgroup_storage_size.into()),
        ("workgroups an axis", limits.max_compute_workgroups_per_dimension.into()),
    ];
    Ok(environment::Gpu {
        gpu: info.name.clone(),
        device: format!("{:04x}:{:04x}", info.vendor, info.device),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        backend: format!("{:?}", info.backend),
        adapter: used.to_string(),
        limits: limits.into_iter().map(|(name, limit)| (name.to_owned(), limit)).collect::<BTreeMap<_, _>>(),
        wgpu: ["wgpu", "naga"].map(|name| format!("{name} {}", version(name))).join(", "),
        generator: kforge_lowering::BUILD_ID.to_owned(),
    })
}

/// The version of a dependency, as it is locked.
fn version(name: &str) -> &'static str {
    let packages = include_str!("../../../Cargo.lock").split("[[package]]");
    let field = |package: &'static str, field: &str| {
        package.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(" = \"")?.strip_suffix('"'))
    };
    let mut found = packages.filter(|package| field(package, "name") == Some(name));
    found.next().and_then(|package| field(package, "version")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_of_what_writes_shaders_are_known() {
        for name in ["wgpu", "naga"] {
            assert!(super::version(name).starts_with(|c: char| c.is_ascii_digit()), "{name}");
        }
    }
}
