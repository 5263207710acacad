//! Names of generated kernels for `perf`: with `KFORGE_PERF=1` every loaded object adds its functions to
//! `/tmp/perf-PID.map`, where `perf report` and similar tools look them up.
//!
//! ```text
//! 7f31c0a12040 1a3 kforge_gemv_3
//! ```
//! A line has a function's address and size (both hexadecimal) and its name. The file stays when the process ends,
//! because `perf report` runs later.

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

/// Whether `KFORGE_PERF` enables the map: it is set, and neither empty nor 0.
pub fn wanted() -> bool {
    std::env::var_os("KFORGE_PERF").is_some_and(|value| !value.is_empty() && value != "0")
}

/// The functions of `object`, which was loaded from `bytes`: kernels and their entry functions.
///
/// # Errors
/// If the bytes are not an object file, or a function was not loaded.
pub fn symbols(object: &Object, bytes: &[u8]) -> Result<Vec<Symbol>> {
    let file = object::File::parse(bytes).map_err(|e| Error::Object(e.to_string()))?;
    let functions = file.symbols().filter(|s| s.is_global() && s.is_definition() && s.kind() == SymbolKind::Text);
    let mut symbols = vec![];
    for function in functions {
        let name = function.name().map_err(|e| Error::Object(e.to_string()))?;
        // Mach-O prefixes each name with an underscore, which the loader adds itself.
        let name =
            if file.format() == object::BinaryFormat::MachO { name.strip_prefix('_').unwrap_or(name) } else { name };
        let start = object.kernel(name)? as usize as u64;
        symbols.push(Symbol { start, bytes: function.size(), name: name.to_owned() });
    }
    symbols.sort_by_key(|s| s.start);
    // Mach-O has no sizes: a function ends where the next begins; the last is given one byte.
    for i in 0..symbols.len() {
        if symbols[i].bytes == 0 {
            symbols[i].bytes = symbols.get(i + 1).map_or(1, |next| next.start - symbols[i].start);
        }
    }
    Ok(symbols)
}

/// Path of the map of this process. `perf` expects it in /tmp, wherever temporary files are.
pub fn path() -> PathBuf {
    format!("/tmp/perf-{}.map", std::process::id()).into()
}

/// Adds functions to the map of this process.
///
/// # Errors
/// If the file cannot be created, or belongs to another user.
pub fn add(symbols: &[Symbol]) -> Result<()> {
    /// Whether this process has created the file; else it is left from an older process with the same id.
    static BEGUN: Mutex<bool> = Mutex::new(false);
    let mut begun = BEGUN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = path();
    if !*begun {
        // Errors are ignored: if a file cannot be removed, creating it fails below.
        let _ = std::fs::remove_file(&path);
    }
    write(&path, symbols, !*begun).map_err(|error| Error::Perf { path, error })?;
    *begun = true;
    Ok(())
}

/// Appends to a map, or creates it.
fn write(path: &Path, symbols: &[Symbol], new: bool) -> std::io::Result<()> {
    // The file is created, not opened: another user may have put a link in a world-writable folder.
    let mut file = OpenOptions::new().append(true).create_new(new).open(path)?;
    let line = |s: &Symbol| format!("{:x} {:x} {}\n", s.start, s.bytes, s.name);
    file.write_all(symbols.iter().map(line).collect::<String>().as_bytes())
}
