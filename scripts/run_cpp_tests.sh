#!/usr/bin/env bash
# Runs GoogleTest programs one after another: run_cpp_tests.sh VARIANT PROGRAM...
# Quiet about what passes; a failing program's output is printed whole. Fails when a program ran no test.
set -euo pipefail

variant=$1
shift
if (($# == 0)); then
  echo "C++ tests ($variant): there is none" >&2
  exit 1
fi

launcher=()
if [[ $variant == tsan ]]; then
  # ThreadSanitizer's shadow has fixed addresses, which high-entropy address randomization can collide with.
  machine=$(uname -m)
  if setarch "$machine" -R true 2>/dev/null; then launcher=(setarch "$machine" -R); fi
fi

export MAAS_GOLDEN=${MAAS_GOLDEN:-tests/golden}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}

total=0
failed=()
for program in "$@"; do
  log=$program.log
  if "${launcher[@]}" "$program" --gtest_brief=0 >"$log" 2>&1; then
    count=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) tests\{0,1\}\..*/\1/p' "$log")
    if [[ -z $count || $count == 0 ]]; then
      echo "$program ran no test" >>"$log"
    else
      total=$((total + count))
      continue
    fi
  fi
  failed+=("$program")
  echo "---- $program" >&2
  cat "$log" >&2
done

if ((${#failed[@]})); then
  echo "C++ tests ($variant): ${#failed[@]} of $# programs failed: ${failed[*]}" >&2
  exit 1
fi
echo "C++ tests ($variant): $total tests in $# programs passed"
