//! The language server of upstream, over the transformer dialect and the passes of this project.

use kforge_dialect::{Tool, tool_main};

pub fn main() -> ! {
    kforge_tools::program::start(c"kforge-lsp");
    kforge_lowering::register();
    std::process::exit(tool_main(Tool::Lsp, std::env::args_os()));
}
