#!/usr/bin/env bash
# Hand-written files outside test/ and docs/ that a commit touches: scripts/touched.sh [COMMIT]. Lock files, generated
# documentation and test data are not counted.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=${1:-HEAD}
git diff-tree --no-commit-id --name-only -r "$commit" |
  grep -vE '^(test|docs|reports)/|/tests/|(^|/)Cargo\.lock$|^CHANGELOG\.md$|^README\.md$' | sort | tee /dev/stderr | wc -l
