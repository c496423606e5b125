"""Runs end when all their callers have gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from maas_server._stubs.maas.v1 import predict_pb2
from maas_server.deployment import CoreDeployment
from maas_server.engine import Engine
from maas_server.front import Front, Protocol
from maas_server.models.host import Route
from maas_server.models.onnx_runner import OnnxRunner
from maas_server.models.plan import InputPlan, OutputPlan, VersionPlan
from maas_server.models.runner import Array, RunBatch, Runner, RunnerLane, RunnerOptions, Signature
from tests.models import onnx_models
from tests.models.test_guard import endless
from tests.server.in_process import request, tensor

SECONDS = 30
PLAN = VersionPlan(
    model="m",
    version=1,
    inputs=(InputPlan("x", "FP32", (-1,), batch_axis=0),),
    outputs=(OutputPlan("y", "FP32", (-1,), ((0, 0),), batch_axis=0),),
    max_batch_size=8,
)
LONE_PLAN = VersionPlan(
    model="m",
    version=1,
    inputs=(InputPlan("x", "FP32", (1,)),),
    outputs=(OutputPlan("y", "FP32", (1,), (None,)),),
    batching=False,
)


class Held:
    """Answers what it got, once `release` is set or the run is cancelled; then it fails."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.release.set()
        self.cancelled = threading.Event()
        self.sizes: list[int] = []

    def load(self, path: Path, options: RunnerOptions) -> None:
        raise NotImplementedError

    def signature(self) -> Signature:
        raise NotImplementedError

    def run(self, batch: RunBatch) -> Sequence[Array]:
        self.sizes.append(len(batch.inputs[0]))
        while not self.release.wait(0.001):
            if self.cancelled.is_set():
                raise RuntimeError("ended")
        return [np.array(batch.inputs[0])]

    def cancel(self) -> None:
        self.cancelled.set()

    def renew(self) -> None:
        self.cancelled.clear()

    def lane(self) -> RunnerLane:
        return self

    def forget(self, keys: Sequence[int]) -> None:
        pass

    def describe(self) -> str:
        return "held"

    def close(self) -> None:
        pass


class Stage:
    """A front over one deployment of model "m"."""

    def __init__(self, plan: VersionPlan, runner: Runner) -> None:
        self.engine = Engine(cpus=1)
        self.front = Front(self.engine)
        self.front.attach(asyncio.get_running_loop())
        self.deployment: CoreDeployment = self.engine.deploy(plan, runner)
        self.engine.route("m", Route({1: self.deployment}, {}, 1))

    def call(self, value: float) -> asyncio.Task[bytes]:
        raw = request("m", tensor("x", np.array([value], np.float32))).SerializeToString()
        return asyncio.create_task(self.front.infer(Protocol.PREDICT, raw, None))

    async def answer(self, value: float) -> list[float]:
        answer = predict_pb2.PredictResponse.FromString(await self.call(value))
        values: list[float] = np.frombuffer(answer.outputs[0].data, np.float32).tolist()
        return values

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not condition():  # noqa: ASYNC110 - nobody else tells.
                await asyncio.sleep(0.001)

    async def close(self) -> None:
        self.engine.route("m", None)
        assert await asyncio.to_thread(self.deployment.drain, SECONDS)
        self.front.detach()


@pytest.fixture
def runner() -> Held:
    return Held()


@pytest_asyncio.fixture
async def stage(runner: Held) -> AsyncIterator[Stage]:
    stage = Stage(PLAN, runner)
    yield stage
    runner.release.set()
    await stage.close()


async def leave(*calls: asyncio.Task[bytes]) -> None:
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)


async def test_a_run_ends_when_its_only_caller_goes_and_the_next_is_answered(stage: Stage, runner: Held) -> None:
    runner.release.clear()
    with capture_logs() as logs:
        call = stage.call(1)
        await stage.until(lambda: runner.sizes == [1])
        await leave(call)
        await stage.until(lambda: stage.deployment.counters().pending == 0)
        runner.release.set()
        assert await stage.answer(2) == [2]
    assert runner.sizes == [1, 1]
    assert stage.deployment.counters().cancelled == 1
    assert stage.deployment.counters().failed == 0
    assert not [entry for entry in logs if entry["event"] == "run_failed"]


async def test_a_run_goes_on_for_those_who_stay_and_ends_with_the_last(stage: Stage, runner: Held) -> None:
    runner.release.clear()
    first = stage.call(0)
    await stage.until(lambda: runner.sizes == [1])
    calls = [stage.call(value) for value in (1, 2, 3)]
    await stage.until(lambda: stage.deployment.counters().pending == 4)
    await leave(first)
    await stage.until(lambda: runner.sizes == [1, 3])
    await leave(*calls[:2])
    assert not runner.cancelled.is_set()
    await leave(calls[2])
    await stage.until(lambda: stage.deployment.counters().pending == 0)
    # Nothing of the batch was tried again.
    assert runner.sizes == [1, 3]
    assert stage.deployment.counters().cancelled == 4


async def test_an_onnx_model_that_never_ends_does_so_with_its_caller(tmp_path: Path) -> None:
    runner = OnnxRunner()
    runner.load(onnx_models.save(endless(), tmp_path / "model.onnx"), RunnerOptions())
    stage = Stage(LONE_PLAN, runner)
    for _ in range(3):
        call = stage.call(1)
        await stage.until(lambda: stage.deployment.counters().pending == 1)
        await leave(call)
        await stage.until(lambda: stage.deployment.counters().pending == 0)
        assert await stage.answer(0) == [0]
    await stage.close()
    runner.close()


async def test_what_has_no_lane_any_more_is_not_ended() -> None:
    Engine(cpus=1).end_runs([(1 << 40, 1)])
