#!/usr/bin/env bash
# What `make run` shows: a decoder block through the passes, then text from a real model.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARGO_TARGET_DIR:-target}/release
model=$(scripts/cache-dir.sh)/models/SmolLM2-135M-Instruct.Q4_1.gguf
opt="$bin/kforge-opt examples/block.mlir"

# A step: its title, what it shows, the command as a user would type it.
step=0
step() {
  step=$((step + 1))
  printf '\n== %d. %s\n%s\n' "$step" "$1" "$(fold -s -w 99 <<<"$2" | sed 's/ $//')"
  if [[ $# -gt 2 ]]; then printf '$ %s\n' "$3"; fi
  echo
}
# Of long output the start, cut at 100 columns; read to its end, so that the writer sees no closed pipe.
first() {
  awk -v n="$1" '
    NR <= n { print (length($0) > 100 ? substr($0, 1, 97) "..." : $0) }
    END { if (NR > n) printf "... %d more lines\n", NR - n }'
}
body() { sed -n '/func.func @/,$p'; }

step "A decoder block" "One op, transformer.decoder_block, with its weights as operands." \
  "kforge-opt examples/block.mlir"
$opt | body | first 18

step "Decomposed" "The block became the ops that it is made of: norms, linear layers, rotations, cache updates, attention." \
  "kforge-opt examples/block.mlir --decompose-decoder-block --decompose-mlp"
$opt --decompose-decoder-block --decompose-mlp | body | grep -oE '= (transformer|arith)\.[a-z_]+' | cut -c3- | sort | uniq -c | first 18

step "Fused" "Each transformer.fused is one kernel now: Q, K and V share one read of their input; an activation or a residual is applied to sums that are still in registers." \
  "kforge-opt examples/block.mlir --kforge-fuse"
$opt --kforge-fuse | body | grep -vE '^ *(transformer.yield|%[a-z_.]+ = ml_program.global_load)' | first 24

step "Kernels selected and tiled" "Each kernel has its family and its tile, measured by the tuner where its database knows better than the rule." \
  "kforge-opt examples/block.mlir --kforge-fuse --select-kernels --tile"
$opt --kforge-fuse --select-kernels --tile | grep -o '#transformer.kernel<[^>]*>' | sort | uniq -c | first 18

step "Lowered" "Tensors became buffers of one arena, and the function a list of launches of kernels made for this processor." \
  "kforge-opt examples/block.mlir --kforge-cpu"
$opt --kforge-cpu | grep -o 'transformer\.launch @[a-z_0-9]*\|summary = "[^"]*"' | paste -d ' ' - - | first 20

if [[ -f $model ]]; then
  step "Text" "SmolLM2 135M: every kernel was made by those passes." \
    'kforge-run generate --chat --prompt "Why is the sky blue? Answer in two sentences."'
  "$bin/kforge-run" generate --chat --prompt "Why is the sky blue? Answer in two sentences." --max-tokens 64
else
  step "Text" "The model is not here (run 'make model' with a network), so with random weights: it means nothing." \
    'kforge-run generate --model random:tiny --prompt "Hello"'
  "$bin/kforge-run" generate --model random:tiny --prompt "Hello" --max-tokens 16
fi

cat <<END

== What to try next (with $bin in your PATH)

  kforge-opt examples/block.mlir --kforge-cpu --mlir-print-ir-after-all   every pass, step by step
  kforge-run inspect examples/block.mlir                                  the launches and their buffers
  kforge-run bench model -p 128 -n 64 --profile                           where the time goes
  kforge-run generate --target gpu --chat --prompt "..."                  the same on a GPU
  docs/tutorial/README.md                                                 four chapters, from IR to logits
END
