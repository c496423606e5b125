"""Results: what a scenario returns, the table for people, the lines for history."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import operator
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

HISTORY = Path(__file__).with_name("history")
_PACKAGES = ("grpcio", "onnxruntime", "numpy", "protobuf", "uvloop", "maas-server")


class NotMeasured(Exception):
    """What a scenario needs is not here; the message says what."""


@dataclass(frozen=True)
class Goal:
    """A bound on a result's ratio, or on its value where the goal is an absolute one."""

    comparison: Literal["<=", ">="]
    bound: float
    of: Literal["ratio", "value"] = "ratio"

    def __str__(self) -> str:
        return f"{self.of} {self.comparison} {self.bound:g}"


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    name: str
    value: float
    unit: str
    reference: float
    reference_name: str
    goal: Goal
    ratio: float
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        compare = operator.le if self.goal.comparison == "<=" else operator.ge
        return bool(compare(self.ratio if self.goal.of == "ratio" else self.value, self.goal.bound))


@dataclass(frozen=True)
class Circumstances:
    """What a number depends on beside the code."""

    commit: str
    cpu: str
    cores: int
    kernel: str
    versions: Mapping[str, str]
    scheduling_policy: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """What the environment sets for servers that are not told otherwise, as `MAAS_FRONT=compiled`."""
    gpu: Mapping[str, str] = field(default_factory=dict)
    """Its name, and the versions of its driver and runtime; empty where there is none."""

    @classmethod
    def observe(cls, scheduling_policy: str, gpu: Mapping[str, str] | None = None) -> Circumstances:
        """Look at this machine, checkout and environment."""
        versions = {name: version for name in _PACKAGES if (version := _version(name))}
        versions["python"] = platform.python_version()
        settings = {name: value for name, value in sorted(os.environ.items()) if name.startswith("MAAS_")}
        machine = (_cpu(), os.cpu_count() or 0, platform.release())
        return cls(_commit(), *machine, versions, scheduling_policy, settings, gpu or {})

    def header(self) -> str:
        """Return the lines above the table."""
        versions = ", ".join(f"{name} {version}" for name, version in sorted(self.versions.items()))
        settings = "".join(f", {name}={value}" for name, value in self.settings.items())
        gpu = ", ".join(f"{name} {value}" for name, value in self.gpu.items()) or "none"
        load = os.getloadavg()[0]
        return (
            f"commit {self.commit}, {self.cpu} ({self.cores} cores), Linux {self.kernel}, load average {load:.2f}\n"
            f"{versions}{settings}\nGPU: {gpu}\n"
            f"scheduling policy {self.scheduling_policy}; ratio: median over alternating rounds"
        )


def table(results: Sequence[Result], not_measured: Mapping[str, str] | None = None) -> str:
    """Return the results as aligned columns, and below them why scenarios have none."""
    head = ("scenario", "value", "unit", "reference", "", "ratio", "goal", "met")
    rows = [
        (
            result.name,
            _number(result.value),
            result.unit,
            _number(result.reference),
            result.reference_name,
            f"{result.ratio:.3f}",
            str(result.goal),
            "yes" if result.met else "NO",
        )
        for result in results
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    right = {1, 3, 5}
    reasons = not_measured or {}
    widths[0] = max([widths[0], *map(len, reasons)])
    missing = [f"{name.ljust(widths[0])}  not measured: {why}" for name, why in reasons.items()]
    lines = [
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([*lines, *missing])


def append_to_history(result: Result, circumstances: Circumstances) -> None:
    """Append one JSON line to the file of this day and commit."""
    now = datetime.datetime.now(datetime.UTC)
    line: dict[str, Any] = {
        "name": result.name,
        "value": result.value,
        "unit": result.unit,
        "reference": result.reference,
        "reference_name": result.reference_name,
        "ratio": result.ratio,
        "goal": str(result.goal),
        "met": result.met,
        "details": dict(result.details),
        "time": now.isoformat(timespec="seconds"),
        "commit": circumstances.commit,
        "cpu": circumstances.cpu,
        "cores": circumstances.cores,
        "kernel": circumstances.kernel,
        "versions": dict(circumstances.versions),
        "scheduling_policy": circumstances.scheduling_policy,
        "settings": dict(circumstances.settings),
        "gpu": dict(circumstances.gpu),
        "load_average": os.getloadavg()[0],
    }
    HISTORY.mkdir(exist_ok=True)
    path = HISTORY / f"{now:%Y-%m-%d}-{circumstances.commit}.jsonl"
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _version(package: str) -> str | None:
    """Kernels are also measured where hardly anything is installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    """The checked-out commit, marked when files that matter differ from it."""
    here = Path(__file__).parent
    if shutil.which("git") is None:
        return "none"

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", ":/", ":(exclude,top)benchmarks/history")
    return (git("rev-parse", "--short=12", "--verify", "-q", "HEAD") or "none") + ("-dirty" if changed else "")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
