//! Translates test modules to WGSL.

use kforge_lowering::{
    compile::{Source, context, parse},
    to_wgsl::{self, Shader},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Translates all kernels of a module, twice, to check that the result is deterministic.
///
/// # Panics
/// If it cannot be translated.
pub fn translate(source: &str, name: &str) -> Vec<Shader> {
    let context = context();
    let module = parse(&context, Source { name, bytes: source.as_bytes() }).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let shaders = to_wgsl::translate(module.as_operation()).unwrap_or_else(|e| panic!("{e}\n{source}"));
    let again = to_wgsl::translate(module.as_operation()).expect("what was translated once is again");
    assert_eq!(shaders, again, "{name}: the translation differs from one time to the next");
    shaders
}

/// Translates the kernels of test/to_wgsl.
///
/// # Panics
/// If one cannot be translated.
pub fn of_test_files() -> Vec<Shader> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("to_wgsl");
    let entries = [folder.join("kernels"), folder].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "mlir") && !file.ends_with("errors.mlir"));
    files.sort();
    let kernels = |file: &PathBuf| translate(&fs::read_to_string(file).unwrap(), &file.display().to_string());
    files.iter().flat_map(kernels).collect()
}
