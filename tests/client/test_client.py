"""Both clients against a fake server: calls, errors, deadlines, retries."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from maas_server._stubs.maas.v1 import model_pb2, predict_pb2, tensor_pb2
from maas_server.client import AsyncClient, Client, Quantize
from maas_server.errors import (
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    MaasError,
    NotFound,
    Overloaded,
    Unavailable,
    Violation,
)
from tests.client.conftest import call
from tests.client.fake_server import FakeServer, echo, error_status

X = np.arange(6, dtype=np.float32).reshape(2, 3)


async def test_predict_sends_arrays_and_returns_arrays(client: Any, server: FakeServer) -> None:
    answer = await call(client.predict, "digits", {"x": X}, label="stable", outputs=["x"], request_id="r1")
    assert answer["x"].dtype == np.float32
    np.testing.assert_array_equal(answer["x"], X)
    assert (answer.model, answer.version, answer.request_id, list(answer)) == ("digits", 3, "r1", ["x"])
    assert answer.receipt.queue_seconds == 0.0015
    assert answer.receipt.run_seconds == 0.00025
    assert (answer.receipt.batch_size, answer.receipt.batches) == (4, 1)
    assert (answer.receipt.predicted_seconds, answer.receipt.total_seconds) == (0.002, 0.0019)
    (request,) = server.requests
    assert (request.id, request.model, request.label, request.version) == ("r1", "digits", "stable", 0)
    assert [output.name for output in request.outputs] == ["x"]


async def test_a_priority_goes_with_the_request(client: Any, server: FakeServer) -> None:
    await call(client.predict, "digits", {"x": X}, priority=2)
    await call(client.predict, "digits", {"x": X})
    assert [request.priority for request in server.requests] == [2, 0]


@pytest.mark.parametrize("priority", [-1, 1 << 32])
async def test_a_priority_that_the_wire_has_no_room_for_is_refused(
    client: Any, server: FakeServer, priority: int
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await call(client.predict, "digits", {"x": X}, priority=priority)
    assert caught.value.violations == (Violation("priority", f"expected 0 to 4294967295, got {priority}"),)
    assert server.requests == []


async def test_metadata_goes_with_every_call(server: FakeServer) -> None:
    def threaded() -> None:
        with Client(server.address, timeout=20, metadata={"x-tenant": "acme"}) as client:
            client.predict("digits", {"x": X})
            client.status()
            with client.stream() as stream:
                stream.predict("digits", {"x": X})

    await asyncio.to_thread(threaded)
    async with AsyncClient(server.address, timeout=20, metadata={"x-tenant": "acme"}) as client:
        await client.predict("digits", {"x": X})
        await client.status()
        async with client.stream() as stream:
            await stream.predict("digits", {"x": X})
    assert [each.get("x-tenant") for each in server.metadata] == ["acme"] * 6


async def test_quantized_inputs_and_outputs_travel_as_integers(client: Any, server: FakeServer) -> None:
    answer = await call(
        client.predict, "digits", {"x": X}, quantize="int8", quantize_outputs={"x": Quantize("uint8", axis=-1)}
    )
    (request,) = server.requests
    assert request.inputs[0].datatype == tensor_pb2.INT8
    assert len(request.inputs[0].data) == X.size
    assert request.outputs[0].quantize.datatype == tensor_pb2.UINT8
    assert request.outputs[0].quantize.axis == -1
    np.testing.assert_allclose(answer["x"], X, atol=5 / 127 / 2 * 1.001)
    assert answer.quantized["x"].values.dtype == np.int8


async def test_an_error_carries_what_the_status_details_say(client: Any, server: FakeServer) -> None:
    server.behaviour = lambda _: error_status(
        grpc.StatusCode.INVALID_ARGUMENT,
        "the request does not fit",
        violations=(("inputs[x].shape", "expected [-1, 4], got [2, 3]"),),
        reason="WRONG_SHAPE",
    )
    with pytest.raises(InvalidRequest, match="does not fit") as caught:
        await call(client.predict, "digits", {"x": X})
    assert caught.value.reason == "WRONG_SHAPE"
    assert caught.value.violations == (Violation("inputs[x].shape", "expected [-1, 4], got [2, 3]"),)


async def test_an_error_without_a_class_of_its_own_names_its_code(client: Any, server: FakeServer) -> None:
    server.behaviour = lambda _: error_status(grpc.StatusCode.PERMISSION_DENIED, "not you")
    with pytest.raises(MaasError, match="not you") as caught:
        await call(client.predict, "digits", {"x": X})
    assert caught.value.reason == "PERMISSION_DENIED"


async def test_an_answer_that_does_not_decode_is_an_internal_error(client: Any, server: FakeServer) -> None:
    def garble(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        answer = echo(request)
        answer.outputs[0].data = answer.outputs[0].data[:-1]
        return answer

    server.behaviour = garble
    with pytest.raises(InternalError, match="output x"):
        await call(client.predict, "digits", {"x": X})


async def test_the_deadline_reaches_the_server_and_the_caller(client: Any, server: FakeServer) -> None:
    release = threading.Event()

    def hang(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        release.wait(20)
        return echo(request)

    server.behaviour = hang
    try:
        with pytest.raises(DeadlineExceeded):
            await call(client.predict, "digits", {"x": X}, timeout=0.1)
    finally:
        release.set()


async def test_a_prediction_refused_as_unavailable_is_sent_again(client: Any, server: FakeServer) -> None:
    attempts = itertools.count()
    server.behaviour = lambda request: (
        echo(request) if next(attempts) == 2 else error_status(grpc.StatusCode.UNAVAILABLE, "draining")
    )
    await call(client.predict, "digits", {"x": X})
    assert len(server.requests) == 3


async def test_a_large_prediction_is_sent_again_too(client: Any, server: FakeServer) -> None:
    attempts = itertools.count()
    server.behaviour = lambda request: (
        predict_pb2.PredictResponse(model="digits")
        if next(attempts)
        else error_status(grpc.StatusCode.UNAVAILABLE, "draining")
    )
    await call(client.predict, "digits", {"x": np.zeros(400_000, np.float32)})
    assert len(server.requests) == 2


async def test_explicit_control_is_never_repeated(client: Any, server: FakeServer) -> None:
    loads: list[str] = []

    class Refusing(dict[str, model_pb2.ModelInfo]):
        def __contains__(self, name: object) -> bool:
            loads.append(str(name))
            raise RuntimeError("the handler fails")

    server.models = Refusing()
    with pytest.raises(MaasError):
        await call(client.load, "digits")
    assert loads == ["digits"]


async def test_an_overloaded_server_is_asked_again_only_on_request(client: Any, server: FakeServer) -> None:
    attempts = itertools.count()
    full = error_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full", retry_after=0.01)
    server.behaviour = lambda request: full if next(attempts) % 2 == 0 else echo(request)
    with pytest.raises(Overloaded) as caught:
        await call(client.predict, "digits", {"x": X})
    assert caught.value.retry_after == 0.01
    next(attempts)
    await call(client.predict, "digits", {"x": X}, retry_overloaded=True)
    assert len(server.requests) == 3


async def test_a_retry_that_would_come_after_the_deadline_is_not_waited_for(client: Any, server: FakeServer) -> None:
    server.behaviour = lambda _: error_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", retry_after=60)
    with pytest.raises(Overloaded):
        await call(client.predict, "digits", {"x": X}, retry_overloaded=True, timeout=5)
    assert len(server.requests) == 1


async def test_status_load_unload_and_label_reach_the_server(client: Any, server: FakeServer) -> None:
    (info,) = await call(client.status, "digits")
    assert info.default_version == 3
    assert len(await call(client.status)) == 1
    assert (await call(client.load, "digits", 2)).name == "digits"
    assert (await call(client.unload, "digits")).name == "digits"
    assert (await call(client.set_label, "digits", "stable", 3)).name == "digits"
    assert server.control == [
        model_pb2.LoadModelRequest(model="digits", version=2),
        model_pb2.UnloadModelRequest(model="digits"),
        model_pb2.SetLabelRequest(model="digits", label="stable", version=3),
    ]
    with pytest.raises(NotFound, match="letters"):
        await call(client.status, "letters")


async def each(watch: Any) -> AsyncIterator[Any]:
    """Iterate over a watch of either client."""
    if hasattr(watch, "__aiter__"):
        async for models in watch:
            yield models
        return
    while (models := await asyncio.to_thread(next, watch, None)) is not None:
        yield models


async def test_watch_yields_the_status_at_once_and_at_changes(client: Any, server: FakeServer) -> None:
    watch = client.watch("digits")
    seen = []
    async for (info,) in each(watch):
        seen.append(info.default_version)
        if len(seen) == 2:
            break
        server.models["digits"].default_version = 2
        server.changed.release()
    assert seen == [3, 2]
    await watch.aclose() if hasattr(watch, "aclose") else watch.close()


async def test_watching_an_unknown_model_is_not_found(client: Any) -> None:
    with pytest.raises(NotFound):
        await anext(each(client.watch("letters")))


async def test_ready_tells_what_health_says(client: Any, server: FakeServer) -> None:
    assert await call(client.ready)
    assert not await call(client.ready, "digits")
    server.health.set("digits", health_pb2.HealthCheckResponse.SERVING)
    assert await call(client.ready, "digits")


async def test_a_server_that_is_not_ready_gets_questions_and_no_predictions(client: Any, server: FakeServer) -> None:
    server.health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert not await call(client.ready)
    assert await call(client.status)
    with pytest.raises(Unavailable):
        await call(client.predict, "digits", {"x": X})
    assert server.requests == []


async def test_no_server_is_unavailable(kind: str) -> None:
    address = "127.0.0.1:1"
    if kind == "sync":
        with Client(address) as client:
            assert not await call(client.ready)
            with pytest.raises(Unavailable):
                await call(client.predict, "digits", {"x": X})
    else:
        async with AsyncClient(address) as asynchronous:
            assert not await asynchronous.ready()
            with pytest.raises(Unavailable):
                await asynchronous.predict("digits", {"x": X})


async def test_cancelling_a_task_cancels_its_call(server: FakeServer) -> None:
    entered, release = threading.Event(), threading.Event()

    def hang(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        entered.set()
        release.wait(20)
        return echo(request)

    server.behaviour = hang
    async with AsyncClient(server.address) as client:
        task = asyncio.create_task(client.predict("digits", {"x": X}))
        await asyncio.to_thread(entered.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    release.set()


async def test_a_closed_client_takes_no_more_calls(client: Any) -> None:
    await call(client.close)
    with pytest.raises(Cancelled, match="closed"):
        await call(client.predict, "digits", {"x": X})


async def test_closing_the_client_ends_the_calls_under_way(client: Any, server: FakeServer) -> None:
    entered, release = threading.Event(), threading.Event()

    def hang(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        entered.set()
        release.wait(20)
        return echo(request)

    server.behaviour = hang
    task = asyncio.create_task(call(client.predict, "digits", {"x": X}))
    await asyncio.to_thread(entered.wait, 20)
    await call(client.close)
    with pytest.raises(Cancelled):
        await task
    release.set()
