"""What the package and everything that it requires take on disk, beside onnxruntime and numpy."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.report import Goal, Result

ROOT = Path(__file__).parents[2]
NOT_COUNTED = {"onnxruntime", "numpy"}


def run(bench: Bench) -> Result:
    """Install into an empty folder and add up the files."""
    target = bench.folder / "installed"
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(bench.folder), str(ROOT))
    (wheel,) = bench.folder.glob("maas_server-*.whl")
    # The conflicts that it would warn of are with the environment that runs this, not with the empty folder.
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    _pip("install", "--no-warn-conflicts", *constraints, "--target", str(target), f"{wheel}[cpu]")

    total = _disk_bytes(path for path in target.rglob("*") if path.is_file())
    aside = 0
    for distribution in importlib.metadata.distributions(path=[str(target)]):
        if distribution.name.lower() in NOT_COUNTED:
            files = (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
            aside += _disk_bytes(file for file in files if file.is_file())
    counted = total - aside
    return Result(
        name="size",
        value=counted / 1e6,
        unit="MB on disk",
        reference=aside / 1e6,
        reference_name="onnxruntime and numpy",
        goal=Goal("<=", 60, of="value"),
        ratio=counted / aside,
    )


def _disk_bytes(files: Iterable[Path]) -> int:
    return sum(file.stat().st_blocks * 512 for file in files)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", *arguments]
    subprocess.run(command, check=True)
