#!/usr/bin/env bash
# Gets what pip cannot: system_packages.sh build PYTHON, system_packages.sh test, or system_packages.sh foreign PYTHON.
#
# Installs with apt-get where that is allowed (root, or sudo that asks no password); otherwise prints the command.
# build: fails when something is still missing without which nothing works. test, foreign: never fails.
set -euo pipefail

purpose=$1
python=${2:-python3}

has() { command -v "$1" >/dev/null 2>&1; }
compiles() { echo "$2" | "$1" -std=c++20 "${@:3}" -x c++ - -o /dev/null >/dev/null 2>&1; }

# Prints the Debian packages that stand for what is missing.
missing() {
  if [[ $purpose == foreign ]]; then
    # What the clients of tests/foreign/ are made with.
    "$python" -m tests.foreign.tools | sort -u
    return
  fi
  if ! compiles c++ 'int main() {}'; then echo g++; fi
  if [[ $purpose == build ]]; then
    local version
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    "$python" -c 'import ensurepip' 2>/dev/null || echo "$version-venv"
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
      echo "$version-dev"
    # Not needed, but without them there is no compiled front.
    scripts/front_libraries.sh build/nghttp2 2>&1 >/dev/null || true
  else
    compiles c++ $'#include <gtest/gtest.h>\n#include <gmock/gmock.h>\nint main() {}' -lgmock -lgtest || echo libgtest-dev libgmock-dev
    has clang++ || echo clang
    has clang-tidy || echo clang-tidy
    has h2load || echo nghttp2-client
    # ONNX's StringNormalizer wants the locale en_US.UTF-8; where there is none, the tests make it from its source.
    locale -a 2>/dev/null | grep -qix 'en_US.utf-\?8' || [[ -e /usr/share/i18n/locales/en_US ]] || echo locales
    # The sanitizer runtimes are a package of clang's version, which is known once clang is there.
    if has clang++ && ! compiles clang++ 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' \
      -fsanitize=fuzzer,address; then
      echo "libclang-rt-$(clang++ -dumpversion | cut -d. -f1)-dev"
    fi
  fi
}

install() {
  local as_root=()
  if [[ $(id -u) != 0 ]]; then as_root=(sudo -n); fi
  has apt-get && { [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null; } || return 1
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends)
  "${as_root[@]}" apt-get update -qq || return 1
  if "${apt[@]}" "$@" >/dev/null; then return 0; fi
  if [[ $purpose != foreign ]]; then return 1; fi
  # One name that a distribution does not know must not cost the others.
  local package
  for package in "$@"; do "${apt[@]}" "$package" >/dev/null 2>&1 || true; done
}

# Twice, because installing clang uncovers the need for its runtimes.
for _ in 1 2; do
  mapfile -t packages < <(missing | tr ' ' '\n')
  if ((${#packages[@]} == 0)); then exit 0; fi
  echo "Installing system packages: ${packages[*]}" >&2
  install "${packages[@]}" || break
done

mapfile -t packages < <(missing | tr ' ' '\n')
if ((${#packages[@]} == 0)); then exit 0; fi
echo "Missing, and not installed automatically. Type:  sudo apt-get install ${packages[*]}" >&2
optional=$(scripts/front_libraries.sh build/nghttp2 2>&1 >/dev/null || true)
if [[ $purpose == build && ${packages[*]} != "$optional" ]]; then exit 1; fi
