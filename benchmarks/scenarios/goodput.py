"""Good answers per second under open-loop load, from half the capacity to five times as much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import models
from benchmarks.bench import Bench
from benchmarks.models import Model
from benchmarks.open_loop.arrivals import poisson
from benchmarks.processes import serve
from benchmarks.report import Goal, Result
from benchmarks.scenarios.overload import DEADLINE, MOST_PER_SECOND, Capacity, Step, kind_of, seconds, step

LOADS = (0.5, 0.9, 1.2, 2.0, 5.0)
# Ten times the arithmetic per row, and a tenth of it.
SLOW_LAYERS, FAST_WIDTH = 22, 1152


def usual(bench: Bench) -> Sequence[Result]:
    """784-4096-4096-4096-10, 200 ms."""
    return _run(bench, "goodput", models.deep, DEADLINE)


def tight(bench: Bench) -> Sequence[Result]:
    """The same, 50 ms."""
    return _run(bench, "goodput_50ms", models.deep, 0.05)


def loose(bench: Bench) -> Sequence[Result]:
    """The same, 1 s."""
    return _run(bench, "goodput_1s", models.deep, 1.0)


def slow(bench: Bench) -> Sequence[Result]:
    """A model that takes about ten times as long, 200 ms."""
    return _run(bench, "goodput_slow", lambda folder: models.deep(folder, inner=SLOW_LAYERS), DEADLINE)


def fast(bench: Bench) -> Sequence[Result]:
    """A model that takes about a tenth, 200 ms."""
    return _run(bench, "goodput_fast", lambda folder: models.deep(folder, width=FAST_WIDTH), DEADLINE)


def _run(bench: Bench, name: str, make: Callable[[Path], Model], deadline: float) -> Sequence[Result]:
    repository = bench.repository()
    model = make(repository)
    kinds = [kind_of(model, deadline)]
    steps: dict[float, Step] = {}
    with serve(repository) as server:
        model.check(server.target)
        capacity = Capacity.of(bench, server, model)
        for seed, load in enumerate(LOADS):
            before = capacity.measure()
            rate = min(load * before, MOST_PER_SECOND)
            arrivals = poisson(rate, seconds(bench), seed=seed)
            steps[load] = step(f"{name} at {load:g}x", capacity, kinds, arrivals, before)
    worst = max(each.late_work for each in steps.values())
    highest = steps[LOADS[-1]]
    before, after = highest.resident
    return [
        *(_goodput(f"{name} {load:g}x", each) for load, each in steps.items()),
        Result(
            name=f"{name} late work",
            value=worst,
            unit="of the answers",
            reference=1.0,
            reference_name="all answers, worst load",
            goal=Goal("<=", 0.03),
            ratio=worst,
        ),
        *_refusals(name, highest, deadline),
        Result(
            name=f"{name} memory",
            value=after / 1e6,
            unit="MB resident",
            reference=before / 1e6,
            reference_name=f"before {LOADS[-1]:g}x",
            goal=Goal("<=", 1.05),
            ratio=after / before,
        ),
    ]


def _goodput(name: str, measured: Step) -> Result:
    return Result(
        name=name,
        value=measured.good,
        unit="good answers/s",
        reference=measured.possible,
        reference_name="min(offered, capacity)",
        goal=Goal(">=", 0.95),
        ratio=measured.good / measured.possible,
        details=measured.details(),
    )


def _refusals(name: str, highest: Step, deadline: float) -> Sequence[Result]:
    outcome = highest.outcome
    refused = outcome.refused()
    if not refused.any() and outcome.share_good() >= 0.95:
        return ()  # There was nothing to refuse: the generator offers less than the server can do.
    # Where nobody was refused, those who could not be answered had to wait until the end.
    p50, p99 = (outcome.since_sent(refused, each) if refused.any() else deadline for each in (0.5, 0.99))
    return (
        Result(
            name=f"{name} refusals",
            value=p99 * 1e3,
            unit="ms, p99",
            reference=p50 * 1e3,
            reference_name=f"p50 at {LOADS[-1]:g}x",
            goal=Goal("<=", 5.0, of="value"),
            ratio=p99 / p50,
            details={"refused": float(refused.sum())},
        ),
    )
