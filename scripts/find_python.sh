#!/usr/bin/env bash
# Prints the interpreter to build with: the first of these that runs and is Python 3.11, 3.12 or 3.13.
set -euo pipefail

for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
  if path=$(command -v "$candidate") &&
    "$path" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
    echo "$path"
    exit 0
  fi
done
cat >&2 <<'MESSAGE'
No Python 3.11, 3.12 or 3.13 was found. Install one (on Debian and Ubuntu: apt-get install python3 python3-venv
python3-dev), or name one: make PYTHON=/path/to/python3.12 ...
MESSAGE
exit 1
