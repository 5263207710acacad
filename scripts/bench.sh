#!/usr/bin/env bash
# The default model, exact and fast, and single kernels: reports/model-*.md and reports/cpu.json. Where this machine is
# that of reports/cpu_baseline.json, its figures are compared with those.
set -euo pipefail
cd "$(dirname "$0")/.."
run=${CARGO_TARGET_DIR:-target}/release/kforge-run
mkdir -p reports
for numerics in exact fast; do
  "$run" bench model -p 128 -n 64 --numerics "$numerics" | tee "reports/model-$numerics.md"
  echo
done
"$run" bench suite --output reports/cpu.json --baseline reports/cpu_baseline.json --skip-other-machine
