//! Where the tuner is tried: a small module, and a cache directory of its own.

use kforge_tuner::{Database, Line, database};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// A layer with sizes that no tile divides.
pub const MODULE: &str = "
ml_program.global private @w(#ml_program.extern<tensor<70x90xf32>>) : tensor<70x90xf32>
func.func @main(%x: tensor<3x90xf32>) -> tensor<3x70xf32> {
  %w = ml_program.global_load_const @w : tensor<70x90xf32>
  %y = transformer.linear %x, %w : tensor<3x90xf32>, tensor<70x90xf32> -> tensor<3x70xf32>
  return %y : tensor<3x70xf32>
}
";

/// A cache directory with the module in it.
pub struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Place {
        let place = Place { directory: tempfile::tempdir().unwrap() };
        fs::write(place.path().join("m.mlir"), MODULE).unwrap();
        place
    }

    /// With the module's candidates measured.
    pub fn tuned() -> Place {
        static ROWS: OnceLock<Vec<u8>> = OnceLock::new();
        let rows = ROWS.get_or_init(|| {
            let place = Place::new();
            let output = place.run(&["tune", "m.mlir"]);
            assert!(output.status.success(), "{}", text(&output.stderr));
            // Everything into the one file that is copied.
            drop(place.database());
            let output = place.run(&["tune", "--export", "rows.jsonl"]);
            assert!(output.status.success(), "{}", text(&output.stderr));
            fs::read(place.path().join("rows.jsonl")).unwrap()
        });
        let place = Place::new();
        fs::write(place.path().join("rows.jsonl"), rows).unwrap();
        let output = place.run(&["tune", "--import", "rows.jsonl"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        place
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self) -> PathBuf {
        self.path().join(database::FILE)
    }

    pub fn database(&self) -> Database {
        Database::open(self.path()).unwrap()
    }

    pub fn lines(&self) -> Vec<Line> {
        self.database().lines().unwrap()
    }

    pub fn command(&self, tool: &str, arguments: &[&str]) -> Command {
        let tools = Path::new(env!("CARGO_BIN_EXE_kforge-opt")).parent().unwrap();
        let mut command = Command::new(tools.join(tool));
        command.args(arguments).current_dir(self.path()).env("KFORGE_CACHE", self.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command("kforge-run", &[&["--threads", "2"], arguments].concat()).output().unwrap()
    }

    /// The fused op of the module with the tile that the tuner has for it, and what was said.
    pub fn selected(&self) -> (String, String) {
        let select = "--select-kernels=mode=cached-only threads=2";
        let output = self.command("kforge-opt", &["m.mlir", "--kforge-fuse", select]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let module = text(&output.stdout);
        let op = module.lines().find(|line| line.contains("transformer.fused")).unwrap();
        (op.to_owned(), text(&output.stderr))
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Lines that begin with `warning:`.
pub fn warnings(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("warning:")).collect()
}
