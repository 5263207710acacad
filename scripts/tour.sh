#!/usr/bin/env bash
# What `make run` shows: a decoder block through the passes, then text from a real model.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARGO_TARGET_DIR:-target}/release
model=$(scripts/cache-dir.sh)/models/SmolLM2-135M-Instruct.Q4_1.gguf

heading() { printf '\n== %s\n\n' "$1"; }
# Of long output the start; read to its end, so that the writer sees no closed pipe.
first() { awk -v n="$1" 'NR <= n; END { if (NR > n) printf "... %d more lines\n", NR - n }' | cut -c 1-160; }

heading "A decoder block: examples/block.mlir"
"$bin/kforge-opt" examples/block.mlir | sed -n '/func.func/,$p' | first 40

heading "Fused, each region one kernel: kforge-opt examples/block.mlir --kforge-fuse"
"$bin/kforge-opt" examples/block.mlir --kforge-fuse | sed -n '/func.func/,$p' | first 60

heading "Kernels selected and tiled: the same with --select-kernels --tile"
"$bin/kforge-opt" examples/block.mlir --kforge-fuse --select-kernels --tile | grep -o '#transformer.kernel<[^>]*>' | sort | uniq -c

heading "Lowered to launches of generated kernels: kforge-opt examples/block.mlir --kforge-cpu"
"$bin/kforge-opt" examples/block.mlir --kforge-cpu | grep -E '^ *(func\.func|llvm\.func)|transformer\.launch' | first 40

if [[ -f $model ]]; then
  heading "SmolLM2 135M, every kernel made by those passes"
  "$bin/kforge-run" generate --chat --prompt "Why is the sky blue? Answer in two sentences." --max-tokens 64
else
  heading "The model is not here (run 'make model' with a network), so random weights: the text means nothing"
  "$bin/kforge-run" generate --model random:tiny --prompt "Hello" --max-tokens 16
fi
