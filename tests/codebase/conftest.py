"""What the tests of the code base itself look at."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def committed(root: Path) -> list[Path]:
    """Every file that is, or on the next commit would be, in the repository."""
    if shutil.which("git") is None:
        pytest.skip("git says which files are the repository's, and is missing: apt-get install git")
    if not (root / ".git").exists():
        pytest.skip(f"git says which files are the repository's, and {root} is no checkout: run this in a git clone")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    files = sorted({root / name for name in listed.split("\0") if name})
    return [path for path in files if path.is_file()]
