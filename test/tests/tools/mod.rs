//! Finds the command-line tools for the tests that run them.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

/// What the tests run.
const TOOLS: [&str; 5] = ["kforge-opt", "kforge-run", "kforge-lsp", "kforge-reduce", "kforge-translate"];

/// Folders whose sources the tools are built from.
const SOURCES: [&str; 5] = ["dialect", "lib", "lowering", "runtime", "tools"];

/// Calls `visit` with every file below `folder`, outside build outputs.
pub fn collect(folder: &Path, visit: &mut impl FnMut(&Path)) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true if path.ends_with("target") => {}
            true => collect(&path, visit)?,
            false => visit(&path),
        }
    }
    Ok(())
}

/// The folder of the tools of this test's own profile, which are built if they are missing or older than a source.
pub fn build() -> Result<PathBuf, Box<dyn Error>> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("the test folder has no parent")?;
    let executable = std::env::current_exe()?;
    // target/debug/deps/lit-0123
    let binaries =
        executable.parent().and_then(Path::parent).ok_or("this test is not in a target directory")?.to_owned();
    let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut newest = SystemTime::UNIX_EPOCH;
    for folder in SOURCES {
        collect(&workspace.join(folder), &mut |file| newest = newest.max(modified(file)))?;
    }
    if TOOLS.iter().all(|tool| modified(&binaries.join(tool)) > newest) {
        return Ok(binaries);
    }
    let profile = match binaries.file_name().and_then(|n| n.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let target = binaries.parent().ok_or("the binaries' folder has no parent")?;
    let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--quiet", "--workspace", "--profile", profile, "--target-dir"])
        .arg(target)
        .args(TOOLS.iter().flat_map(|tool| ["--bin", tool]))
        .current_dir(workspace)
        .status()?;
    if status.success() { Ok(binaries) } else { Err("cargo build failed".into()) }
}
