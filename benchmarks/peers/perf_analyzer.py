"""perf_analyzer, Triton's own load generator, on us and on a plain handler: the same client, the same protocol.

The plain handler runs as it comes. The details also compare with one that is given the scheduling policy that our
server gives itself.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks import models
from benchmarks.bench import Bench, alternate, median, median_ratio
from benchmarks.processes import LOAD_CORE, Server, reference_module, serve
from benchmarks.report import Goal, Result

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".venv" / "foreign" / "perf_analyzer"
# The kernel's own scheduling policy.
AS_IT_COMES = "SCHED_OTHER"


@dataclass(frozen=True)
class Measured:
    """What perf_analyzer printed of one concurrency."""

    per_second: float
    p50_us: float


def latency(bench: Bench) -> Result:
    """One request at a time."""
    measured = _measure(bench, 1)
    return Result(
        name="perf-latency",
        value=measured["ours_p50"],
        unit="µs, p50, concurrency 1",
        reference=measured["plain_p50"],
        reference_name="plain OIP handler",
        goal=Goal("<=", 1.1),
        ratio=measured["p50_ratio"],
        details=measured,
    )


def throughput(bench: Bench) -> Result:
    """64 requests under way; what 8 give stands in the details."""
    eight = _measure(bench, 8)
    measured = _measure(bench, 64)
    return Result(
        name="perf-throughput",
        value=measured["ours_per_second"],
        unit="inferences/s, concurrency 64",
        reference=measured["plain_per_second"],
        reference_name="plain OIP handler",
        goal=Goal(">=", 3),
        ratio=measured["per_second_ratio"],
        details=measured | {f"{name}_at_8": value for name, value in eight.items()},
    )


def _measure(bench: Bench, concurrency: int) -> dict[str, float]:
    """Compare on the MLP; the ratios are ours to the plain handler's."""
    repository = bench.repository()
    model = models.mlp(repository)
    _install()
    with serve(repository) as ours:
        policy = ours.scheduling_policy()
        plain = reference_module("benchmarks.peers.plain", model.name, model.path, policy=AS_IT_COMES)
        tuned = reference_module("benchmarks.peers.plain", model.name, model.path, policy=policy)
        with plain as other, tuned as best:
            for server in (ours, other, best):
                model.check_infer(server.target)
            seen: dict[str, list[Measured]] = {"ours": [], "plain": [], "tuned": []}

            def per_second(side: str, server: Server) -> float:
                seen[side].append(_analyze(bench, server, model, concurrency))
                return seen[side][-1].per_second

            rounds = alternate(
                3 if bench.quick else 5,
                ours=lambda: per_second("ours", ours),
                plain=lambda: per_second("plain", other),
                tuned=lambda: per_second("tuned", best),
            )
    # The first round counts neither here nor there.
    p50 = [
        {side: each.p50_us for side, each in zip(seen, sides, strict=True)}
        for sides in zip(*(measured[1:] for measured in seen.values()), strict=True)
    ]
    return {
        "ours_per_second": median(rounds, "ours"),
        "plain_per_second": median(rounds, "plain"),
        "per_second_ratio": median_ratio(rounds, "ours", "plain"),
        "ours_p50": median(p50, "ours"),
        "plain_p50": median(p50, "plain"),
        "p50_ratio": median_ratio(p50, "ours", "plain"),
        "per_second_ratio_to_tuned": median_ratio(rounds, "ours", "tuned"),
        "p50_ratio_to_tuned": median_ratio(p50, "ours", "tuned"),
    }


def _analyze(bench: Bench, server: Server, model: models.Model, concurrency: int) -> Measured:
    (library,) = HOME.glob("lib/python*/site-packages/nvidia/cuda_runtime/lib")
    report = bench.folder / "perf_analyzer.csv"
    window = "1000" if bench.quick else "2000"
    command = ["taskset", "-c", str(LOAD_CORE), str(HOME / "bin" / "perf_analyzer"), "-m", model.name]
    command += ["-u", server.target, "-i", "grpc", "--concurrency-range", str(concurrency), "-f", str(report)]
    # One window each: rounds alternate with the other server, which tells more than windows that agree.
    command += ["--measurement-interval", window, "--stability-percentage", "999", "--max-trials", "3"]
    command += ["--shape", f"x:{model.row.shape[1]}", "--percentile", "50"]
    done = subprocess.run(
        command, env={"LD_LIBRARY_PATH": str(library)}, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"perf_analyzer failed:\n{done.stdout}{done.stderr}")
    (row,) = csv.DictReader(report.read_text().splitlines())
    return Measured(float(row["Inferences/Second"]), float(row["p50 latency"]))


def _install() -> None:
    make = ["make", "--no-print-directory", "-f", "tests/foreign/Makefile", "perf_analyzer"]
    print("... perf_analyzer", file=sys.stderr, flush=True)
    subprocess.run(make, cwd=ROOT, check=True)
