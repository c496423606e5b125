"""Where the microseconds of a tiny unary request go, component by component, as perf samples them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from benchmarks import models
from benchmarks.bench import Bench
from benchmarks.components import Components
from benchmarks.fronts import compiled, saturate
from benchmarks.load import Call
from benchmarks.processes import LOAD_CORE, Server
from benchmarks.report import Goal, Result

_PER_SECOND = 1999
_WITH_SYMBOLS = "rm -f .venv/.built && MAAS_KEEP_SYMBOLS=1 make build"


def run(bench: Bench) -> Result:
    """Print the share of each component, and return them as details.

    Raises:
        RuntimeError: there is no perf, it may not look, or sees only addresses.
    """
    perf = shutil.which("perf")
    if perf is None:
        raise RuntimeError("perf is missing: apt-get install linux-perf")
    model = models.tiny(bench.repository())
    call = Call.predict(bench.folder, model)
    count = bench.count(300_000)
    recorded = bench.folder / "perf.data"

    with compiled(model.path.parents[2]) as server:
        model.check(server.target)
        saturate(server, call, count // 10, model)
        with subprocess.Popen(_record(perf, server, recorded), stderr=subprocess.PIPE) as recorder:
            load = saturate(server, call, count, model)
            recorder.send_signal(signal.SIGINT)
            _, problem = recorder.communicate()
    if not recorded.exists():
        raise RuntimeError(f"perf recorded nothing: {problem.decode(errors='replace')[-1000:]}")
    report = _report(perf, recorded)
    if "maas::" not in report:
        raise RuntimeError(f"the core has no symbols: {_WITH_SYMBOLS}")
    shares = parse_shares(report)
    costs = {component: load.cpu_us * share for component, share in shares.items()}
    listed = ", ".join(f"{component} {cost:.2f}" for component, cost in costs.items())
    print(f"... front_where: {load.cpu_us:.2f} CPU-µs/request: {listed}", file=sys.stderr, flush=True)
    return Result(
        name="front_where",
        value=load.cpu_us,
        unit="CPU-µs/request",
        reference=costs.get("kernel", 0.0),
        reference_name="of them in the kernel",
        goal=Goal("<=", 10, "value"),
        ratio=shares.get("kernel", 0.0),
        details=costs,
    )


def _record(perf: str, server: Server, to: Path) -> list[str]:
    # Only software events are to be had in many virtual machines.
    options = ["-e", "cpu-clock", "-F", str(_PER_SECOND), "-o", str(to), "-p", str(server.pid)]
    return ["taskset", "-c", str(LOAD_CORE), perf, "record", *options]


def _report(perf: str, recorded: Path) -> str:
    command = [perf, "report", "-i", str(recorded), "--stdio", "--no-children", "-F", "overhead,dso,sym", "-t", "|"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def parse_shares(report: str) -> dict[str, float]:
    """Return the share of each component in all samples, largest first, from what `perf report` printed."""
    components = Components()
    shares: defaultdict[str, float] = defaultdict(float)
    for line in report.splitlines():
        share, _, rest = line.partition("|")
        library, _, symbol = rest.partition("|")
        if symbol and share.strip().endswith("%"):
            # The symbol has its place in front: [k] the kernel, [.] the process.
            place, _, name = symbol.strip().partition(" ")
            component = "kernel" if place == "[k]" else components.of(library.strip(), name)
            shares[component] += float(share.strip().rstrip("%")) / 100
    return dict(sorted(shares.items(), key=lambda each: -each[1]))
