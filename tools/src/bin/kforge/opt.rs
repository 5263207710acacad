//! `mlir-opt` over the transformer dialect and the passes of this project.
//!
//! `--show-passes` lists the passes; `--show-passes=markdown` writes docs/passes.md; `--explain NAME` describes one of them,
//! or an op.

// `println!` and `eprintln!` panic if the output is full or closed; `outln!` and `errln!` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

use anyhow::{Result, bail};
use kforge_dialect::{
    Tool, Writer,
    pass::{OptionInfo, PassInfo, PipelineInfo, PipelineOptions},
    tool_main,
};
use kforge_tools::{
    output::{self, Output},
    program,
};
use std::{borrow::Cow, ffi::OsString, path::Path, process::ExitCode};

pub fn main() -> ExitCode {
    program::start(c"kforge-opt");
    kforge_lowering::register();
    kforge_tools::tuner::install();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let options = || arguments.iter().filter_map(|a| a.to_str()?.strip_prefix('-').map(|a| a.trim_start_matches('-')));
    if let Some(name) = explained(&arguments) {
        let print = |text: String| output::print(text.as_bytes());
        return match explain(&name).and_then(print) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => program::failure(NAME, &error),
        };
    }
    let shown = if options().any(|a| a == "show-passes") {
        Some(passes().map(|info| format!("--{:<26} {}\n", info.name, info.summary)).collect())
    } else {
        options().any(|a| a == "show-passes=markdown").then(markdown)
    };
    if let Some(text) = shown {
        return match output::print(String::as_bytes(&text)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => program::failure(NAME, &error),
        };
    }
    std::process::exit(tool_main(Tool::Opt(&mut File::default()), arguments.iter().cloned()));
}

const NAME: &str = "kforge-opt";

/// The argument of `--explain`, empty if it has none.
fn explained(arguments: &[OsString]) -> Option<Cow<'_, str>> {
    let mut names = arguments.iter().enumerate().skip(1).filter_map(|(at, argument)| {
        let option = argument.to_str()?.strip_prefix('-')?.trim_start_matches('-');
        match option.strip_prefix("explain")? {
            "" => Some(arguments.get(at + 1).map_or(Cow::Borrowed(""), |name| name.to_string_lossy())),
            name => name.strip_prefix('=').map(Cow::Borrowed),
        }
    });
    names.next_back()
}

fn explain(name: &str) -> Result<String> {
    if name.is_empty() {
        bail!("--explain takes the name of an op, a type, a pass or a pipeline");
    }
    let (passes, pipelines): (Vec<&PassInfo>, Vec<&PipelineInfo>) =
        (passes().copied().collect(), pipelines().copied().collect());
    kforge_tools::explain::explain(name, &passes, &pipelines)
}

/// The file of `-o`, once known.
#[derive(Default)]
struct File(Option<Output>);

impl Writer for File {
    fn begin(&mut self, file: &Path) -> Option<OsString> {
        match Output::create(file) {
            Ok(output) => Some(self.0.insert(output).name().as_os_str().to_owned()),
            Err(error) => {
                program::failure(NAME, &error);
                None
            }
        }
    }

    fn end(&mut self, written: bool) -> bool {
        let Some(output) = self.0.take().filter(|_| written) else { return written };
        output.finish().map_err(|error| program::failure(NAME, &error)).is_ok()
    }
}

fn passes() -> impl Iterator<Item = &'static &'static PassInfo> {
    kforge_passes::PASSES.iter().chain(kforge_lowering::PASSES)
}

fn pipelines() -> impl Iterator<Item = &'static &'static PipelineInfo> {
    kforge_passes::PIPELINES.iter().chain(kforge_lowering::PIPELINES)
}

/// Every pass and pipeline, in the form of docs/passes.md.
fn markdown() -> String {
    let mut text = String::from(
        "<!-- Written by `make docs`. -->\n\n# Passes\n\nRun one by its name, `kforge-opt --fuse-qkv`, or several by \
         `--pass-pipeline='builtin.module(func.func(fuse-qkv,fuse-norm),select-kernels{target=avx2})'`; \
         `--mlir-pass-statistics` prints the counts.\n\n\
         | pass | on | what it does | options (default) | statistics |\n|---|---|---|---|---|\n",
    );
    for info in passes() {
        let options: Vec<String> = info.options.iter().map(option).collect();
        let statistics: Vec<String> = info.statistics.iter().map(|s| format!("`{}`: {}", s.name, s.summary)).collect();
        text += &format!(
            "| `{}` | `{}` | {} | {} | {} |\n",
            info.name,
            info.anchor,
            info.summary,
            options.join("; "),
            statistics.join("; ")
        );
    }
    text += "\n# Pipelines\n\n| pipeline | what it does | options (default) | passes by default |\n|---|---|---|---|\n";
    for info in pipelines() {
        let options: Vec<String> = info.options.iter().map(option).collect();
        let passes = (info.passes)(&PipelineOptions::defaults(info)).expect("a pipeline takes its own defaults");
        text += &format!("| `{}` | {} | {} | `{passes}` |\n", info.name, info.summary, options.join("; "));
    }
    text
}

fn option(info: &OptionInfo) -> String {
    format!("`{}` ({}): {}", info.name, info.default.text(), info.summary)
}
