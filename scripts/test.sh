#!/usr/bin/env bash
# Formatting, lints and every test; then the tests that took longest.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
export KFORGE_TEST_TIMES=$PWD/target/test-times.tsv
[[ $target == /* ]] && KFORGE_TEST_TIMES=$target/test-times.tsv

cargo fmt --all --check
cargo clippy --quiet --workspace --all-targets -- -D warnings
mkdir -p "$(dirname "$KFORGE_TEST_TIMES")"
: >"$KFORGE_TEST_TIMES"
status=0
cargo test --quiet --workspace --config "target.'cfg(unix)'.runner = ['python3', '$PWD/scripts/time-tests.py']" || status=$?
echo "the slowest of $(wc -l <"$KFORGE_TEST_TIMES") tests:"
sort -t $'\t' -rn "$KFORGE_TEST_TIMES" | awk -F '\t' 'NR <= 20 { printf "%8.1f s  %s\n", $1, $2 }'
exit "$status"
