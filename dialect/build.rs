//! Generates the dialect's C++ from TableGen and compiles it with the shim.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

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
    // As LLVM itself is built: with assertions on, those that its headers have inline would end a program at what its
    // libraries report.
    build
        .compiler(prefix.join("bin/clang++"))
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .define("NDEBUG", None)
        .debug(false)
        .warnings(false);
    build.flag("-fno-rtti").flag("-fno-exceptions").flag("-w");
    build.include(&out).include("cpp").include(prefix.join("include"));
    // One unit: MLIR's headers take most of the time, and are read once.
    let unit = out.join("unit.cpp");
    let files = ["dialect", "shapes", "linear", "norm", "attention", "block", "shim"];
    fs::write(&unit, files.map(|file| format!("#include \"{file}.cpp\"\n")).concat()).expect("OUT_DIR can be written");
    build.file(unit).compile("kforge_dialect");
    link_llvm(&prefix);
    println!("cargo:include={}", prefix.join("include").display());
    println!("cargo:rerun-if-changed=include");
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-env-changed=MLIR_SYS_220_PREFIX");
}

/// Names LLVM's shared library ahead of the static archives that mlir-sys lists, whose LLVM halves would otherwise be
/// linked into every program a second time.
fn link_llvm(prefix: &Path) {
    let config = |arguments: &[&str]| {
        let output = Command::new(prefix.join("bin/llvm-config")).args(arguments).output();
        let output = output.expect("llvm-config of LLVM 22 starts; run `make setup`");
        assert!(output.status.success(), "llvm-config {arguments:?} failed");
        String::from_utf8(output.stdout).expect("llvm-config writes UTF-8")
    };
    println!("cargo:rustc-link-search=native={}", config(&["--libdir"]).trim());
    for library in config(&["--link-shared", "--libs"]).split_whitespace() {
        println!("cargo:rustc-link-lib=dylib={}", library.trim_start_matches("-l"));
    }
}
