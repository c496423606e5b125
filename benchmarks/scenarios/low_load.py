"""A tenth of the capacity: what scheduling by deadlines costs where none is in danger, beside the commit before it."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import models, previous
from benchmarks.bench import Bench, alternate, compared
from benchmarks.open_loop.arrivals import poisson
from benchmarks.open_loop.generator import offer
from benchmarks.processes import Server, serve
from benchmarks.report import Goal, Result
from benchmarks.scenarios.overload import DEADLINE, Capacity, kind_of, seconds

LOAD = 0.1
BOUND = 1.02


def run(bench: Bench) -> Sequence[Result]:
    """Compare latency and CPU time."""
    earlier = previous.maas(previous.BEFORE_DEADLINES)
    repository = bench.repository()
    model = models.deep(repository)
    kinds = [kind_of(model, DEADLINE)]
    cpu: list[dict[str, float]] = []
    with serve(repository) as ours, serve(repository, maas=earlier) as theirs:
        for server in (ours, theirs):
            model.check(server.target)
        rate = LOAD * Capacity.of(bench, ours, model).measure()

        def p50_ms(server: Server, side: str) -> float:
            arrivals = poisson(rate, seconds(bench), seed=1)
            before = server.cpu_seconds()
            outcome = offer(server.target, kinds, arrivals)
            outcome.lateness().warn(f"low_load {side}")
            if side == "ours":
                cpu.append({})
            cpu[-1][side] = (server.cpu_seconds() - before) / len(arrivals.times) * 1e6
            if not outcome.good().all():
                raise RuntimeError(f"at {LOAD:g} of the capacity {outcome.by_status()}")
            return outcome.latency(outcome.good(), 0.5) * 1e3

        rounds = alternate(bench.rounds, ours=lambda: p50_ms(ours, "ours"), previous=lambda: p50_ms(theirs, "previous"))
    return [
        _beside_previous("low_load p50", "ms, p50", rounds),
        _beside_previous("low_load CPU", "CPU-µs/request", cpu[1:]),
    ]


def _beside_previous(name: str, unit: str, rounds: Sequence[dict[str, float]]) -> Result:
    return compared(
        rounds,
        "ours",
        "previous",
        name=name,
        unit=unit,
        reference_name=f"commit {previous.BEFORE_DEADLINES}",
        goal=Goal("<=", BOUND),
    )
