"""A front over one deployment of model "m", without a server; and what every runner of a test has besides `run`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from maas_server._stubs.maas.v1 import predict_pb2
from maas_server.deployment import CoreDeployment
from maas_server.engine import Engine
from maas_server.front import Front, Protocol
from maas_server.models.host import Route
from maas_server.models.plan import InputPlan, OutputPlan, VersionPlan
from maas_server.models.runner import Array, RunBatch, Runner, RunnerOptions, Signature
from tests.server.in_process import request, tensor

SECONDS = 30
# `x`, one value a row, and `y` of as many rows.
PLAN = VersionPlan(
    model="m",
    version=1,
    inputs=(InputPlan("x", "FP32", (-1,), batch_axis=0),),
    outputs=(OutputPlan("y", "FP32", (-1,), ((0, 0),), batch_axis=0),),
)


class PlannedRunner:
    """Answers what it got. Its plan is given: nobody loads it, or asks for its signature."""

    def load(self, path: Path, options: RunnerOptions) -> None:
        raise NotImplementedError

    def signature(self) -> Signature:
        raise NotImplementedError

    def run(self, batch: RunBatch) -> Sequence[Array]:
        return [np.array(batch.inputs[0])]

    def forget(self, keys: Sequence[int]) -> None:
        pass

    def describe(self) -> str:
        return type(self).__name__

    def close(self) -> None:
        pass


class OneModel:
    """What `one_model` opens."""

    def __init__(self, engine: Engine, plan: VersionPlan, runner: Runner) -> None:
        self.engine = engine
        self.front = Front(engine)
        self.deployment: CoreDeployment = engine.deploy(plan, runner)

    def call(self, value: float, seconds: float | None = None) -> asyncio.Task[bytes]:
        """Ask for one row. `seconds`: how long the caller waits; None: for ever."""
        raw = request("m", tensor("x", np.array([value], np.float32))).SerializeToString()
        return asyncio.create_task(self.front.infer(Protocol.PREDICT, raw, seconds))

    async def answer(self, value: float, seconds: float | None = None) -> list[float]:
        answer = predict_pb2.PredictResponse.FromString(await self.call(value, seconds))
        values: list[float] = np.frombuffer(answer.outputs[0].data, np.float32).tolist()
        return values

    async def until(self, condition: Callable[[], bool]) -> None:
        """Poll until `condition`; fail after SECONDS."""
        async with asyncio.timeout(SECONDS):
            # The core counts, and the runner's thread notes, without telling anybody. A pause of some length leaves
            # the interpreter to that thread.
            while not condition():  # noqa: ASYNC110 - see above.
                await asyncio.sleep(0.001)


@asynccontextmanager
async def one_model(
    plan: VersionPlan, runner: Runner, *, cpus: int = 1, runs_yield: bool = False
) -> AsyncIterator[OneModel]:
    """Serve `plan` by `runner` to the front of this event loop; drained in the end, so nothing may be held then."""
    model = OneModel(Engine(cpus=cpus, runs_yield=runs_yield), plan, runner)
    model.front.attach(asyncio.get_running_loop())
    model.engine.route("m", Route({1: model.deployment}, {}, 1))
    try:
        yield model
    finally:
        model.engine.route("m", None)
        assert await asyncio.to_thread(model.deployment.drain, SECONDS)
        model.front.detach()
