#!/usr/bin/env bash
# Builds, tests and measures on a machine with a GPU, where there may be no network and nothing else of ours:
# what `make gpu-check` runs. Ends within nine minutes, prints one summary, and fails when any step did.
#
# It needs nvcc, a C++ compiler, and a Python with numpy and pytest (PYTHON names another than the usual ones).
# GPU=optional: without a GPU, end well. MAAS_ORT_GPU: onnxruntime-gpu for that Python, as an unpacked folder or an
# archive; that it runs a model on the GPU is checked too, which takes a Python that has onnx.
set -uo pipefail
cd "$(dirname "$0")/.."

TOTAL_SECONDS=530
logs=build/gpu-check
summary=()
failed=0
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
export PYTHONDONTWRITEBYTECODE=1

find_python() {
  local candidate
  for candidate in ${PYTHON:-} .venv/bin/python python3 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, numpy, pytest; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

count_devices() {
  "$python" - <<'PYTHON'
import ctypes
try:
    driver = ctypes.CDLL("libcuda.so.1")
except OSError:
    print("0: there is no driver (libcuda.so.1)")
else:
    status, count = driver.cuInit(0), ctypes.c_int()
    if status or driver.cuDeviceGetCount(ctypes.byref(count)):
        print(f"0: the driver says {status}")
    else:
        print(f"{count.value}: found" if count.value else "0: the driver shows no device")
PYTHON
}

# step NAME SECONDS COMMAND...: runs it for so long at most, and no longer than is left of the whole.
step() {
  local name=$1 budget=$2 began=$SECONDS status=ok
  shift 2
  local left=$((TOTAL_SECONDS - SECONDS))
  ((budget = budget < left ? budget : left))
  if ((budget <= 0)); then
    status="NOT RUN: no time was left"
  else
    echo "==== $name (at most $budget s)"
    timeout --kill-after=5 "$budget" "$@" 2>&1 | tee "$logs/$name.log"
    case ${PIPESTATUS[0]} in
      0) ;;
      124 | 137) status="FAILED: took more than $budget s" ;;
      *) status="FAILED: see $logs/$name.log" ;;
    esac
  fi
  summary+=("$(printf '%-12s %4d s  %s' "$name" $((SECONDS - began)) "$status")")
  [[ $status == ok ]] || failed=1
  [[ $status == ok ]]
}

finish() {
  printf '\n==== gpu-check, %d s\n' "$SECONDS"
  printf '%s\n' "${summary[@]}"
  exit "$failed"
}

python=$(find_python) || {
  echo "gpu-check: no Python 3.11 or later with numpy and pytest was found; name one: PYTHON=/path/to/python" >&2
  exit 1
}
devices=$(count_devices)
if [[ $devices == 0:* ]]; then
  echo "gpu-check: no GPU: ${devices#0: }"
  [[ ${GPU:-} == optional ]]
  exit
fi

mkdir -p "$logs"
# What an earlier check built is no proof of what is here now.
rm -f build/cuda/libmaas_cuda.so
step build 150 scripts/build_cuda.sh build/cuda/libmaas_cuda.so || finish
step device 30 "$python" -c 'from benchmarks.gpu import found; print(found.gpu().describe())' || finish
# Without pyproject.toml and the other folders' fixtures: both want more than is here.
step tests 150 "$python" -m pytest -c /dev/null --rootdir . --confcutdir tests/gpu --import-mode importlib \
  -p no:cacheprovider -W error -q -ra -m gpu tests/gpu
step benchmarks 120 "$python" -m benchmarks.gpu

if [[ -n ${MAAS_ORT_GPU:-} ]]; then
  folder=$MAAS_ORT_GPU
  if [[ -f $folder ]]; then
    folder=build/onnxruntime-gpu
    step unpack 60 bash -c 'rm -rf "$2" && mkdir -p "$2" && tar -xf "$1" -C "$2"' - "$MAAS_ORT_GPU" "$folder" || finish
  fi
  # Before anything that is installed: both packages own the same folder.
  PYTHONPATH=$(cd "$folder" && pwd):$PYTHONPATH
  packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  for libraries in "$packages"/nvidia/*/lib; do
    [[ -d $libraries ]] || continue
    LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  done
  export LD_LIBRARY_PATH
  step onnxruntime 60 "$python" scripts/gpu_onnxruntime.py
fi
finish
