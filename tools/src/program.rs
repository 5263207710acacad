//! Code common to all programs: parsing options, and printing errors.

use crate::{errln, output};
use clap::Parser;
use kforge_lowering::compile::CompileError;
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

pub use kforge_dialect::start;

/// The options of the command line.
///
/// # Errors
/// The exit code, after printing help, the version or an error.
pub fn options<T: Parser>(program: &str) -> Result<T, ExitCode> {
    T::try_parse().map_err(|message| {
        if message.use_stderr() {
            // A failed write cannot be reported.
            let _ = message.print();
            return ExitCode::FAILURE;
        }
        let text = message.render();
        let text = if io::stdout().is_terminal() { text.ansi().to_string() } else { text.to_string() };
        match output::print(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(program, &error),
        }
    })
}

/// Prints an error. Diagnostics begin with their location, as a compiler's; other errors with the program's name.
pub fn failure(program: &str, error: &anyhow::Error) -> ExitCode {
    let compile = match error.downcast_ref::<kforge_engine::Error>() {
        Some(kforge_engine::Error::Compile(error)) => Some(error),
        _ => error.downcast_ref::<CompileError>(),
    };
    match compile {
        Some(CompileError::Diagnostics(text)) if error.chain().len() == 1 => errln!("{text}"),
        _ => errln!("{program}: {error:#}"),
    }
    ExitCode::FAILURE
}
