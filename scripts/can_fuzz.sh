#!/usr/bin/env bash
# can_fuzz.sh CLANGXX: succeeds if that compiler is there and has what fuzzers and the sanitizers are linked with.
set -euo pipefail

program=$(mktemp)
trap 'rm -f "$program"' EXIT
for sanitizers in fuzzer,address,undefined thread; do
  main='int main() {}'
  [[ $sanitizers == fuzzer* ]] && main='extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }'
  echo "$main" | "$1" "-fsanitize=$sanitizers" -x c++ - -o "$program" 2>/dev/null
done
