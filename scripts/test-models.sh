#!/usr/bin/env bash
# Compares real models with reference results (scripts/model_reference.py), on the CPU; leaves out those that are not in the
# cache directory. Arguments go to `kforge-run verify`.
set -euo pipefail
cd "$(dirname "$0")/.."

models=$(scripts/cache-dir.sh)/models
status=0
for reference in test/data/models/*.json; do
  name=$(basename "$reference" .json)
  if [[ ! -f $models/$name.gguf ]]; then
    echo "$name: left out, as it is not there; 'make models' fetches it"
    continue
  fi
  echo "$name:"
  "${CARGO_TARGET_DIR:-target}/release/kforge-run" verify --model "$models/$name.gguf" --reference "$reference" "$@" || status=1
done
exit $status
