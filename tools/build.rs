//! Tells `bench suite` which compiler made it, has the image export its symbols, which plugins are linked to, and collects
//! the headers of the passes' files for `--explain`.

use std::{env, fmt::Write as _, fs, path::Path, process::Command};

/// Where passes are, one a file of its name.
const PASSES: [&str; 2] = ["lib/src/passes", "lowering/src/passes"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let system = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let export = if system == "macos" { "-Wl,-export_dynamic" } else { "-Wl,--export-dynamic" };
    println!("cargo:rustc-link-arg-bin=kforge={export}");
    let version = env::var_os("RUSTC").and_then(|rustc| Command::new(rustc).arg("--version").output().ok());
    if let Some(version) = version.and_then(|output| String::from_utf8(output.stdout).ok()) {
        println!("cargo:rustc-env=KFORGE_RUSTC={}", version.trim());
    }
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("pass_headers.rs"), pass_headers()).expect("OUT_DIR can be written");
}

/// Name, file and header of each pass, as an array of Rust.
fn pass_headers() -> String {
    let mut rows = vec![];
    for folder in PASSES {
        let path = Path::new("..").join(folder);
        println!("cargo:rerun-if-changed={}", path.display());
        for file in fs::read_dir(&path).expect("the folder of the passes can be listed") {
            let file = file.expect("an entry of the folder of the passes").path();
            let Some(stem) = file.file_stem().and_then(|stem| stem.to_str()).filter(|stem| *stem != "mod") else {
                continue;
            };
            if file.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&file).expect("the file of a pass can be read");
            let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
            let header: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
            rows.push((stem.replace('_', "-"), format!("{folder}/{stem}.rs"), header.join("\n")));
        }
    }
    rows.sort();
    let mut text = String::from("[\n");
    for row in rows {
        writeln!(text, "{row:?},").expect("a string takes all");
    }
    text + "]"
}
