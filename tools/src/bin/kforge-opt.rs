//! `mlir-opt` over the transformer dialect and the passes of this project.

use kforge_dialect::{Tool, tool_main};

fn main() {
    kforge_lowering::register();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|a| a == "--show-passes" || a == "-show-passes") {
        for info in kforge_passes::PASSES.iter().chain(kforge_lowering::PASSES) {
            println!("--{:<26} {}", info.name, info.summary);
        }
        return;
    }
    std::process::exit(tool_main(Tool::Opt, arguments.into_iter()));
}
