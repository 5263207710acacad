//! Names of generated kernels for `perf`: with `KFORGE_PERF=1` every loaded object adds its functions to
//! `/tmp/perf-PID.map`, where `perf report` and its kin look them up.
//!
//! ```text
//! 7f31c0a12040 1a3 kforge_gemv_3
//! ```
//! A line is where a function begins, its bytes (both in base 16), and its name. The file stays when the process ends,
//! as `perf report` comes later.

use crate::{Error, Object, Result};
use object::{Object as _, ObjectSymbol, SymbolKind};
use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// A function in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub start: u64,
    pub bytes: u64,
    pub name: String,
}

/// Whether `KFORGE_PERF` asks for the map: it is set, to something else than nothing or 0.
pub fn wanted() -> bool {
    std::env::var_os("KFORGE_PERF").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The functions of `object`, which was loaded from `bytes`: the kernels and their entries.
///
/// # Errors
/// If the bytes are no object file, or a function was not loaded.
pub fn symbols(object: &Object, bytes: &[u8]) -> Result<Vec<Symbol>> {
    let file = object::File::parse(bytes).map_err(|e| Error::Object(e.to_string()))?;
    let functions = file.symbols().filter(|s| s.is_global() && s.is_definition() && s.kind() == SymbolKind::Text);
    let mut symbols = vec![];
    for function in functions {
        let name = function.name().map_err(|e| Error::Object(e.to_string()))?;
        // Mach-O puts an underscore before each name, which the loader adds by itself.
        let name =
            if file.format() == object::BinaryFormat::MachO { name.strip_prefix('_').unwrap_or(name) } else { name };
        let start = object.kernel(name)? as usize as u64;
        symbols.push(Symbol { start, bytes: function.size(), name: name.to_owned() });
    }
    symbols.sort_by_key(|s| s.start);
    // Mach-O has no sizes: a function then ends where the next begins, and the last has a byte.
    for i in 0..symbols.len() {
        if symbols[i].bytes == 0 {
            symbols[i].bytes = symbols.get(i + 1).map_or(1, |next| next.start - symbols[i].start);
        }
    }
    Ok(symbols)
}

/// The map of this process. `perf` asks for this place, whatever the directory of temporary files is.
pub fn path() -> PathBuf {
    format!("/tmp/perf-{}.map", std::process::id()).into()
}

/// Adds to the map of this process.
///
/// # Errors
/// If the file cannot be made, or is another's.
pub fn add(symbols: &[Symbol]) -> Result<()> {
    /// Whether the file is of this process, and not left by an older one of the same number.
    static BEGUN: Mutex<bool> = Mutex::new(false);
    let mut begun = BEGUN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = path();
    if !*begun {
        // No error where there is none; one that cannot be removed cannot be made below.
        let _ = std::fs::remove_file(&path);
    }
    write(&path, symbols, !*begun).map_err(|cause| Error::Perf { path, cause })?;
    *begun = true;
    Ok(())
}

/// Appends to a map, or makes it.
fn write(path: &Path, symbols: &[Symbol], new: bool) -> std::io::Result<()> {
    // Made, not opened, by this process: another user may have put a link in a folder that all can write.
    let mut file = OpenOptions::new().append(true).create_new(new).open(path)?;
    let line = |s: &Symbol| format!("{:x} {:x} {}\n", s.start, s.bytes, s.name);
    file.write_all(symbols.iter().map(line).collect::<String>().as_bytes())
}
