"""Runs end when all their callers have gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from maas_server.engine import Engine
from maas_server.models.onnx_runner import OnnxRunner
from maas_server.models.plan import InputPlan, OutputPlan, VersionPlan
from maas_server.models.runner import Array, RunBatch, RunnerLane, RunnerOptions
from tests.models import onnx_models
from tests.models.test_guard import endless
from tests.server.one_model import PLAN, OneModel, PlannedRunner, one_model

LONE_PLAN = VersionPlan(
    model="m",
    version=1,
    inputs=(InputPlan("x", "FP32", (1,)),),
    outputs=(OutputPlan("y", "FP32", (1,), (None,)),),
    batching=False,
)


class Held(PlannedRunner):
    """Answers what it got, once `release` is set or the run is cancelled; then it fails."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.release.set()
        self.cancelled = threading.Event()
        self.sizes: list[int] = []

    def run(self, batch: RunBatch) -> Sequence[Array]:
        self.sizes.append(len(batch.inputs[0]))
        while not self.release.wait(0.001):
            if self.cancelled.is_set():
                raise RuntimeError("ended")
        return super().run(batch)

    def cancel(self) -> None:
        self.cancelled.set()

    def renew(self) -> None:
        self.cancelled.clear()

    def lane(self) -> RunnerLane:
        return self


@pytest.fixture
def runner() -> Held:
    return Held()


@pytest_asyncio.fixture
async def model(runner: Held) -> AsyncIterator[OneModel]:
    async with one_model(replace(PLAN, max_batch_size=8), runner) as model:
        yield model
        runner.release.set()


async def leave(*calls: asyncio.Task[bytes]) -> None:
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_run_ends_when_its_only_caller_goes_and_the_next_is_answered(model: OneModel, runner: Held) -> None:
    runner.release.clear()
    with capture_logs() as logs:
        call = model.call(1)
        await model.until(lambda: runner.sizes == [1])
        await leave(call)
        await model.until(lambda: model.deployment.counters().pending == 0)
        runner.release.set()
        assert await model.answer(2) == [2]
    assert runner.sizes == [1, 1]
    assert model.deployment.counters().cancelled == 1
    assert model.deployment.counters().failed == 0
    assert not [entry for entry in logs if entry["event"] == "run_failed"]


async def test_a_run_goes_on_for_those_who_stay_and_ends_with_the_last(model: OneModel, runner: Held) -> None:
    runner.release.clear()
    first = model.call(0)
    await model.until(lambda: runner.sizes == [1])
    calls = [model.call(value) for value in (1, 2, 3)]
    await model.until(lambda: model.deployment.counters().pending == 4)
    await leave(first)
    await model.until(lambda: runner.sizes == [1, 3])
    await leave(*calls[:2])
    assert not runner.cancelled.is_set()
    await leave(calls[2])
    await model.until(lambda: model.deployment.counters().pending == 0)
    # Nothing of the batch was tried again.
    assert runner.sizes == [1, 3]
    assert model.deployment.counters().cancelled == 4


async def test_an_onnx_model_that_never_ends_does_so_with_its_caller(tmp_path: Path) -> None:
    runner = OnnxRunner()
    runner.load(onnx_models.save(endless(), tmp_path / "model.onnx"), RunnerOptions())
    async with one_model(LONE_PLAN, runner) as model:
        for _ in range(3):
            call = model.call(1)
            await model.until(lambda: model.deployment.counters().pending == 1)
            await leave(call)
            await model.until(lambda: model.deployment.counters().pending == 0)
            assert await model.answer(0) == [0]
    runner.close()


async def test_what_has_no_lane_any_more_is_not_ended() -> None:
    Engine(cpus=1).end_runs([(1 << 40, 1)])
