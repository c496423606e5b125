"""In whose name a call is: from its metadata, which nobody looks at unless tenants are told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2

from maas_server._core import CoreError
from maas_server.front import Protocol
from maas_server.rpc.handlers import Caller, caller_unary
from maas_server.rpc.infer_handler import infer_handler, tenant_reader
from maas_server.rpc.inference_service import inference_handler
from maas_server.rpc.predict_service import predict_handler
from maas_server.rpc.tensorflow_service import tensorflow_handler

INFERENCE = "/inference.GRPCInferenceService/"
UNARY = {
    "/maas.v1.PredictService/Predict": Protocol.PREDICT,
    INFERENCE + "ModelInfer": Protocol.MODEL_INFER,
    "/tensorflow.serving.PredictionService/Predict": Protocol.TENSORFLOW_PREDICT,
}


class Context:
    """Of a call with metadata; None: whoever asks for it fails."""

    def __init__(self, metadata: Sequence[tuple[str, str | bytes]] | None) -> None:
        self._metadata = metadata
        self.messages = [b"message"]

    def time_remaining(self) -> float:
        return 5.0

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        assert self._metadata is not None, "the metadata was read"
        return self._metadata

    async def read(self) -> Any:
        return self.messages.pop() if self.messages else grpc.aio.EOF

    async def write(self, _: bytes) -> None:
        pass


class RecordingFront:
    """Answers at once and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def answer(self, *asked: Any) -> Any:
        self.asked.append(asked)
        return b"answer"

    def new_group(self) -> int:
        return 1

    def submit(self, *asked: Any) -> tuple[asyncio.Future[bytes], int]:
        self.asked.append(asked)
        answer = asyncio.get_running_loop().create_future()
        answer.set_result(b"answer")
        return answer, 1

    def submit_stream(self, *asked: Any) -> tuple[int, list[bytes]]:
        self.asked.append(asked)
        return 0, [b"answer"]


def method(front: RecordingFront, name: str, key: str) -> Any:
    """The handler of a method of all that a server has."""
    tenant_of = tenant_reader(key)
    some: Any = front
    nothing: Any = SimpleNamespace()
    handlers = [
        predict_handler(some, asyncio.Event(), tenant_of),
        inference_handler(some, nothing, nothing, asyncio.Event(), shared_memory=None, tenant_of=tenant_of),
        tensorflow_handler(some, nothing, tenant_of),
    ]
    details: Any = SimpleNamespace(method=name, invocation_metadata=())
    return next(found for handler in handlers if (found := handler.service(details)) is not None)


@pytest.mark.parametrize(("name", "protocol"), UNARY.items())
async def test_the_tenant_goes_with_a_request(name: str, protocol: Protocol) -> None:
    front = RecordingFront()
    context = Context((("user-agent", "x"), ("x-tenant", "acme"), ("x-tenants", "no")))
    assert await method(front, name, "x-tenant").unary_unary(b"message", context) == b"answer"
    assert front.asked == [(protocol, b"message", 5.0, "acme")]


@pytest.mark.parametrize(("name", "protocol"), UNARY.items())
async def test_without_a_key_no_metadata_is_read(name: str, protocol: Protocol) -> None:
    front = RecordingFront()
    assert await method(front, name, "").unary_unary(b"message", Context(None)) == b"answer"
    assert front.asked == [(protocol, b"message", 5.0)]


@pytest.mark.parametrize(("key", "tenant"), [("x-tenant", "acme"), ("", "")])
async def test_streams_belong_to_a_tenant(key: str, tenant: str) -> None:
    front = RecordingFront()
    await method(front, "/maas.v1.PredictService/PredictStream", key).stream_stream(
        None, Context((("x-tenant", "acme"),) if key else None)
    )
    await method(front, INFERENCE + "ModelStreamInfer", key).stream_stream(None, Context((("x-tenant", "acme"),)))
    predicted, inferred = front.asked
    assert (predicted[0], predicted[1], predicted[-1]) == (b"message", 5.0, tenant)
    assert inferred == (Protocol.MODEL_STREAM_INFER, b"message", 5.0, tenant)


@pytest.mark.parametrize(("key", "tenant"), [("x-tenant", "acme"), ("", "")])
async def test_what_is_built_on_predictions_is_told_of_its_caller(key: str, tenant: str) -> None:
    seen: list[Caller] = []

    async def serve(request: wrappers_pb2.StringValue, caller: Caller) -> wrappers_pb2.StringValue:
        seen.append(caller)
        return request

    handler: Any = caller_unary(serve, wrappers_pb2.StringValue, tenant_of=tenant_reader(key))
    await handler.unary_unary(b"", Context((("x-tenant", "acme"),) if key else None))
    assert seen == [Caller(5.0, tenant)]


@pytest.mark.parametrize(
    ("metadata", "tenant"),
    [
        ((), ""),
        ((("x-tenant", ""),), ""),
        ((("x-tenant", "a"), ("other", "c"), ("x-tenant", "b")), "a, b"),
        ((("x-tenant", b"raw\xff"),), "raw\\xff"),
        ((("x-tenant", "h\u00e9\u6a21"),), "h\\xe9\\u6a21"),
        ((("x-tenant", "x" * 100_000),), "x" * 100_000),
    ],
)
def test_a_tenants_name_is_text_of_ascii_whatever_comes(
    metadata: Sequence[tuple[str, str | bytes]], tenant: str
) -> None:
    read = tenant_reader("x-tenant")
    context: Any = Context(metadata)
    assert read is not None
    assert read(context) == tenant


async def test_a_refusal_of_the_core_goes_to_who_knows_the_protocol() -> None:
    failed: list[tuple[Any, ...]] = []

    class Refusing(RecordingFront):
        async def answer(self, *_: Any) -> Any:
            return 8, "TENANT_RATE", "too many", (), 0, b""

    async def fail(_: Any, error: CoreError, raw: bytes) -> bytes:
        failed.append((error.args[1], raw))
        return b"refused"

    front: Any = Refusing()
    for key in ("", "x-tenant"):
        handler: Any = infer_handler(front, Protocol.PREDICT, fail, tenant_reader(key))
        context = Context((("x-tenant", "acme"),) if key else None)
        assert await handler.unary_unary(b"message", context) == b"refused"
    assert failed == [("TENANT_RATE", b"message")] * 2
