//! Generates the dialect's C++ from TableGen and compiles it with the shim.

use std::{env, path::PathBuf, process::Command};

fn main() {
    let prefix = PathBuf::from(env::var("MLIR_SYS_220_PREFIX").unwrap_or_else(|_| "/usr/lib/llvm-22".into()));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let generate = |backend: &str, file: &str| {
        let status = Command::new(prefix.join("bin/mlir-tblgen"))
            .args([backend, "include/Transformer.td", "-I"])
            .arg(prefix.join("include"))
            .arg("-o")
            .arg(out.join(file))
            .status()
            .expect("mlir-tblgen of LLVM 22 starts; run `make setup`");
        assert!(status.success(), "mlir-tblgen {backend} failed");
    };
    for (kind, file) in [("dialect", "Dialect"), ("typedef", "Types"), ("attrdef", "Attributes"), ("op", "Ops")] {
        generate(&format!("-gen-{kind}-decls"), &format!("Transformer{file}.h.inc"));
        generate(&format!("-gen-{kind}-defs"), &format!("Transformer{file}.cpp.inc"));
    }
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(1).debug(false).warnings(false);
    // As LLVM itself is built.
    build.flag("-fno-rtti").flag("-fno-exceptions").flag("-w");
    build.include(&out).include("cpp").include(prefix.join("include"));
    for group in ["dialect", "linear", "norm", "attention", "block", "shim"] {
        build.file(format!("cpp/{group}.cpp"));
    }
    build.compile("kforge_dialect");
    println!("cargo:rerun-if-changed=include");
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-env-changed=MLIR_SYS_220_PREFIX");
}
