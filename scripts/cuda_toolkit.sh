#!/usr/bin/env bash
# Prints what the extension _cuda is compiled and linked with, a line each: nvcc, its flags for each architecture, the
# host compiler's, the linker's.  cuda_toolkit.sh SM...: the architectures wanted.
#
# nvcc is that of CUDACXX, of CUDA_HOME, of the path, or of /usr/local/cuda. Architectures that it is too old or too new
# for are left out; the newest it knows of is added in the form that later devices compile for themselves. When
# something is missing it fails, and says what on standard error.
set -euo pipefail

fail() {
  echo "$*" >&2
  exit 1
}
first() {
  local candidate
  for candidate in "$@"; do
    if command -v "$candidate" 2>/dev/null; then return; fi
  done
}
nvcc=$(first ${CUDACXX:+"$CUDACXX"} ${CUDA_HOME:+"$CUDA_HOME/bin/nvcc"} nvcc /usr/local/cuda/bin/nvcc)
[[ -n $nvcc ]] || fail "nvcc (CUDA's compiler)"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo '#include <cuda_runtime.h>' >"$folder/try.cu"
# Says what it calls as well: where nvcc is a script or a link, nothing else tells where its files lie.
said=$("$nvcc" -v -std=c++20 -E "$folder/try.cu" -o "$folder/out" 2>&1) ||
  fail "an nvcc that works with this compiler: $nvcc says $(grep -iE 'error|fatal' <<<"$said" | head -1 | tr '"\\' "'/")"
flags_of() { sed -n "s/^#\\$ $1= *//p" <<<"$said" | tr -d '"' | tr -s ' '; }
includes=$(flags_of INCLUDES | sed 's/-I/-isystem /g')
libraries=$(flags_of LIBRARIES)
echo 'int main() { return 0; }' >"$folder/try.cc"
# shellcheck disable=SC2086
"${CXX:-c++}" "$folder/try.cc" -o "$folder/out" $libraries -lcudart_static -ldl -lrt -pthread 2>/dev/null ||
  fail "libcudart_static.a, of the toolkit of $nvcc"

known=$("$nvcc" --list-gpu-code)
flags=() newest=
for sm in "$@"; do
  if grep -qx "sm_$sm" <<<"$known"; then
    flags+=("-gencode=arch=compute_$sm,code=sm_$sm")
    newest=$sm
  fi
done
[[ -n $newest ]] || fail "an nvcc that knows one of the architectures $*: $nvcc does not"
flags+=("-gencode=arch=compute_$newest,code=compute_$newest")

echo "$nvcc"
echo "${flags[*]}"
echo "$includes"
echo "$libraries -lcudart_static -ldl -lrt"
