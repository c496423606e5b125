"""An earlier commit of this repository, built into an environment of its own; made once, below build/previous/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / "build" / "previous"
# The last commit before deadlines were scheduled.
BEFORE_DEADLINES = "3735761"


def maas(commit: str) -> Path:
    """Return the `maas` command of that commit, which is built if it is not there yet."""
    folder = ENVIRONMENTS / commit
    made = folder / "made"
    command = folder / "venv" / "bin" / "maas"
    if not made.exists():
        print(f"... building {commit} into {folder}", file=sys.stderr, flush=True)
        _build(commit, folder)
        made.touch()
    return command


def _build(commit: str, folder: Path) -> None:
    sources, venv = folder / "sources", folder / "venv"
    sources.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(sources)], input=archive, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    # That commit's own constraints: what it was measured and tested with.
    constraints = ["--constraint", str(sources / "constraints.txt")]
    listed = subprocess.run(
        [sys.executable, str(sources / "scripts" / "requirements.py"), "cpu"],
        cwd=sources,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    requirements = folder / "requirements.txt"
    requirements.write_text(listed)
    subprocess.run([*pip, *constraints, "--requirement", str(requirements)], check=True)
    subprocess.run([*pip, *constraints, "--no-build-isolation", "--no-deps", str(sources)], check=True)
