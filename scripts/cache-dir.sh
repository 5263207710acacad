#!/usr/bin/env bash
# Prints the user's cache directory of KernelForge, as kforge-run finds it.
set -euo pipefail
if [[ -n "${KFORGE_CACHE:-}" ]]; then
  echo "$KFORGE_CACHE"
elif [[ -n "${XDG_CACHE_HOME:-}" ]]; then
  echo "$XDG_CACHE_HOME/kernelforge"
elif [[ $(uname -s) == Darwin ]]; then
  echo "$HOME/Library/Caches/kernelforge"
else
  echo "$HOME/.cache/kernelforge"
fi
