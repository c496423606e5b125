"""The threads that run models outlive whatever a runner does."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
import pytest_asyncio

from maas_server._core import CoreError
from maas_server._stubs.maas.v1 import predict_pb2
from maas_server.engine import Engine
from maas_server.errors import InvalidRequest
from maas_server.front import Front, Protocol
from maas_server.models.host import Route
from maas_server.models.plan import InputPlan, OutputPlan, VersionPlan
from maas_server.models.runner import Array, RunBatch, RunnerOptions, Signature
from tests.server.in_process import request, tensor

PLAN = VersionPlan(
    model="m",
    version=1,
    inputs=(InputPlan("x", "FP32", (-1,), batch_axis=0),),
    outputs=(OutputPlan("y", "FP32", (-1,), ((0, 0),), batch_axis=0),),
)
SECONDS = 10


class Silent(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Answers:
    """Outputs that end the program when they are looked at."""

    def __iter__(self) -> None:
        sys.exit(4)


class Misbehaving:
    """Does `deed` where the first value is 1, and answers what it got otherwise."""

    deed: object = None

    def load(self, path: Path, options: RunnerOptions) -> None:
        raise NotImplementedError

    def signature(self) -> Signature:
        raise NotImplementedError

    def run(self, batch: RunBatch) -> Sequence[Array]:
        if batch.inputs[0][0] != 1:
            return [np.array(batch.inputs[0])]
        if isinstance(self.deed, BaseException):
            raise self.deed
        return self.deed  # type: ignore[return-value]  # That is the point.

    def forget(self, keys: Sequence[int]) -> None:
        pass

    def describe(self) -> str:
        return "misbehaving"

    def close(self) -> None:
        pass


@pytest.fixture
def runner() -> Misbehaving:
    return Misbehaving()


@pytest_asyncio.fixture
async def front(runner: Misbehaving) -> AsyncIterator[Front]:
    engine = Engine(cpus=1)
    front = Front(engine)
    front.attach(asyncio.get_running_loop())
    deployment = engine.deploy(PLAN, runner)
    engine.route("m", Route({1: deployment}, {}, 1))
    yield front
    engine.route("m", None)
    assert await asyncio.to_thread(deployment.drain, SECONDS)
    front.detach()


async def ask(front: Front, value: float) -> list[float]:
    raw = request("m", tensor("x", np.array([value], np.float32))).SerializeToString()
    answer = predict_pb2.PredictResponse.FromString(await front.infer(Protocol.PREDICT, raw, SECONDS))
    values: list[float] = np.frombuffer(answer.outputs[0].data, np.float32).tolist()
    return values


async def failure(front: Front) -> tuple[int, str]:
    """Return code and message of a run in which the runner misbehaves."""
    with pytest.raises(CoreError) as caught:
        await ask(front, 1)
    code, _, message, *_ = caught.value.args
    return code, message


@pytest.mark.parametrize(
    "deed",
    [
        RuntimeError("a secret"),
        SystemExit(3),
        KeyboardInterrupt(),
        Silent(),
        None,
        7,
        Answers(),
        [None],
        [np.zeros((1, 7), np.float32)],
        [],
    ],
    ids=repr,
)
async def test_one_run_fails_and_the_next_is_answered(front: Front, runner: Misbehaving, deed: object) -> None:
    runner.deed = deed
    code, message = await failure(front)
    assert code == grpc.StatusCode.INTERNAL.value[0]
    assert "secret" not in message
    assert await ask(front, 2) == [2]


async def test_the_callers_see_the_text_of_our_own_errors_whatever_is_in_it(front: Front, runner: Misbehaving) -> None:
    runner.deed = InvalidRequest("\ud800 is no word")
    assert await failure(front) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], r"\ud800 is no word")
    assert await ask(front, 2) == [2]
