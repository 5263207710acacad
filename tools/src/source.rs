//! Reads modules from files.

use anyhow::{Context as _, Result};
use kforge_dialect::Source;
use std::{
    fs,
    io::{self, Read},
    path::Path,
};

/// Magic number of MLIR bytecode.
const BYTECODE: &[u8] = b"ML\xefR";

/// A module as text or bytecode, and the file name that diagnostics use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl ModuleFile {
    /// Reads a file; `-` is standard input.
    ///
    /// # Errors
    /// With the file and the system's cause.
    pub fn read(path: &Path) -> Result<ModuleFile> {
        if path.as_os_str() == "-" {
            let mut bytes = vec![];
            io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
            // The name that upstream's tools use.
            return Ok(ModuleFile { name: "<stdin>".into(), bytes });
        }
        let name = path.display().to_string();
        let bytes = fs::read(path).with_context(|| format!("{name} cannot be read"))?;
        Ok(ModuleFile { name, bytes })
    }

    /// Whether a path names a module rather than a model: by the suffix of text, or the first bytes of bytecode.
    pub fn is_one(path: &Path) -> bool {
        let begins = || -> io::Result<bool> {
            // Reading from a pipe would consume its data.
            if !fs::metadata(path)?.is_file() {
                return Ok(false);
            }
            let mut magic = [0; BYTECODE.len()];
            fs::File::open(path)?.read_exact(&mut magic)?;
            Ok(magic == BYTECODE)
        };
        path.as_os_str() == "-" || path.extension().is_some_and(|e| e == "mlir") || begins().unwrap_or(false)
    }

    pub fn source(&self) -> Source<'_> {
        Source { name: &self.name, bytes: &self.bytes }
    }
}
