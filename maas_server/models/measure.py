"""Measures T(n) and S(n) at load, and chooses the batch size that they make worthwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from maas_server.models.guard import MEMORY_SHARE
from maas_server.models.inspect import OutputFacts
from maas_server.models.memory import PeakMemory, available_bytes
from maas_server.models.plan import CurvePoint
from maas_server.models.prober import Recipe, run
from maas_server.models.runner import Array, RunBatch, Runner

# What it costs to hand one batch to a runner and its answers back. Unit: seconds.
DISPATCH_SECONDS = 60e-6
# A larger batch makes the first row in it wait longer than this. Unit: seconds.
LONGEST_RUN = 0.1
MAX_INFERRED_BATCH = 64
_REPEATS = 5

Clock = Callable[[], float]
"""Says how much time has passed, in seconds, by differences."""


def measure_curve(
    runner: Runner,
    recipe: Recipe,
    outputs: Sequence[OutputFacts],
    max_rows: int,
    *,
    budget: float,
    memory: PeakMemory,
    clock: Clock = time.perf_counter,
) -> tuple[CurvePoint, ...]:
    """Run 1, 2, 4, ... and `max_rows` rows; stops where runs get too long or large, or `budget` seconds are spent.

    T(n) is the shortest of some runs: whatever else wants the processors makes them longer, never shorter.

    Raises:
        RunFailed: even one row fails.
    """
    points: list[CurvePoint] = []
    started = clock()
    max_bytes = int(available_bytes() * MEMORY_SHARE)
    for rows in _sizes(max_rows):
        if points and _too_long(points[-1], rows, clock() - started, budget):
            break
        if points and points[-1].bytes * rows > max_bytes * points[-1].rows:
            break
        points.append(_measure(runner, recipe, outputs, rows, budget / 8, memory, clock))
    return tuple(points)


def choose_batch_size(curve: Sequence[CurvePoint]) -> int:
    """Return the smallest size whose time per row, dispatch included, is within a tenth of the best."""
    usable = [point for point in curve if point.seconds <= LONGEST_RUN] or list(curve[:1])
    if not usable:
        return 1
    per_row = [(point.seconds + DISPATCH_SECONDS) / point.rows for point in usable]
    best = min(per_row)
    return next(point.rows for point, cost in zip(usable, per_row, strict=True) if cost <= 1.1 * best)


def _sizes(max_rows: int) -> list[int]:
    sizes = [1 << power for power in range(max_rows.bit_length()) if 1 << power <= max_rows]
    return sizes if sizes[-1] == max_rows else [*sizes, max_rows]


def _too_long(last: CurvePoint, rows: int, spent: float, budget: float) -> bool:
    # Each size runs at least twice: once to warm up and once by the clock.
    expected = last.seconds * rows / last.rows
    return last.seconds > LONGEST_RUN or spent + 2 * expected > budget


def _measure(
    runner: Runner,
    recipe: Recipe,
    outputs: Sequence[OutputFacts],
    rows: int,
    budget: float,
    memory: PeakMemory,
    clock: Clock,
) -> CurvePoint:
    inputs = recipe.inputs(rows, seed=rows)
    memory.reset()
    results = run(runner, inputs, len(outputs))
    nbytes = sum(array.nbytes for array in (*inputs, *results))
    # A key of its own lets the runner keep what it derives from the buffers, as it does when it serves. Keys of
    # the engine are positive.
    batch = RunBatch(-rows, inputs, tuple(_buffer(array, facts) for array, facts in zip(results, outputs, strict=True)))
    seconds: list[float] = []
    try:
        runner.run(batch)
        deadline = clock() + budget
        while len(seconds) < _REPEATS and (not seconds or clock() < deadline):
            start = clock()
            runner.run(batch)
            seconds.append(clock() - start)
    finally:
        runner.forget([batch.key])
    return CurvePoint(rows, min(seconds), max(nbytes, memory.growth()))


def _buffer(result: Array, facts: OutputFacts) -> Array | None:
    predictable = all(size >= 0 or source is not None for size, source in zip(facts.shape, facts.sources, strict=True))
    return np.empty_like(result) if predictable and result.dtype != object else None
