"""From the start of the command to readiness, beside what loading the model takes any server."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks import models
from benchmarks.bench import Bench, alternate, median, median_ratio
from benchmarks.processes import SERVER_CORE, serve
from benchmarks.report import Goal, Result


def run(bench: Bench) -> Result:
    """Compare with a process that imports onnxruntime and loads the model."""
    repository = bench.repository()
    model = models.mlp(repository)
    rounds = alternate(3, ours=lambda: _ready_seconds(repository), load=lambda: _load_seconds(model.path))
    for each in rounds:
        each["added"] = each["ours"] - each["load"]
    return Result(
        name="startup",
        value=median(rounds, "added"),
        unit="s added",
        reference=median(rounds, "load"),
        reference_name="import and load alone",
        goal=Goal("<=", 1.0, of="value"),
        ratio=median_ratio(rounds, "ours", "load"),
        details={"start_to_ready_s": median(rounds, "ours")},
    )


def _ready_seconds(repository: Path) -> float:
    started = time.monotonic()
    with serve(repository):
        return time.monotonic() - started


def _load_seconds(path: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.references", "SCHED_OTHER", "load", str(path)]
    started = time.monotonic()
    subprocess.run(["taskset", "-c", str(SERVER_CORE), *command], check=True)
    return time.monotonic() - started
