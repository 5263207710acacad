//! The test-case reducer of upstream, over the transformer dialect and the passes of this project.

use kforge_dialect::{Tool, tool_main};

pub fn main() -> ! {
    kforge_tools::program::start(c"kforge-reduce");
    kforge_lowering::register();
    std::process::exit(tool_main(Tool::Reduce, std::env::args_os()));
}
