"""Handlers over messages, driven without a server."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from maas_server._stubs.maas.v1 import model_pb2
from maas_server.rpc.handlers import MOST_BYTES, unary


class Caller:
    """A context that keeps the error."""

    def __init__(self) -> None:
        self.error: tuple[Any, ...] = ()

    def time_remaining(self) -> None:
        return None

    async def abort(self, *error: Any) -> None:
        self.error = error
        raise grpc.aio.AbortError


async def answer(request: model_pb2.ModelStatusRequest) -> model_pb2.ModelStatusResponse:
    return model_pb2.ModelStatusResponse(models=[model_pb2.ModelInfo(name=request.model)])


def of_size(size: int) -> bytes:
    raw = model_pb2.ModelStatusRequest(model="m").SerializeToString()
    padding = size - len(raw) - 5
    # An unknown field: number 99, a length of three bytes' worth, the rest.
    length = bytes([padding & 127 | 128, padding >> 7 & 127 | 128, padding >> 14])
    return raw + b"\x9a\x06" + length + bytes(padding)


async def test_a_request_that_is_too_large_to_be_read_on_the_loop_is_refused() -> None:
    caller: Any = Caller()
    handler: Any = unary(answer, model_pb2.ModelStatusRequest, most_bytes=100_000)
    raw = of_size(100_000)
    assert len(raw) == 100_000
    assert model_pb2.ModelStatusResponse.FromString(await handler.unary_unary(raw, caller)).models[0].name == "m"
    with pytest.raises(grpc.aio.AbortError):
        await handler.unary_unary(of_size(100_001), caller)
    code, text, _ = caller.error
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert text == "expected a ModelStatusRequest of at most 100000 bytes, got 100001"


async def test_bytes_that_are_no_message_are_refused_by_its_name() -> None:
    caller: Any = Caller()
    handler: Any = unary(answer, model_pb2.ModelStatusRequest)
    with pytest.raises(grpc.aio.AbortError):
        await handler.unary_unary(b"\xff", caller)
    assert caller.error[1] == "the message is no maas.v1.ModelStatusRequest"
    assert MOST_BYTES == 4 << 20
