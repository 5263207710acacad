//! A folder with modules, and the tools to run in it.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A function, and a kernel for kforge-translate.
pub const MODULE: &str = "
func.func @main(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %y = transformer.softmax %x : tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}
";
pub const KERNEL: &str = "
gpu.module @m {
  gpu.func @k(%a: memref<?xf32>) kernel attributes {known_block_size = array<i32: 64, 1, 1>} {
    gpu.return
  }
}
";

/// Where cargo has built the tools.
pub fn bin() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_kforge-opt")).parent().expect("a folder").to_owned()
}

/// A folder with a small, a large and a faulty module, and the tools to run in it.
pub struct Place {
    pub folder: tempfile::TempDir,
    tools: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap(), tools: bin() };
        // More than a pipe holds.
        let mut large = "func.func @main(%a: i32) -> i32 {\n".to_owned();
        (0..20_000).for_each(|i| large += &format!("  %{i} = arith.addi %a, %a : i32\n"));
        large += "  return %a : i32\n}\n";
        fs::write(place.path("m.mlir"), MODULE).unwrap();
        fs::write(place.path("k.mlir"), KERNEL).unwrap();
        fs::write(place.path("large.mlir"), large).unwrap();
        place
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program with its arguments, of which `OUT` is `out`.
    pub fn command(&self, line: &str, out: &OsStr) -> Command {
        let mut words = line.split_whitespace();
        let mut command = Command::new(self.tools.join(words.next().unwrap()));
        // A shell starts what it puts into the background with interrupts ignored, and so would these be.
        // SAFETY: `signal` may be called between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            });
        }
        command.args(words.map(|word| if word == "OUT" { out } else { OsStr::new(word) }));
        command.current_dir(self.folder.path()).env("KFORGE_CACHE", self.path("cache")).stdin(Stdio::null());
        command
    }

    pub fn run(&self, line: &str, out: impl AsRef<OsStr>) -> Output {
        self.command(line, out.as_ref()).output().unwrap()
    }

    pub fn names(&self) -> Vec<OsString> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
