//! GPUs: the key under which measurements are stored, checks that one computes correctly, and its limits.

pub mod check;
pub mod roof;

use anyhow::{Result, bail};
use kforge_runtime::gpu::Adapter;
use kforge_target as target;
use kforge_tuner::environment;
use std::collections::BTreeMap;

pub use kforge_engine::gpu::{adapter, features, open};

/// The key under which measurements on a GPU are stored, for kernels that use no more than `used`.
///
/// # Errors
/// If it has less than that.
pub fn environment(adapter: &Adapter, used: target::Adapter) -> Result<environment::Gpu> {
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

/// The version of a dependency in the lock file.
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
