"""ModelService over a real channel, with a registry whose engine is a fake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from maas_server._stubs.maas.v1 import model_pb2, tensor_pb2
from maas_server.models.registry import Registry
from maas_server.models.repository import Repository
from maas_server.rpc.model_service import SERVICE, model_handler
from tests.models import onnx_models
from tests.models.fakes import FakeHost


class Caller:
    """Calls ModelService as any client would."""

    def __init__(self, path: Path, channel: grpc.aio.Channel, registry: Registry, stopping: asyncio.Event) -> None:
        self.path = path
        self.registry = registry
        self.stopping = stopping
        self._channel = channel

    async def __call__(self, method: str, request: Any, response: Any) -> Any:
        call = self._channel.unary_unary(f"/{SERVICE}/{method}", type(request).SerializeToString, response.FromString)
        return await call(request, timeout=20)

    async def status(self, **fields: Any) -> model_pb2.ModelStatusResponse:
        response: model_pb2.ModelStatusResponse = await self(
            "ModelStatus", model_pb2.ModelStatusRequest(**fields), model_pb2.ModelStatusResponse
        )
        return response

    async def load(self, **fields: Any) -> model_pb2.LoadModelResponse:
        response: model_pb2.LoadModelResponse = await self(
            "LoadModel", model_pb2.LoadModelRequest(**fields), model_pb2.LoadModelResponse
        )
        return response

    async def unload(self, **fields: Any) -> model_pb2.UnloadModelResponse:
        response: model_pb2.UnloadModelResponse = await self(
            "UnloadModel", model_pb2.UnloadModelRequest(**fields), model_pb2.UnloadModelResponse
        )
        return response

    async def set_label(self, **fields: Any) -> model_pb2.SetLabelResponse:
        response: model_pb2.SetLabelResponse = await self(
            "SetLabel", model_pb2.SetLabelRequest(**fields), model_pb2.SetLabelResponse
        )
        return response

    def watch(self, **fields: Any) -> AsyncIterator[model_pb2.ModelStatusResponse]:
        call = self._channel.unary_stream(
            f"/{SERVICE}/WatchModelStatus",
            model_pb2.ModelStatusRequest.SerializeToString,
            model_pb2.ModelStatusResponse.FromString,
        )
        stream: AsyncIterator[model_pb2.ModelStatusResponse] = call(
            model_pb2.ModelStatusRequest(**fields), timeout=20
        ).__aiter__()
        return stream


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    onnx_models.save(onnx_models.embedding(masked=True), tmp_path / "embedding/1/model.onnx")
    (tmp_path / "embedding/maas.yaml").write_text(
        "versions: all\npadding: [{inputs: {ids: 1}, mask: mask, buckets: [8, 16]}]"
    )
    repository = Repository(tmp_path, settle=0.0, now=lambda: time.time() + 100)
    registry = Registry(repository, FakeHost(), poll_interval=0)
    server = grpc.aio.server()
    stopping = asyncio.Event()
    server.add_generic_rpc_handlers((model_handler(registry, stopping),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await registry.start()
    async for _ in registry.watch():
        if registry.ready():
            break
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Caller(tmp_path, channel, registry, stopping)
    await server.stop(None)
    await registry.stop()


def violations(error: grpc.aio.AioRpcError) -> list[str]:
    """The fields that the error names as google.rpc.BadRequest."""
    metadata = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    fields = []
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            fields += [each.field for each in bad.field_violations]
    return fields


async def test_status_tells_everything_of_a_version(caller: Caller) -> None:
    (model,) = (await caller.status()).models
    assert (model.name, model.default_version, model.reason) == ("embedding", 1, "")
    (version,) = model.versions
    assert version.state == model_pb2.AVAILABLE
    assert abs(version.since_unix_ms / 1000 - time.time()) < 60
    assert version.digest.startswith("sha256:")
    assert version.runner.startswith("onnxruntime ")
    ids, mask = version.signature.inputs
    assert (ids.name, ids.datatype, list(ids.shape)) == ("ids", tensor_pb2.INT64, [-1, -1])
    assert list(ids.dim_names) == ["batch", "sequence"]
    assert (ids.optional, mask.optional) == (False, True)
    assert version.batching.enabled
    assert list(version.batching.pad_buckets) == [8, 16]
    assert 0 <= version.batching.row_difference < 1e-4
    assert (version.batching.max_request_rows, version.batching.instances) == (1024, 1)
    assert version.curve[0].rows == 1
    assert version.curve[0].seconds > 0
    assert version.counters.accepted == 3


async def test_status_tells_how_what_serves_is_scheduled(caller: Caller) -> None:
    (version,) = (await caller.status()).models[0].versions
    scheduling = version.scheduling
    assert scheduling.mode == model_pb2.Scheduling.PREDICTIVE
    assert (scheduling.predicted_ns, scheduling.margin_ns) == (1_000_000, 200_000)
    assert (scheduling.headroom, scheduling.device, scheduling.device_idle) == (0.5, "cpu", 0.25)
    assert len(scheduling.curves) == 64, "no more than the message promises"
    assert scheduling.curves[2] == model_pb2.BucketCurve(
        bucket="[2]", points=[model_pb2.TimePoint(rows=1, typical_seconds=0.002, high_seconds=0.003)]
    )
    (unloaded,) = (await caller.unload(model="embedding")).model.versions
    assert not unloaded.HasField("scheduling")


async def test_models_and_versions_can_be_loaded_and_unloaded(caller: Caller) -> None:
    onnx_models.save(onnx_models.linear(), caller.path / "linear/1/model.onnx")
    onnx_models.save(onnx_models.linear(), caller.path / "linear/2/model.onnx")
    loaded = (await caller.load(model="linear")).model
    assert loaded.default_version == 2
    loaded = (await caller.load(model="linear", version=1)).model
    assert [each.state for each in loaded.versions] == [model_pb2.AVAILABLE, model_pb2.AVAILABLE]
    left = (await caller.unload(model="linear", version=2)).model
    assert left.default_version == 1
    newest = left.versions[0]
    assert (newest.version, newest.state, newest.reason) == (2, model_pb2.END, "unloaded")
    labelled = (await caller.set_label(model="linear", label="stable", version=1)).model
    assert dict(labelled.labels) == {"stable": 1}
    gone = (await caller.unload(model="linear")).model
    assert (gone.default_version, dict(gone.labels)) == (0, {})


async def test_one_version_can_be_asked_for(caller: Caller) -> None:
    response = await caller.status(model="embedding", version=1)
    assert [each.version for each in response.models[0].versions] == [1]


@pytest.mark.parametrize(
    ("method", "fields", "code", "field"),
    [
        ("status", {"model": "none"}, grpc.StatusCode.NOT_FOUND, None),
        ("status", {"model": "embedding", "version": 9}, grpc.StatusCode.NOT_FOUND, None),
        ("status", {"version": 9}, grpc.StatusCode.INVALID_ARGUMENT, "model"),
        ("status", {"model": "x" * 257}, grpc.StatusCode.INVALID_ARGUMENT, "model"),
        ("load", {}, grpc.StatusCode.INVALID_ARGUMENT, "model"),
        ("load", {"model": "none"}, grpc.StatusCode.NOT_FOUND, None),
        ("load", {"model": "../etc"}, grpc.StatusCode.NOT_FOUND, None),
        ("load", {"model": "embedding", "version": 9}, grpc.StatusCode.NOT_FOUND, None),
        ("load", {"model": "embedding", "version": -1}, grpc.StatusCode.INVALID_ARGUMENT, "version"),
        ("unload", {"model": "none"}, grpc.StatusCode.NOT_FOUND, None),
        ("unload", {"model": "embedding", "version": 9}, grpc.StatusCode.NOT_FOUND, None),
        ("set_label", {"model": "embedding", "version": 1}, grpc.StatusCode.INVALID_ARGUMENT, "label"),
        ("set_label", {"model": "embedding", "label": "7", "version": 1}, grpc.StatusCode.INVALID_ARGUMENT, "label"),
        ("set_label", {"model": "embedding", "label": "a", "version": 9}, grpc.StatusCode.NOT_FOUND, None),
        ("set_label", {"model": "embedding", "label": "a"}, grpc.StatusCode.NOT_FOUND, None),
    ],
)
async def test_bad_requests_get_the_right_status(
    caller: Caller, method: str, fields: dict[str, Any], code: grpc.StatusCode, field: str | None
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(caller, method)(**fields)
    assert caught.value.code() == code
    assert violations(caught.value) == ([field] if field else [])


async def test_a_load_that_fails_says_why_and_leaves_the_rest_serving(caller: Caller) -> None:
    path = caller.path / "embedding/2/model.onnx"
    path.parent.mkdir()
    path.write_bytes(b"no model")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.load(model="embedding", version=2)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "embedding:2: ONNX Runtime cannot load model.onnx" in (caught.value.details() or "")
    (model,) = (await caller.status(model="embedding")).models
    assert [(each.version, each.state) for each in model.versions] == [(2, model_pb2.END), (1, model_pb2.AVAILABLE)]
    assert model.versions[0].reason


async def test_a_label_moves_only_to_an_available_version(caller: Caller) -> None:
    await caller.unload(model="embedding", version=1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await caller.set_label(model="embedding", label="stable", version=1)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_watching_starts_with_the_present_and_tells_each_change(caller: Caller) -> None:
    stream = caller.watch(model="embedding")
    async with asyncio.timeout(10):
        first = await anext(stream)
        assert first.models[0].versions[0].state == model_pb2.AVAILABLE
        await caller.set_label(model="embedding", label="stable", version=1)
        assert dict((await anext(stream)).models[0].labels) == {"stable": 1}
        await caller.unload(model="embedding")
        states: list[int] = []
        while not states or states[-1] != model_pb2.END:
            states.append((await anext(stream)).models[0].versions[0].state)


async def test_watching_an_unknown_model_is_not_found(caller: Caller) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(caller.watch(model="none"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


async def test_watches_end_when_the_server_stops(caller: Caller) -> None:
    stream = caller.watch()
    await anext(stream)
    caller.stopping.set()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(stream)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
