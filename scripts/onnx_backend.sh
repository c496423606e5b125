#!/usr/bin/env bash
# Gets the files of the ONNX project's backend tests out of its package: onnx_backend.sh PYTHON REQUIREMENTS FOLDER
set -euo pipefail

python=$1
requirements=$2
folder=$3
data=onnx/backend/test/data

wheel=$(mktemp -d)
trap 'rm -rf "$wheel" "$folder.new"' EXIT
"$python" -m pip --quiet --disable-pip-version-check download --no-deps --only-binary=:all: \
  --dest "$wheel" --requirement "$requirements"
mkdir -p "$folder.new"
"$python" -c '
import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if name.startswith(sys.argv[3])])
' "$wheel"/onnx-*.whl "$folder.new" "$data/"
rm -rf "$folder"
mv "$folder.new/$data" "$folder"
