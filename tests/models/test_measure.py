"""T(n) at load, by a clock that only the test moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from maas_server.models.config import ModelConfig
from maas_server.models.inspect import inspect
from maas_server.models.measure import choose_batch_size, measure_curve
from maas_server.models.memory import PeakMemory
from maas_server.models.plan import CurvePoint
from maas_server.models.runner import Array, RunBatch
from tests.models.fakes import FakeRunner


class Timed(FakeRunner):
    """A run takes `setup` seconds and `per_row` for each row, and every so often others hold it up."""

    def __init__(self, setup: float, per_row: float, held_up: float) -> None:
        super().__init__()
        self.now = 0.0
        self.runs = 0
        self._setup = setup
        self._per_row = per_row
        self._held_up = held_up

    def clock(self) -> float:
        return self.now

    def run(self, batch: RunBatch) -> Sequence[Array]:
        rows = len(batch.inputs[0])
        self.runs += 1
        # Two of three, in an order that meets every size.
        self.now += self._setup + self._per_row * rows + (self._held_up if self.runs % 3 else 0.0)
        return [np.array(batch.inputs[0])]


def measured(runner: Timed, budget: float) -> tuple[CurvePoint, ...]:
    found = inspect(runner, runner.signature(), ModelConfig(), (), clock=runner.clock)
    assert found.recipe is not None
    return measure_curve(
        runner, found.recipe, found.outputs, 64, budget=budget, memory=PeakMemory(), clock=runner.clock
    )


def test_what_holds_runs_up_is_not_taken_for_what_they_take() -> None:
    free, busy = measured(Timed(4e-4, 1e-4, 0.0), 10.0), measured(Timed(4e-4, 1e-4, 0.02), 10.0)
    assert [point.rows for point in busy] == [1, 2, 4, 8, 16, 32, 64]
    assert [point.seconds for point in busy] == pytest.approx([point.seconds for point in free])
    assert choose_batch_size(busy) == choose_batch_size(free) == 32


def test_the_budget_is_in_the_clocks_seconds() -> None:
    runner = Timed(0.0, 0.01, 0.0)
    curve = measured(runner, 0.4)
    assert [point.rows for point in curve] == [1, 2, 4]
