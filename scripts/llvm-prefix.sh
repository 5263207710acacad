#!/usr/bin/env bash
# Prints the prefix of LLVM and MLIR 22, or nothing when there is none.
set -euo pipefail

is_22() { [[ -x "$1/bin/llvm-config" && "$("$1/bin/llvm-config" --version)" == 22.1.* ]]; }

candidates=()
[[ -n "${MLIR_SYS_220_PREFIX:-}" ]] && candidates+=("$MLIR_SYS_220_PREFIX")
[[ -n "${LLVM_PREFIX:-}" ]] && candidates+=("$LLVM_PREFIX")
candidates+=(/usr/lib/llvm-22)
if command -v brew >/dev/null; then
  for formula in llvm@22 llvm; do
    prefix=$(brew --prefix "$formula" 2>/dev/null) && candidates+=("$prefix")
  done
fi

for prefix in "${candidates[@]}"; do
  if is_22 "$prefix"; then
    echo "$prefix"
    exit
  fi
done
