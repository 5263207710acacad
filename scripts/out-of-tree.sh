#!/usr/bin/env bash
# Builds the crate that uses KernelForge from outside its workspace, and checks what its pass and its pipeline do.
set -euo pipefail
cd "$(dirname "$0")/../examples/out-of-tree"
target=${CARGO_TARGET_DIR:-../../target}

cargo build --locked --target-dir "$target"
tool=$target/debug/out-of-tree
out=$("$tool" negations.mlir --tidy=max=1 --mlir-pass-statistics 2>&1)
check() { grep -F -e "$1" <<<"$out" >/dev/null || { printf 'out-of-tree: no "%s" in\n%s\n' "$1" "$out" >&2; exit 1; }; }
check '"hello.world"()'
check 'transformer.silu %arg0'
check '(S) 1 pairs - pairs left out'
if out=$("$tool" negations.mlir --tidy=max=-1 2>&1); then
  echo "out-of-tree: a wrong option passed" >&2
  exit 1
fi
check "the pipeline 'tidy': max is -1; give 0 or more"
