#!/usr/bin/env bash
# build_cuda.sh LIBRARY [ARCHITECTURE]: builds the GPU's part alone, for this machine's GPU, as a plain shared library.
#
# It needs nvcc and a C++ compiler, and neither Python's headers nor what the rest of the package is built with: for
# checking the kernels where the package cannot be installed. benchmarks/gpu/found.py loads it.
set -euo pipefail

library=$1
architecture=${2:-native}
cd "$(dirname "$0")/.."

# For the compiler alone: the architectures named are not those that are compiled for.
toolkit=$(scripts/cuda_toolkit.sh 75 80 90) || {
  echo "That is missing, and the GPU's part cannot be built without it." >&2
  exit 1
}
nvcc=$(head -n 1 <<<"$toolkit")
# All but the module for Python.
mapfile -t sources < <(grep -L pybind11 csrc/cuda/*.cu csrc/cuda/*.cc | grep -v '_test\.')
mkdir -p "$(dirname "$library")"
# Beside it first: whoever has the old one loaded keeps it. -fmad: as setup.py has it.
"$nvcc" -O3 -std=c++20 -fmad=false -arch="$architecture" -shared -cudart static -Icsrc \
  -Xcompiler -fPIC,-fvisibility=hidden "${sources[@]}" -o "$library.$$"
mv "$library.$$" "$library"
