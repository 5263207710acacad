//! Requirements of tests that not every machine meets. A test that lacks one is reported as ignored, with the reason.
//! If `KFORGE_REQUIRE` names it (`KFORGE_REQUIRE=chromium,model`) the test fails instead, so that CI cannot skip it
//! unnoticed.

use crate::browser;
use kforge_runtime::cache;
use libtest_mimic::{Completion, Trial};
use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const VARIABLE: &str = "KFORGE_REQUIRE";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A Chromium with WebGPU.
    Chromium,
    /// The model file that `make model` fetches.
    Model,
    Python,
    /// A compiler, a linker and an emulator of AArch64.
    Aarch64,
    /// The right to mount a file system.
    Mount,
}

/// The name in `KFORGE_REQUIRE`.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Need::Chromium => "chromium",
            Need::Model => "model",
            Need::Python => "python",
            Need::Aarch64 => "aarch64",
            Need::Mount => "mount",
        })
    }
}

impl Need {
    pub const ALL: [Need; 5] = [Need::Chromium, Need::Model, Need::Python, Need::Aarch64, Need::Mount];

    /// Whether this machine has it.
    ///
    /// # Errors
    /// What is missing and how to get it, if it is not required.
    ///
    /// # Panics
    /// With the same message if it is required; also if `KFORGE_REQUIRE` has an unknown name.
    pub fn find(self) -> Result<(), String> {
        let text = env::var(VARIABLE).unwrap_or_default();
        let required = required(&text).unwrap_or_else(|e| panic!("{e}"));
        match self.look() {
            Err(missing) if required.contains(&self) => panic!("{VARIABLE} names {self}, but {missing}"),
            found => found,
        }
    }

    fn look(self) -> Result<(), String> {
        match self {
            Need::Chromium => browser::find().map(drop),
            Need::Model => model().map(drop),
            Need::Python => program("python3").map(drop),
            Need::Aarch64 => {
                ["clang", "ld.lld", "qemu-aarch64"].into_iter().try_for_each(|name| program(name).map(drop))
            }
            Need::Mount => mount(),
        }
    }
}

fn required(text: &str) -> Result<Vec<Need>, String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let need = |name: &str| {
        let known = || Need::ALL.map(|need| need.to_string()).join(", ");
        let found = Need::ALL.into_iter().find(|need| need.to_string() == name);
        found.ok_or_else(|| format!("{VARIABLE} names {name:?}, which no test needs; there are {}", known()))
    };
    names.map(need).collect()
}

/// A test that is ignored if one of `needs` is missing.
pub fn trial(name: &str, needs: &'static [Need], run: fn()) -> Trial {
    Trial::ignorable_test(name, move || match needs.iter().try_for_each(|need| need.find()) {
        Ok(()) => {
            run();
            Ok(Completion::Completed)
        }
        Err(missing) => Ok(Completion::ignored_with(missing)),
    })
}

/// Finds a program of LLVM or of the system.
///
/// # Errors
/// If there is none with this name.
pub fn program(name: &str) -> Result<PathBuf, String> {
    let prefix = option_env!("LLVM_SYS_221_PREFIX").map(|prefix| Path::new(prefix).join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut files = prefix.into_iter().chain(env::split_paths(&path)).map(|folder| folder.join(name));
    files.find(|file| file.is_file()).ok_or_else(|| format!("there is no {name}; run `make setup`"))
}

/// The default model's file.
///
/// # Errors
/// If it has not been fetched.
pub fn model() -> Result<PathBuf, String> {
    let folder = cache::directory().ok_or("this user has no cache directory")?;
    let file = folder.join("models/SmolLM2-135M-Instruct.Q4_1.gguf");
    match file.is_file() {
        true => Ok(file),
        false => Err(format!("there is no {}; run `make model`", file.display())),
    }
}

/// Mounts a small file system and unmounts it.
fn mount() -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| format!("there is no temporary folder: {e}"))?;
    let does = |command: &mut Command, at: &Path| {
        command.arg(at).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let mounts = does(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]), folder.path());
    match mounts && does(&mut Command::new("umount"), folder.path()) {
        true => Ok(()),
        false => Err("this user may not mount a file system; only root may".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        assert_eq!(required(""), Ok(vec![]));
        assert_eq!(required("model, chromium,"), Ok(vec![Need::Model, Need::Chromium]));
        let error =
            "KFORGE_REQUIRE names \"modell\", which no test needs; there are chromium, model, python, aarch64, mount";
        assert_eq!(required("modell"), Err(error.into()));
    }
}
