"""Streams of both clients against a fake server."""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from maas_server._stubs.maas.v1 import predict_pb2
from maas_server.client import AsyncClient, Client
from maas_server.errors import Cancelled, DeadlineExceeded, InvalidRequest, MaasError, Overloaded, Unavailable
from tests.client.conftest import call
from tests.client.fake_server import WAIT_SECONDS, FakeServer, echo, error_status
from tests.turns import turn


def row(value: float) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    return {"x": np.array([[value]], np.float32)}


@asynccontextmanager
async def opened(stream: Any) -> Any:
    """Open and close a stream of either client."""
    if hasattr(stream, "__aenter__"):
        async with stream:
            yield stream
    else:
        stream.__enter__()
        try:
            yield stream
        finally:
            await asyncio.to_thread(stream.close)


async def gather(stream: Any, count: int, **options: Any) -> list[Any]:
    """Predict `count` rows at the same time; errors are returned like answers."""
    if hasattr(stream, "submit"):
        futures = [asyncio.wrap_future(stream.submit("m", row(each), **options)) for each in range(count)]
        return list(await asyncio.gather(*futures, return_exceptions=True))
    calls = (stream.predict("m", row(each), **options) for each in range(count))
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def test_each_call_gets_its_own_answer(client: Any, server: FakeServer) -> None:
    async with opened(client.stream()) as stream:
        answers = await gather(stream, 200, request_id="mine")
    assert [float(answer["x"][0, 0]) for answer in answers] == list(range(200))
    assert {answer.request_id for answer in answers} == {"mine"}
    assert sum(server.messages) == 200
    assert server.streams == 1


async def test_concurrent_tasks_share_messages(server: FakeServer) -> None:
    async with AsyncClient(server.address) as client, client.stream() as stream:
        await gather(stream, 100)
    assert server.messages == [64, 36]


def test_concurrent_threads_share_messages(server: FakeServer) -> None:
    server.read_streams.clear()
    with Client(server.address) as client, client.stream() as stream:
        # Too large for the connection's window, so that writing it lasts until the server reads.
        first = stream.submit("m", {"x": np.zeros(1 << 21, np.float32)})
        rest = [stream.submit("m", row(each)) for each in range(64)]
        server.read_streams.set()
        assert len(first.result(WAIT_SECONDS)) == 1
        assert [float(each.result(WAIT_SECONDS)["x"][0, 0]) for each in rest] == list(range(64))
    assert server.messages == [1, 64]


def test_threads_may_predict_at_the_same_time(server: FakeServer) -> None:
    with Client(server.address) as client, client.stream() as stream, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda each: stream.predict("m", row(each))["x"][0, 0], range(400)))
    assert [float(each) for each in answers] == list(range(400))


async def test_a_bad_request_fails_alone(client: Any, server: FakeServer) -> None:
    def refuse_the_second(request: predict_pb2.PredictRequest) -> Any:
        if request.inputs[0].data == np.float32(1).tobytes():
            return error_status(grpc.StatusCode.INVALID_ARGUMENT, "no ones", violations=(("inputs[x]", "got 1"),))
        return echo(request)

    server.behaviour = refuse_the_second
    async with opened(client.stream()) as stream:
        answers = await gather(stream, 3)
    assert [type(each).__name__ for each in answers] == ["Prediction", "InvalidRequest", "Prediction"]
    assert answers[1].violations[0].field == "inputs[x]"
    assert server.streams == 1


async def test_a_request_that_cannot_be_encoded_fails_at_once(client: Any, server: FakeServer) -> None:
    async with opened(client.stream()) as stream:
        with pytest.raises(InvalidRequest):
            await call(stream.predict, "m", {"x": np.zeros(2, np.complex64)})
    assert server.requests == []


async def test_calls_under_way_survive_one_break_of_the_stream(client: Any, server: FakeServer) -> None:
    server.break_streams_with = [grpc.StatusCode.UNAVAILABLE]
    async with opened(client.stream()) as stream:
        answers = await gather(stream, 5)
        assert [float(answer["x"][0, 0]) for answer in answers] == list(range(5))
        assert float((await call(stream.predict, "m", row(9)))["x"][0, 0]) == 9
    assert server.streams == 2


async def test_a_stream_that_keeps_breaking_fails_its_calls(client: Any, server: FakeServer) -> None:
    # Each attempt to open is repeated by gRPC itself as well, before the calls count it as one break.
    server.break_streams_with = [grpc.StatusCode.UNAVAILABLE] * 100
    async with opened(client.stream()) as stream:
        with pytest.raises(Unavailable, match="this stream is over"):
            await call(stream.predict, "m", row(1))
        server.break_streams_with = []
        assert await call(stream.predict, "m", row(1))


async def test_another_error_of_the_stream_is_not_retried(client: Any, server: FakeServer) -> None:
    server.break_streams_with = [grpc.StatusCode.RESOURCE_EXHAUSTED]
    async with opened(client.stream()) as stream:
        with pytest.raises(Overloaded, match="this stream is over"):
            await call(stream.predict, "m", row(1))
        assert await call(stream.predict, "m", row(2))
    assert [request.inputs[0].data for request in server.requests] == [np.float32(1).tobytes(), np.float32(2).tobytes()]


async def test_a_refused_call_is_sent_again_on_request(client: Any, server: FakeServer) -> None:
    attempts = itertools.count()
    full = error_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after=0.01)
    server.behaviour = lambda request: echo(request) if next(attempts) else full
    async with opened(client.stream()) as stream:
        assert await call(stream.predict, "m", row(1), retry_overloaded=True)
    assert len(server.requests) == 2


async def test_a_call_ends_at_its_deadline_though_the_server_is_silent(client: Any, server: FakeServer) -> None:
    server.read_streams.clear()
    async with opened(client.stream()) as stream:
        patient = asyncio.create_task(call(stream.predict, "m", row(1)))
        await turn()
        with pytest.raises(DeadlineExceeded, match=r"0\.05 s"):
            await call(stream.predict, "m", row(2), timeout=0.05)
        server.read_streams.set()
        assert await patient


def hold_answers(server: FakeServer) -> tuple[threading.Event, threading.Event]:
    """Have the server tell by the first event that a request came, and answer once the second is set."""
    entered, release = threading.Event(), threading.Event()

    def hold(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        entered.set()
        release.wait(WAIT_SECONDS)
        return echo(request)

    server.behaviour = hold
    return entered, release


async def test_closing_waits_for_the_calls_under_way(client: Any, server: FakeServer) -> None:
    entered, release = hold_answers(server)
    stream = client.stream()
    async with opened(stream):
        task = asyncio.create_task(call(stream.predict, "m", row(1)))
        await asyncio.to_thread(entered.wait, WAIT_SECONDS)
        closing = asyncio.create_task(call(stream.close))
        await turn()
        assert not closing.done()
        release.set()
        await closing
        assert (await task)["x"].size == 1
    with pytest.raises(Cancelled, match="not open"):
        await call(stream.predict, "m", row(1))


async def test_cancelling_the_stream_fails_the_calls_under_way(client: Any, server: FakeServer) -> None:
    entered, release = hold_answers(server)
    stream = client.stream()
    async with opened(stream):
        task = asyncio.create_task(call(stream.predict, "m", row(1)))
        await asyncio.to_thread(entered.wait, WAIT_SECONDS)
        await call(stream.cancel)
        with pytest.raises(Cancelled):
            await task
    release.set()


def test_an_exception_in_the_block_cancels_what_is_under_way(server: FakeServer) -> None:
    server.read_streams.clear()
    futures: list[Future[Any]] = []

    def fail() -> None:
        with Client(server.address) as client, client.stream() as stream:
            futures.append(stream.submit("m", row(1)))
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        fail()
    with pytest.raises(Cancelled):
        futures[0].result(WAIT_SECONDS)


def test_a_cancelled_future_is_withdrawn_and_disturbs_nobody(server: FakeServer) -> None:
    server.read_streams.clear()
    with Client(server.address) as client, client.stream() as stream:
        first = stream.submit("m", {"x": np.zeros(1 << 21, np.float32)})
        withdrawn = stream.submit("m", row(1))
        last = stream.submit("m", row(2))
        assert withdrawn.cancel()
        server.read_streams.set()
        assert float(last.result(WAIT_SECONDS)["x"][0, 0]) == 2
        assert first.result(WAIT_SECONDS)
        with pytest.raises(CancelledError):
            withdrawn.result()
    assert len(server.requests) == 2


async def test_a_cancelled_task_disturbs_nobody(server: FakeServer) -> None:
    server.read_streams.clear()
    async with AsyncClient(server.address) as client, client.stream() as stream:
        tasks = [asyncio.create_task(stream.predict("m", row(each))) for each in range(3)]
        await turn()
        tasks[1].cancel()
        server.read_streams.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each).__name__ for each in answers] == ["Prediction", "CancelledError", "Prediction"]
    assert len(server.requests) == 2


async def test_closing_the_client_below_a_stream_fails_its_calls(client: Any, server: FakeServer) -> None:
    async with opened(client.stream()) as stream:
        assert await call(stream.predict, "m", row(1))
        await call(client.close)
        with pytest.raises(MaasError):
            await call(stream.predict, "m", row(2))


async def test_a_callback_may_submit_again(server: FakeServer) -> None:
    with Client(server.address) as client, client.stream() as stream:
        second: Future[Any] = Future()

        def again(_: Future[Any]) -> None:
            stream.submit("m", row(2)).add_done_callback(lambda done: second.set_result(done.result()))

        stream.submit("m", row(1)).add_done_callback(again)
        answer = await asyncio.wait_for(asyncio.wrap_future(second), WAIT_SECONDS)
    assert float(answer["x"][0, 0]) == 2
