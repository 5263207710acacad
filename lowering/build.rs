//! Hashes the code generator's sources, so that a cache knows an object made by another version.

use std::{env, fs, path::Path};

const SOURCES: [&str; 10] = [
    "src",
    "program/src",
    "../lib/src",
    "../lib/models/src",
    "../lib/target/src",
    "../lib/tuner/src",
    "../dialect/src",
    "../dialect/cpp",
    "../dialect/include",
    "../dialect/quant/src",
];

fn main() {
    let mut hasher = blake3::Hasher::new();
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
        hash(Path::new(source), &mut hasher);
    }
    hasher.update(env::var("LLVM_SYS_221_PREFIX").unwrap_or_default().as_bytes());
    println!("cargo:rustc-env=KFORGE_BUILD_ID={}", hasher.finalize().to_hex());
}

fn hash(path: &Path, hasher: &mut blake3::Hasher) {
    if path.is_dir() {
        let mut entries: Vec<_> =
            fs::read_dir(path).expect("the source folder is readable").flatten().map(|e| e.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| hash(entry, hasher));
    } else {
        hasher.update(path.to_string_lossy().as_bytes());
        hasher.update(&fs::read(path).expect("the source file is readable"));
    }
}
