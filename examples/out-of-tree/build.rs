//! Compiles the dialect's C++ against the MLIR that KernelForge was built with.

use std::{env, path::Path};

fn main() {
    let include = env::var("DEP_KFORGE_DIALECT_INCLUDE").expect("kforge-dialect says where MLIR's headers are");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").define("NDEBUG", None).warnings(false);
    build.flag("-fno-rtti").flag("-fno-exceptions").include(Path::new(&include));
    build.file("cpp/hello.cpp").compile("hello");
    println!("cargo:rerun-if-changed=cpp");
}
