//! Tells `bench suite` which compiler made it, and has the image export its symbols, which plugins are linked to.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let system = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let export = if system == "macos" { "-Wl,-export_dynamic" } else { "-Wl,--export-dynamic" };
    println!("cargo:rustc-link-arg-bin=kforge={export}");
    let version = env::var_os("RUSTC").and_then(|rustc| Command::new(rustc).arg("--version").output().ok());
    if let Some(version) = version.and_then(|output| String::from_utf8(output.stdout).ok()) {
        println!("cargo:rustc-env=KFORGE_RUSTC={}", version.trim());
    }
}
