#!/usr/bin/env bash
# Finds what the build needs and installs what is missing; does nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf '%s\n' "$@" >&2; exit 1; }
confirm() { echo "setup: $*" >&2; }

# Every piece that a build or a test opens, and the Debian package that holds it.
debian_missing() {
  local prefix=${1:-/usr/lib/llvm-22} path package
  while read -r path package; do
    [[ -e $path ]] || echo "$package"
  done <<PIECES | sort -u
$prefix/bin/llvm-config llvm-22
$prefix/include/llvm-c/Core.h llvm-22-dev
$prefix/include/mlir-c/IR.h libmlir-22-dev
$prefix/lib/libMLIRIR.a libmlir-22-dev
$prefix/bin/mlir-tblgen mlir-22-tools
$prefix/bin/FileCheck llvm-22-tools
$prefix/bin/lit llvm-22-tools
$prefix/bin/clang clang-22
$prefix/lib/libclang.so libclang-22-dev
$prefix/bin/ld.lld lld-22
$prefix/lib/libPolly.a libpolly-22-dev
/usr/include/zstd.h libzstd-dev
/usr/include/z3.h libz3-dev
/usr/include/zlib.h zlib1g-dev
/usr/include/libxml2 libxml2-dev
/usr/include/histedit.h libedit-dev
/usr/include/$(uname -m)-linux-gnu/ffi.h libffi-dev
/usr/bin/c++ g++
PIECES
  # The GPU's tests run on any Vulkan driver; without one, Mesa's in software.
  PATH=$PATH:/usr/sbin:/sbin ldconfig -p | grep 'libvulkan\.so\.1 ' >/dev/null || echo libvulkan1
  compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null || compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null ||
    echo mesa-vulkan-drivers
  command -v python3 >/dev/null || echo python3
  python3 -c 'import pip' 2>/dev/null || echo python3-pip
}

install_debian() {
  local sudo=() packages=("$@")
  if [[ $(id -u) -ne 0 ]]; then sudo=(sudo); fi
  local command="${sudo[*]:+sudo }apt-get update && ${sudo[*]:+sudo }apt-get install -y --no-install-recommends ${packages[*]}"
  confirm "installing ${packages[*]}"
  if [[ $(id -u) -ne 0 ]] && ! command -v sudo >/dev/null; then
    fail "setup: not root, and there is no sudo. As root, run:" "  ${command//sudo /}"
  fi
  if ! { "${sudo[@]}" apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null; }; then
    fail "setup: installing failed. Run this and read its message:" "  $command" \
      "When apt knows no llvm-22 packages (an older suite than Debian 12 with its security updates), add LLVM's own" \
      "Debian package repository for version 22 to apt's sources, then run 'make setup' again."
  fi
}

# What some tests need, which are ignored without it: a browser, an emulator of AArch64.
debian_wanted() {
  local browser
  for browser in chromium chromium-browser google-chrome google-chrome-stable ""; do
    command -v "$browser" >/dev/null && break
  done
  [[ -n $browser ]] || echo chromium
  command -v qemu-aarch64 >/dev/null || echo qemu-user
}

# Installs what is wanted as far as this distribution has it and this user may; says what it left out.
install_wanted() {
  local package sudo=() packages=() wanted=("$@")
  if [[ $(id -u) -ne 0 ]]; then sudo=(sudo -n); fi
  if ! command -v apt-get >/dev/null || ! "${sudo[@]}" true 2>/dev/null; then
    confirm "some tests will be ignored; they need ${wanted[*]}"
    return
  fi
  compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null || "${sudo[@]}" apt-get update -qq || true
  for package in "${wanted[@]}"; do
    # Of a name that another package only mentions, apt-cache shows nothing.
    if [[ -n $(apt-cache show "$package" 2>/dev/null) ]]; then packages+=("$package"); fi
  done
  [[ ${#packages[@]} -gt 0 ]] || return 0
  confirm "installing ${packages[*]}"
  local install=(apt-get install -y -qq --no-install-recommends "${packages[@]}")
  # Lists that are older than the pool name files that are gone.
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" "${install[@]}" >/dev/null 2>&1 ||
    { "${sudo[@]}" apt-get update -qq && DEBIAN_FRONTEND=noninteractive "${sudo[@]}" "${install[@]}" >/dev/null; } ||
    confirm "${packages[*]} could not be installed; tests that need them will be ignored"
}

setup_linux() {
  local prefix missing
  prefix=$(scripts/llvm-prefix.sh)
  mapfile -t missing < <(debian_missing "$prefix")
  if [[ ${#missing[@]} -gt 0 ]]; then
    command -v apt-get >/dev/null ||
      fail "setup: this system has no apt. Install LLVM and MLIR 22.1 (development files, tools, clang, lld) with zstd, z3," \
        "zlib, libxml2, libedit and libffi, and set LLVM_PREFIX to where LLVM is. Debian calls the missing packages:" "  ${missing[*]}"
    install_debian "${missing[@]}"
    mapfile -t missing < <(debian_missing "$(scripts/llvm-prefix.sh)")
    [[ ${#missing[@]} -eq 0 ]] || fail "setup: still missing after installing: ${missing[*]}"
  fi
  mapfile -t missing < <(debian_wanted)
  [[ ${#missing[@]} -eq 0 ]] || install_wanted "${missing[@]}"
}

setup_macos() {
  [[ -n $(scripts/llvm-prefix.sh) ]] && return
  command -v brew >/dev/null || fail "setup: LLVM 22 is missing. Install Homebrew, then run:" "  brew install llvm@22 zstd z3"
  confirm "installing llvm@22 zstd z3"
  brew install --quiet llvm@22 zstd z3 || brew install --quiet llvm zstd z3 || fail "setup: installing failed. Run:" "  brew install llvm@22 zstd z3"
  [[ -n $(scripts/llvm-prefix.sh) ]] || fail "setup: Homebrew's llvm is not version 22.1; set LLVM_PREFIX to one that is."
}

command -v cargo >/dev/null || fail "setup: Rust is missing. Run:" \
  "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal" \
  "then open a new shell."

case $(uname -s) in
  Linux) setup_linux ;;
  Darwin) setup_macos ;;
  *) fail "setup: $(uname -s) is not supported; Linux and macOS are." ;;
esac
