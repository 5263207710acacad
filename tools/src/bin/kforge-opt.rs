//! `mlir-opt` over the transformer dialect and the passes of this project.
//!
//! `--show-passes` lists the passes; `--show-passes=markdown` writes docs/passes.md.

use kforge_dialect::{
    Tool,
    pass::{OptionValue, PassInfo, statistics_report},
    tool_main,
};
use kforge_passes::isa::Isa;

/// Name, anchor, option, passes.
fn pipelines() -> [(&'static str, &'static str, String); 4] {
    [
        ("kforge-fuse", "", kforge_passes::kforge_fuse(Isa::host())),
        ("kforge-cpu", "`isa` (host)", kforge_lowering::LAUNCHES.to_owned()),
        ("kforge-gpu", "`adapter` ()", kforge_lowering::LAUNCHES.replace("{isa}", "{isa=gpu adapter}")),
        ("kforge-llvm", "", kforge_lowering::LLVM.to_owned()),
    ]
}

fn main() {
    kforge_lowering::register();
    kforge_tools::tuner::install();
    let arguments: Vec<String> = std::env::args().collect();
    let has =
        |names: &[&str]| arguments.iter().any(|a| names.contains(&a.trim_start_matches('-')) && a.starts_with('-'));
    if has(&["show-passes"]) {
        passes().for_each(|info| println!("--{:<26} {}", info.name, info.summary));
        return;
    }
    if has(&["show-passes=markdown"]) {
        print!("{}", markdown());
        return;
    }
    let wants_statistics = arguments.iter().any(|a| a.trim_start_matches('-').starts_with("mlir-pass-statistics"));
    let code = tool_main(Tool::Opt, arguments.into_iter());
    if wants_statistics {
        eprint!("{}", statistics_report(passes()));
    }
    std::process::exit(code);
}

fn passes() -> impl Iterator<Item = &'static &'static PassInfo> {
    kforge_passes::PASSES.iter().chain(kforge_lowering::PASSES)
}

/// Every pass and pipeline, as docs/passes.md has them.
fn markdown() -> String {
    let mut text = String::from(
        "<!-- Written by `make docs`. -->\n\n# Passes\n\nRun one by its name, `kforge-opt --fuse-qkv`, or several by \
         `--pass-pipeline='builtin.module(func.func(fuse-qkv,fuse-norm),select-kernels{isa=avx2})'`; \
         `--mlir-pass-statistics` prints the counts.\n\n\
         | pass | on | what it does | options (default) | statistics |\n|---|---|---|---|---|\n",
    );
    for info in passes() {
        let options: Vec<String> =
            info.options.iter().map(|o| format!("`{}` ({}): {}", o.name, default(&o.default), o.summary)).collect();
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
    text += "\n# Pipelines\n\n`kforge-cpu` and `kforge-gpu` begin with the passes of `kforge-fuse`, the latter with `fuse-rope-attention` before the last; \
             their options are those of `select-kernels`.\n\n\
             | pipeline | option (default) | passes |\n|---|---|---|\n";
    for (name, options, passes) in pipelines() {
        text += &format!("| `{name}` | {options} | `{passes}` |\n");
    }
    text
}

fn default(value: &OptionValue) -> String {
    match value {
        OptionValue::Bool(b) => b.to_string(),
        OptionValue::Integer(i) => i.to_string(),
        OptionValue::Text(t) => (*t).to_owned(),
    }
}
