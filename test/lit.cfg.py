# LLVM's lit over the same files that `cargo test -p kforge-test --test lit` runs; `make lit` sets PATH.
import os
import lit.formats

config.name = "kernelforge"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir"]
config.excludes = ["src", "tests"]
config.test_source_root = os.path.dirname(__file__)
config.test_exec_root = os.path.join(
    os.environ.get("CARGO_TARGET_DIR", os.path.join(config.test_source_root, "..", "target")), "lit-llvm"
)
config.environment["PATH"] = os.environ["PATH"]
