"""Unpack TensorFlow's protobuf stubs, and nothing else of it, into the environment that runs this.

python tensorflow_stubs.py tensorflow_cpu-2.21.0-....whl
"""

from __future__ import annotations

import sys
import sysconfig
import zipfile
from pathlib import Path


def main() -> None:
    """Unpack the stubs, and make packages of their folders."""
    packages = Path(sysconfig.get_path("purelib"))
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        stubs = [name for name in wheel.namelist() if name.startswith("tensorflow/") and name.endswith("_pb2.py")]
        wheel.extractall(packages, stubs)
    for folder in {parent for stub in stubs for parent in Path(stub).parents} - {Path()}:
        (packages / folder / "__init__.py").touch()


if __name__ == "__main__":
    main()
