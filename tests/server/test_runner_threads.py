"""The threads that run models outlive whatever a runner does."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence

import grpc
import numpy as np
import pytest
import pytest_asyncio

from maas_server._core import CoreError
from maas_server.errors import InvalidRequest
from maas_server.models.runner import Array, RunBatch
from tests.server.one_model import PLAN, SECONDS, OneModel, PlannedRunner, one_model


class Silent(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Answers:
    """Outputs that end the program when they are looked at."""

    def __repr__(self) -> str:
        return "Answers()"

    def __iter__(self) -> None:
        sys.exit(4)


class Misbehaving(PlannedRunner):
    """Does `deed` where the first value is 1, and answers what it got otherwise."""

    deed: object = None

    def run(self, batch: RunBatch) -> Sequence[Array]:
        if batch.inputs[0][0] != 1:
            return super().run(batch)
        if isinstance(self.deed, BaseException):
            raise self.deed
        return self.deed  # type: ignore[return-value]  # That is the point.


@pytest.fixture
def runner() -> Misbehaving:
    return Misbehaving()


@pytest_asyncio.fixture
async def model(runner: Misbehaving) -> AsyncIterator[OneModel]:
    async with one_model(PLAN, runner) as model:
        yield model


async def failure(model: OneModel) -> tuple[int, str]:
    """Return code and message of a run in which the runner misbehaves."""
    with pytest.raises(CoreError) as caught:
        await model.answer(1, SECONDS)
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
async def test_one_run_fails_and_the_next_is_answered(model: OneModel, runner: Misbehaving, deed: object) -> None:
    runner.deed = deed
    code, message = await failure(model)
    assert code == grpc.StatusCode.INTERNAL.value[0]
    assert "secret" not in message
    assert await model.answer(2, SECONDS) == [2]


async def test_the_callers_see_the_text_of_our_own_errors_whatever_is_in_it(
    model: OneModel, runner: Misbehaving
) -> None:
    runner.deed = InvalidRequest("\ud800 is no word")
    assert await failure(model) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], r"\ud800 is no word")
    assert await model.answer(2, SECONDS) == [2]
