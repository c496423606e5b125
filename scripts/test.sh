#!/usr/bin/env bash
# Everything that must hold, cheapest first, pytest last: what `make test` runs.
# A part whose system packages cannot be had is left out, and named at the end.
set -euo pipefail

make=${MAKE:-make}
not_run=()

scripts/system_packages.sh test

# Nobody waits for other people's clients: they are made while the rest is checked. What fails here is tried again,
# and reported, by the tests that want it.
mkdir -p build
{
  scripts/system_packages.sh foreign .venv/bin/python || true
  "$make" --no-print-directory --keep-going foreign
} >build/foreign.log 2>&1 &
foreign=$!
trap 'kill $foreign 2>/dev/null || true' EXIT

# part NAME COMMAND...: runs the part if the command that it needs succeeds.
part() {
  local name=$1
  shift
  if ! "$@" >/dev/null 2>&1; then
    not_run+=("$name")
    return
  fi
  echo "==== $name"
  local began=$SECONDS
  "$make" --no-print-directory "$name"
  echo "==== $name: $((SECONDS - began)) s"
}
has() { command -v "$1"; }
gtest() { echo '#include <gtest/gtest.h>' | c++ -std=c++20 -fsyntax-only -x c++ -; }

part lint-py true
part lint-headers true
part lint-format true
part lint-threads has clang++
part tidy has clang-tidy
part test-cpp gtest
part test-asan gtest
part test-tsan gtest
part fuzz scripts/can_fuzz.sh clang++
wait $foreign || true
part test-py true

if ((${#not_run[@]})); then
  echo "Not run, for want of system packages (named above): ${not_run[*]}" >&2
fi
