"""Dequantization while packing, against memcpy of as many bytes as it writes: csrc's own benchmark, on one core."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.processes import SERVER_CORE
from benchmarks.report import Goal, Result

ROOT = Path(__file__).parents[2]
PROGRAM = "build/bench/maas/quant/quantize_bench"
# A tensor of 1 MiB as it comes (int8, 4 MiB of floats), and one of 1 MiB as it is written.
WRITTEN_KIB = (4096, 1024)
_LINE = re.compile(
    r"^(?P<isa>\S+)\s+INT8 -> FP32\s+(?P<kib>\d+) KiB written\s+memcpy\s+(?P<memcpy>[\d.]+) GB/s"
    r"\s+dequantize\s+(?P<dequantize>[\d.]+) GB/s\s+ratio (?P<ratio>[\d.]+)$",
    re.MULTILINE,
)


def run(_: Bench) -> Result:
    """Report the worse of the two readings of a 1 MB tensor, on the best instruction set of this CPU."""
    build = ["make", "-s", "-j2", "-f", "csrc/Makefile", "VARIANT=bench", PROGRAM]
    subprocess.run(build, cwd=ROOT, check=True)
    command = ["taskset", "-c", str(SERVER_CORE), PROGRAM]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # From the portable code to the best: the last line of a size holds.
    lines = {int(line["kib"]): line for line in _LINE.finditer(output)}
    worst = min((lines[kib] for kib in WRITTEN_KIB), key=lambda line: float(line["ratio"]))
    return Result(
        name="dequantize",
        value=float(worst["dequantize"]),
        unit="GB/s written",
        reference=float(worst["memcpy"]),
        reference_name=f"memcpy ({worst['isa']})",
        goal=Goal(">=", 0.8),
        ratio=float(worst["ratio"]),
        details={f"ratio_{kib}_kib": float(line["ratio"]) for kib, line in sorted(lines.items())},
    )
