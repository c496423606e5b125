"""Ten minutes of mixed load: memory must not creep."""

from __future__ import annotations

import itertools
import time

from benchmarks import models
from benchmarks.bench import Bench
from benchmarks.load import Call, burst
from benchmarks.processes import serve
from benchmarks.report import Goal, Result

SECONDS, SETTLING_SECONDS = 600.0, 60.0
QUICK_SECONDS, QUICK_SETTLING_SECONDS = 60.0, 15.0


def run(bench: Bench) -> Result:
    """Compare the resident memory at the end with that after the first minute (quick: 60 s and 15 s)."""
    repository = bench.repository()
    served = [(models.tiny(repository), 4_000), (models.mlp(repository), 2_000), (models.image(repository), 200)]
    bursts = []
    for model, count in served:
        call = Call.predict(bench.folder, model)
        bursts.append((model.name, call, count))
    seconds = QUICK_SECONDS if bench.quick else SECONDS
    settling = QUICK_SETTLING_SECONDS if bench.quick else SETTLING_SECONDS

    with serve(repository) as server:
        for model, _ in served:
            model.check(server.target)
        started, settled, sent = time.monotonic(), 0, 0
        for name, call, count in itertools.cycle(bursts):
            burst(server, call, count, model=name)
            sent += count
            elapsed = time.monotonic() - started
            if not settled and elapsed >= settling:
                settled = server.resident_bytes()
            if elapsed >= seconds:
                break
        end = server.resident_bytes()
    return Result(
        name="memory",
        value=end / 1e6,
        unit="MB resident",
        reference=settled / 1e6,
        reference_name=f"after {settling:.0f} of {seconds:.0f} s",
        goal=Goal("<=", 1.05),
        ratio=end / settled,
        details={"requests": sent},
    )
