"""Load that comes in bursts, and load of which some is urgent, beside what could have been answered at best."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks import models
from benchmarks.bench import Bench
from benchmarks.open_loop.arrivals import Arrivals, bursts, merged, poisson
from benchmarks.open_loop.bound import most_in_time
from benchmarks.open_loop.kind import Kind
from benchmarks.processes import serve
from benchmarks.report import Goal, Result
from benchmarks.scenarios.overload import DEADLINE, Capacity, kind_of, seconds, step

URGENT, PATIENT = 0.05, 1.0
# Of the capacity: between bursts, ten times as much in them; and of both kinds of deadlines together.
CALM_LOAD, MIXED_LOAD = 0.5, 1.5


def in_bursts(bench: Bench) -> Result:
    """Half the capacity, and ten times that for 200 ms of each 2 s."""

    def arrivals(capacity: float) -> Arrivals:
        return bursts(CALM_LOAD * capacity, max(seconds(bench), 4.0), seed=1)

    return _run(bench, "bursts", [DEADLINE], arrivals)


def mixed(bench: Bench) -> Result:
    """One and a half times the capacity, half of it with deadlines of 50 ms and half of 1 s."""

    def arrivals(capacity: float) -> Arrivals:
        rate = MIXED_LOAD * capacity / 2
        return merged(poisson(rate, seconds(bench), 0, seed=1), poisson(rate, seconds(bench), 1, seed=2))

    return _run(bench, "mixed_deadlines", [URGENT, PATIENT], arrivals)


def _run(bench: Bench, name: str, deadlines: Sequence[float], arrivals: Callable[[float], Arrivals]) -> Result:
    repository = bench.repository()
    model = models.deep(repository)
    kinds: list[Kind] = [kind_of(model, each, name=f"{each * 1e3:g} ms") for each in deadlines]
    with serve(repository) as server:
        model.check(server.target)
        capacity = Capacity.of(bench, server, model)
        before = capacity.measure()
        offered = arrivals(before)
        measured = step(name, capacity, kinds, offered, before)
    outcome = measured.outcome
    bound = most_in_time(offered, deadlines, measured.mean_capacity) / offered.seconds
    shares = {f"share_good_{deadline * 1e3:g}ms": outcome.share_good(kind) for kind, deadline in enumerate(deadlines)}
    return Result(
        name=name,
        value=measured.good,
        unit="good answers/s",
        reference=bound,
        reference_name="all known beforehand",
        goal=Goal(">=", 0.9),
        ratio=measured.good / bound,
        details={**measured.details(), **shares},
    )
