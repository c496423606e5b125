"""RPCs without a network, and messages as JSON."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2, wrappers_pb2

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server._stubs.inference import model_config_pb2
from maas_server.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    MaasError,
    NotFound,
    Overloaded,
    Unimplemented,
    Violation,
)
from maas_server.http.calls import Calls
from maas_server.http.protobuf_json import to_json
from maas_server.rpc.handlers import unary

ERRORS = [
    InvalidRequest("wrong", violations=[Violation("a.b", "expected 1, got 2"), Violation("c", "missing")]),
    NotFound("none", reason="MODEL_NOT_FOUND"),
    Overloaded("full", retry_after=1.5),
    DeadlineExceeded("late"),
]


def handlers(serve: Any) -> list[grpc.GenericRpcHandler]:
    method = unary(serve, wrappers_pb2.StringValue)
    return [
        grpc.method_handlers_generic_handler("other.Service", {}),
        grpc.method_handlers_generic_handler("some.Service", {"Method": method}),
    ]


async def call(serve: Any, method: str = "/some.Service/Method") -> str:
    """Call from another loop, as the HTTP thread does."""
    calls = Calls(handlers(serve), asyncio.get_running_loop())
    request = wrappers_pb2.StringValue(value="question")
    return await asyncio.to_thread(lambda: asyncio.run(calls.unary(method, request, wrappers_pb2.StringValue)).value)


async def test_a_call_runs_on_the_handlers_loop() -> None:
    here = asyncio.get_running_loop()

    async def serve(request: wrappers_pb2.StringValue) -> wrappers_pb2.StringValue:
        assert asyncio.get_running_loop() is here
        return wrappers_pb2.StringValue(value=f"{request.value} answered")

    assert await call(serve) == "question answered"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_errors_come_back_whole(error: MaasError) -> None:
    async def serve(_: Any) -> Any:
        raise error

    with pytest.raises(type(error)) as caught:
        await call(serve)
    assert (caught.value.message, caught.value.reason) == (error.message, error.reason)
    assert (caught.value.violations, caught.value.retry_after) == (error.violations, error.retry_after)


async def test_faults_of_ours_are_not_told() -> None:
    async def serve(_: Any) -> Any:
        raise ZeroDivisionError("secret")

    with pytest.raises(InternalError) as caught:
        await call(serve)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("method", ["/some.Service/Other", "/nobody/Method"])
async def test_a_method_that_is_not_there_is_unimplemented(method: str) -> None:
    with pytest.raises(Unimplemented):
        await call(None, method)


def test_numbers_are_numbers_and_enums_are_names() -> None:
    config = model_config_pb2.ModelConfig(name="m", max_batch_size=4)
    config.input.add(name="x", data_type=model_config_pb2.TYPE_FP32, dims=[-1, 1 << 40])
    config.parameters["key"].string_value = "value"
    told = to_json(config)
    assert told["max_batch_size"] == 4
    assert told["input"][0]["data_type"] == "TYPE_FP32"
    assert told["input"][0]["dims"] == [-1, 1 << 40]
    assert told["parameters"] == {"key": {"string_value": "value"}}
    # Defaults are told, messages that are not set are not.
    assert told["output"] == []
    assert "dynamic_batching" not in told


def test_of_alternatives_only_the_one_that_is_set_is_told() -> None:
    assert to_json(pb.InferParameter(bool_param=False)) == {"bool_param": False}
    assert to_json(pb.InferParameter()) == {}


def test_bytes_are_base64_and_unknown_enums_numbers() -> None:
    assert to_json(pb.InferTensorContents(bytes_contents=[b"\xff"]))["bytes_contents"] == ["/w=="]
    assert to_json(struct_pb2.Value(null_value=7)) == {"null_value": 7}  # type: ignore[arg-type]
