"""The demo, as `make demo` runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np


def run_demo(root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, root / "examples" / "demo" / "run.py", folder]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_demo_trains_serves_and_reads_digits_in_all_three_ways(root: Path, tmp_path: Path) -> None:
    first = run_demo(root, tmp_path)

    assert first.returncode == 0, first.stdout + first.stderr
    accuracies = dict(re.findall(r"^(unary, FP32|stream, FP32|unary, int8) +([\d.]+)%", first.stdout, re.MULTILINE))
    assert len(accuracies) == 3
    assert all(float(accuracy) >= 95 for accuracy in accuracies.values())
    assert all(len(line) <= 100 for line in first.stdout.splitlines() if str(tmp_path) not in line)

    model = tmp_path / "models" / "digits" / "1" / "model.onnx"
    trained = model.stat().st_mtime_ns
    second = run_demo(root, tmp_path)
    assert second.returncode == 0, second.stdout + second.stderr
    assert model.stat().st_mtime_ns == trained, "it trained again for nothing"


def test_the_demo_fails_when_the_digits_are_read_badly(root: Path, tmp_path: Path) -> None:
    assert run_demo(root, tmp_path).returncode == 0
    with np.load(tmp_path / "held_out.npz") as held_out:
        images, labels = held_out["images"], held_out["labels"]
    np.savez(tmp_path / "held_out.npz", images=images, labels=np.roll(labels, 1))

    spoiled = run_demo(root, tmp_path)

    assert spoiled.returncode == 1
    assert "less than 95% right" in spoiled.stderr
