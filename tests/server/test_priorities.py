"""Priorities and queue policies, from a model's configuration to what its callers get."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from maas_server._core import LATENCY_BOUNDS_SECONDS, CoreError
from maas_server._stubs.inference import grpc_service_pb2
from maas_server.front import Protocol
from maas_server.models.config import BatchingConfig
from maas_server.models.host import Counters
from maas_server.models.runner import Array, RunBatch
from tests.server.one_model import PLAN, SECONDS, OneModel, PlannedRunner, one_model


class Slow(PlannedRunner):
    """Answers what it got, each run after a permission; remembers the first value of each batch."""

    def __init__(self) -> None:
        self.order: list[float] = []
        self.began = threading.Semaphore(0)
        self.may_end = threading.Semaphore(0)

    def run(self, batch: RunBatch) -> Sequence[Array]:
        self.order.append(float(batch.inputs[0][0]))
        self.began.release()
        assert self.may_end.acquire(timeout=SECONDS)
        return super().run(batch)


class Scene:
    """One model with one slow instance, whose first batch is running."""

    def __init__(self, model: OneModel, runner: Slow) -> None:
        self.model = model
        self.runner = runner

    async def begin(self) -> asyncio.Future[bytes]:
        """Submit a request that keeps the instance busy until `end`."""
        future = self.ask(0)
        assert await asyncio.to_thread(self.runner.began.acquire, timeout=SECONDS)
        return future

    def ask(self, value: float, **parameters: int) -> asyncio.Future[bytes]:
        request = grpc_service_pb2.ModelInferRequest(
            model_name="m",
            inputs=[grpc_service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1])],
            raw_input_contents=[np.array([value], np.float32).tobytes()],
        )
        for name, number in parameters.items():
            request.parameters[name].int64_param = number
        return self.model.front.submit(Protocol.MODEL_INFER, request.SerializeToString(), SECONDS)[0]

    def end(self, runs: int) -> None:
        """Let so many runs end."""
        self.runner.may_end.release(runs)

    def counters(self) -> Counters:
        return self.model.deployment.counters()


@asynccontextmanager
async def scene(batching: dict[str, Any]) -> AsyncIterator[Scene]:
    config = BatchingConfig.model_validate(batching)
    plan = replace(
        PLAN,
        max_batch_size=config.max_batch_size or 1,
        max_queue_delay_us=config.max_queue_delay_us,
        queue=config.queue_plan(),
    )
    runner = Slow()
    async with one_model(plan, runner, cpus=64) as model:
        yield Scene(model, runner)
        runner.may_end.release(1000)


async def failure(future: asyncio.Future[bytes]) -> tuple[int, str]:
    with pytest.raises(CoreError) as caught:
        await asyncio.wait_for(future, SECONDS)
    return caught.value.args[0], caught.value.args[1]


async def test_a_request_of_high_priority_overtakes_those_that_wait() -> None:
    async with scene({"priority_levels": 3, "default_priority": 2}) as model:
        waiting = [await model.begin(), model.ask(1, priority=3), model.ask(2), model.ask(3, priority=2)]
        waiting.append(model.ask(4, priority=1))
        model.end(len(waiting))
        await asyncio.wait_for(asyncio.gather(*waiting), SECONDS)
        assert model.runner.order == [0, 4, 2, 3, 1]


async def test_without_a_priority_a_request_is_of_the_lowest_level_unless_configured() -> None:
    async with scene({"priority_levels": 3}) as model:
        waiting = [await model.begin(), model.ask(1), model.ask(2, priority=2), model.ask(3, priority=3)]
        model.end(len(waiting))
        await asyncio.wait_for(asyncio.gather(*waiting), SECONDS)
        assert model.runner.order == [0, 2, 1, 3]


async def test_a_model_without_levels_answers_in_order_whatever_requests_say() -> None:
    async with scene({}) as model:
        waiting = [await model.begin(), model.ask(1, priority=9), model.ask(2), model.ask(3, priority=1)]
        model.end(len(waiting))
        await asyncio.wait_for(asyncio.gather(*waiting), SECONDS)
        assert model.runner.order == [0, 1, 2, 3]


async def test_what_waited_as_long_as_its_policy_allows_is_told_and_not_run() -> None:
    policies = {1: {"default_timeout_us": "10ms"}, 2: {"default_timeout_us": "10ms", "timeout_action": "delay"}}
    async with scene({"priority_levels": 2, "priority_policies": policies}) as model:
        busy = await model.begin()
        late, delayed = model.ask(1, priority=1), model.ask(2, priority=2)
        assert await failure(late) == (14, "QUEUE_TIMEOUT")
        newer = model.ask(3, priority=2)
        model.end(3)
        await asyncio.wait_for(asyncio.gather(busy, delayed, newer), SECONDS)
        assert model.runner.order == [0, 3, 2]
        counters = model.counters()
        assert (counters.expired, counters.timed_out, counters.succeeded) == (1, 1, 3)
        assert counters.expired_ns >= 10_000_000


async def test_no_more_requests_of_a_level_wait_than_its_policy_allows() -> None:
    async with scene({"priority_levels": 2, "queue_policy": {"max_queue_size": 1}}) as model:
        waiting = [await model.begin(), model.ask(1), model.ask(2, priority=1)]
        for priority in (1, 2):
            with pytest.raises(CoreError) as caught:
                model.ask(9, priority=priority)
            assert caught.value.args[:2] == (8, "QUEUE_FULL")
        assert model.counters().rejected == 2
        model.end(len(waiting))
        await asyncio.wait_for(asyncio.gather(*waiting), SECONDS)


async def test_a_preferred_size_runs_before_the_delay_is_over() -> None:
    batching = {"max_batch_size": 8, "max_queue_delay_us": "60s", "preferred_batch_sizes": [2]}
    async with scene(batching) as model:
        model.end(1)
        await asyncio.wait_for(asyncio.gather(model.ask(1), model.ask(2)), SECONDS)
        assert [(each.rows, each.batches) for each in model.counters().batch_sizes] == [(2, 1)]


async def test_counters_tell_what_each_part_took() -> None:
    async with scene({"max_batch_size": 4}) as model:
        busy = await model.begin()
        waiting = [model.ask(1), model.ask(2)]
        model.end(2)
        await asyncio.wait_for(asyncio.gather(busy, *waiting), SECONDS)
        counters = model.counters()
        assert (counters.succeeded, counters.batches, counters.pending) == (3, 2, 0)
        assert [(each.rows, each.batches) for each in counters.batch_sizes] == [(1, 1), (2, 1)]
        assert sum(each.run_ns for each in counters.batch_sizes) == counters.run_ns > 0
        assert sum(each.pack_ns for each in counters.batch_sizes) == counters.pack_ns > 0
        assert sum(each.answer_ns for each in counters.batch_sizes) == counters.answer_ns > 0
        assert counters.requests_run_ns == counters.batch_sizes[0].run_ns + 2 * counters.batch_sizes[1].run_ns
        parts = counters.queue_ns + counters.requests_pack_ns + counters.requests_run_ns + counters.requests_answer_ns
        assert parts == counters.succeeded_ns
        assert len(counters.latency) == len(LATENCY_BOUNDS_SECONDS) + 1
        assert list(counters.latency) == sorted(counters.latency)
        assert counters.latency[-1] == 3
        assert counters.last_unix_ms > 1_600_000_000_000
