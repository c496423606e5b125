"""Tenants, from a metadata key or a header to limits in the core, by every protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2

from maas_server._stubs.inference import grpc_service_pb2
from maas_server._stubs.maas.v1 import predict_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2, tensor_pb2
from maas_server.settings import Settings, TenantLimits
from tests.fronts import FrontName
from tests.rpc.inference import request as infer_request
from tests.server.conftest import write_repository
from tests.server.in_process import PREDICT, SECONDS, STREAM, InProcessServer, Refused, request, tensor

ROWS = np.zeros((3, 4), np.float32)
MODEL_INFER = "/inference.GRPCInferenceService/ModelInfer"
MODEL_STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
TENSORFLOW_PREDICT = "/tensorflow.serving.PredictionService/Predict"


def settings(path: Path, front: FrontName) -> Settings:
    return Settings(
        path=path,
        front=front,
        grpc_port=0,
        http_port=0,
        settle=0,
        drain_delay=0,
        tenant_key="x-tenant",
        # Three rows are more than this tenant may ever have under way.
        tenants={
            "small": TenantLimits(max_rows_in_flight=2),
            "slow": TenantLimits(max_rows_per_second=0.01),
            "*": TenantLimits(weight=2),
        },
    )


@pytest_asyncio.fixture
async def tenants(front: FrontName, tmp_path: Path) -> AsyncIterator[InProcessServer]:
    write_repository(tmp_path)
    async with InProcessServer(settings(tmp_path, front)) as running:
        yield running


def predict(rows: np.ndarray[Any, Any] = ROWS) -> bytes:
    return request("linear", tensor("x", rows)).SerializeToString()


def tensorflow_predict() -> bytes:
    message = prediction_service_pb2.PredictRequest()
    message.model_spec.name = "linear"
    given = message.inputs["x"]
    given.dtype = tensor_pb2.DT_FLOAT
    given.tensor_content = ROWS.tobytes()
    for size in ROWS.shape:
        given.tensor_shape.dim.add(size=size)
    return message.SerializeToString()


UNARY = {
    PREDICT: predict(),
    MODEL_INFER: infer_request("linear", ROWS).SerializeToString(),
    TENSORFLOW_PREDICT: tensorflow_predict(),
}


async def ask(server: InProcessServer, method: str, raw: bytes, *tenant: str | bytes) -> bytes:
    """One unary RPC; raises Refused."""
    try:
        unary: Any = server.channel.unary_unary(method)
        metadata = tuple(("x-tenant", each) for each in tenant)
        return bytes(await unary(raw, timeout=SECONDS, metadata=metadata))
    except grpc.aio.AioRpcError as error:
        raise Refused(error) from error


@pytest.mark.parametrize("method", UNARY)
async def test_a_tenant_beyond_its_limit_is_refused_and_others_are_not(tenants: InProcessServer, method: str) -> None:
    with pytest.raises(Refused) as caught:
        await ask(tenants, method, UNARY[method], "small")
    assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.reason == "TENANT_ROWS_IN_FLIGHT"
    assert "small" in caught.value.message
    for others in ((), ("large",)):
        await ask(tenants, method, UNARY[method], *others)
    if method == PREDICT:
        await ask(tenants, method, predict(ROWS[:2]), "small")


async def test_requests_of_streams_belong_to_the_tenant(tenants: InProcessServer) -> None:
    metadata = (("x-tenant", "small"),)
    message = predict_pb2.PredictStreamRequest(requests=[request("linear", tensor("x", ROWS), id="r")])
    open_stream: Any = tenants.channel.stream_stream(STREAM)
    call = open_stream(iter([message.SerializeToString()]), timeout=SECONDS, metadata=metadata)
    answers = [predict_pb2.PredictStreamResponse.FromString(raw) async for raw in call]
    assert [each.error.code for answer in answers for each in answer.answers] == [8]

    open_stream = tenants.channel.stream_stream(MODEL_STREAM_INFER)
    call = open_stream(iter([UNARY[MODEL_INFER]]), timeout=SECONDS, metadata=metadata)
    (answer,) = [grpc_service_pb2.ModelStreamInferResponse.FromString(raw) async for raw in call]
    assert "small" in answer.error_message


async def test_over_http_the_header_of_the_same_name_counts(tenants: InProcessServer) -> None:
    data = ROWS.tolist()
    bodies: dict[str, dict[str, Any]] = {
        "/v2/models/linear/infer": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [3, 4], "data": data}]},
        "/v1/models/linear:predict": {"instances": data},
        "/v1/models/linear:regress": {"examples": [{"x": row} for row in data]},
    }
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{tenants.server.http_port}", timeout=SECONDS) as client:
        for path, body in bodies.items():
            refused = await client.post(path, json=body, headers={"x-tenant": "small"})
            assert (refused.status_code, refused.json()["reason"]) == (429, "TENANT_ROWS_IN_FLIGHT"), path
            taken = await client.post(path, json=body, headers=[(b"x-tenant", "l\u00e4rge".encode())])
            assert taken.status_code == 200 or "TENANT" not in taken.json().get("reason", "")
        metrics = (await client.get("/metrics")).text
    assert 'maas_tenant_refused_total{tenant="small"} 3.0' in metrics
    assert 'maas_refused_total{model="linear",reason="tenant",version="1"} 3.0' in metrics


async def test_a_tenant_who_comes_too_often_is_told_when_to_come_back(tenants: InProcessServer) -> None:
    row = predict(ROWS[:1])
    await ask(tenants, PREDICT, row, "slow")
    with pytest.raises(Refused) as caught:
        await ask(tenants, PREDICT, row, "slow")
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TENANT_RATE")
    delay = caught.value.detail(error_details_pb2.RetryInfo).retry_delay
    assert 1 < delay.seconds <= 100
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{tenants.server.http_port}", timeout=SECONDS) as client:
        body = {"instances": ROWS[:1].tolist()}
        response = await client.post("/v1/models/linear:predict", json=body, headers={"x-tenant": "slow"})
    assert (response.status_code, response.json()["reason"]) == (429, "TENANT_RATE")
    assert 1 < int(response.headers["retry-after"]) <= 101


async def test_hostile_names_are_only_names(tenants: InProcessServer) -> None:
    for name in ("", " ", "*", "(others)", "%00", "../..", "x" * 4000):
        await ask(tenants, PREDICT, predict(), name)
    await ask(tenants, PREDICT, predict(), "a", "b")


async def test_thousands_of_names_leave_a_bounded_number(tenants: InProcessServer) -> None:
    for first in range(0, 3000, 100):
        await asyncio.gather(*(ask(tenants, PREDICT, predict(), f"t{first + index}") for index in range(100)))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{tenants.server.http_port}", timeout=SECONDS) as client:
        metrics = (await client.get("/metrics")).text
    named = [line for line in metrics.splitlines() if line.startswith("maas_tenant_rows_in_flight{")]
    assert 1 <= len(named) <= 100
