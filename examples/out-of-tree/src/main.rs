//! An optimizer of one's own: upstream's passes, KernelForge's, one more, a pipeline and a dialect.

mod double_negation;

use kforge_dialect::{
    Tool, Writer, add_dialects,
    pass::{OptionInfo, OptionValue, OptionValues as _, Pipeline, PipelineInfo, register, register_pipeline},
    tool_main,
};
use mlir_sys::MlirDialectRegistry;
use std::{ffi::OsString, path::Path};

unsafe extern "C" {
    fn helloDialects(registry: MlirDialectRegistry);
}

extern "C" fn dialects(registry: MlirDialectRegistry) {
    // SAFETY: the registry is alive.
    unsafe { helloDialects(registry) }
}

static TIDY: PipelineInfo = PipelineInfo {
    name: "tidy",
    summary: "Leave out double negations, and canonicalize",
    options: &[
        OptionInfo { name: "max", summary: "pairs to leave out at most; 0 is all", default: OptionValue::Integer(0) },
        OptionInfo { name: "fuse", summary: "fuse afterwards", default: OptionValue::Bool(false) },
    ],
    passes: |options| {
        let max = options.integer("max");
        if max < 0 {
            return Err(format!("max is {max}; give 0 or more"));
        }
        let fuse: &[_] = if options.flag("fuse") { &["kforge-fuse"] } else { &[] };
        let passes = Pipeline::default().on_functions(&["double-negation"]).with(vec![("max", max.to_string())]);
        Ok(passes.on_module(&["canonicalize"]).on_module(fuse))
    },
};

/// Writes `-o` in place. A tool for people would write beside it and rename.
struct InPlace;

impl Writer for InPlace {
    fn begin(&mut self, file: &Path) -> Option<OsString> {
        Some(file.as_os_str().to_owned())
    }
    fn end(&mut self, written: bool) -> bool {
        written
    }
}

fn main() {
    kforge_dialect::start(c"out-of-tree");
    add_dialects(dialects);
    kforge_lowering::register();
    register(&double_negation::INFO);
    register_pipeline(&TIDY);
    std::process::exit(tool_main(Tool::Opt(&mut InPlace), std::env::args_os()));
}
