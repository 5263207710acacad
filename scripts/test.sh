#!/usr/bin/env bash
# Formatting, lints and every test, each step with its time; then the tests that took longest.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
export KFORGE_TEST_TIMES=$PWD/target/test-times.tsv
[[ $target == /* ]] && KFORGE_TEST_TIMES=$target/test-times.tsv

# Cargo shows its own progress while it builds.
step() {
  local title=$1 begin=$SECONDS status=0
  shift
  printf '== %s\n' "$title"
  "$@" || status=$?
  printf '== %s: %d s\n\n' "$title" $((SECONDS - begin))
  return "$status"
}

step "formatting" cargo fmt --all --check
# A crate of its own, which `make example` builds: here only that its lock file follows the workspace.
step "lock file of examples/out-of-tree" \
  cargo tree --quiet --locked --manifest-path examples/out-of-tree/Cargo.toml --depth 0
step "lints" cargo clippy --workspace --all-targets -- -D warnings
step "building the tests" cargo test --workspace --no-run
mkdir -p "$(dirname "$KFORGE_TEST_TIMES")"
: >"$KFORGE_TEST_TIMES"
status=0
runner="target.'cfg(unix)'.runner = ['python3', '$PWD/scripts/time-tests.py']"
step "tests" cargo test --quiet --workspace --no-fail-fast --config "$runner" || status=$?
echo "the slowest of $(wc -l <"$KFORGE_TEST_TIMES") tests:"
sort -t $'\t' -rn "$KFORGE_TEST_TIMES" | awk -F '\t' 'NR <= 20 { printf "%8.1f s  %s\n", $1, $2 }'
exit "$status"
