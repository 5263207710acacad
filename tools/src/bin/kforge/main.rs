//! All tools in one program, so that MLIR is linked once; the name by which it is called selects the tool. The files with
//! these names are the launchers in tools/src/launch.rs.

// `println!` and `eprintln!` panic if the output is full or closed; `outln!` and `errln!` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
extern crate kforge_tools;

mod lsp;
mod opt;
mod reduce;
mod run;
mod translate;

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let called = env::args_os().next().unwrap_or_default();
    match Path::new(&called).file_stem().and_then(|name| name.to_str()) {
        Some("kforge-lsp") => lsp::main(),
        Some("kforge-opt") => opt::main(),
        Some("kforge-reduce") => reduce::main(),
        Some("kforge-run") => run::main(),
        Some("kforge-translate") => translate::main(),
        _ => {
            errln!(
                "{} is no tool; start kforge-run, kforge-opt, kforge-translate, kforge-lsp or kforge-reduce",
                called.display()
            );
            ExitCode::FAILURE
        }
    }
}
