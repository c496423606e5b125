from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def demo(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make demo` leaves in build/demo: the digits' repository and the held-out digits."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, str(root / "examples/demo/train.py"), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder
