"""What GRPCInferenceService tells of the server and its models."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from maas_server import __version__
from maas_server._stubs.inference import model_config_pb2
from maas_server.rpc.inference_service import SERVICE
from maas_server.server import Server
from maas_server.settings import Settings
from tests.fronts import FrontName
from tests.models import onnx_models
from tests.rpc.inference import METHODS, Inference, call, save_model
from tests.server.in_process import InProcessServer, Refused, request, tensor

NAMED = ("ModelMetadata", "ModelConfig", "ModelStatistics")


async def test_the_server_lives_and_is_ready(inference: Inference) -> None:
    assert (await inference("ServerLive")).live
    assert (await inference("ServerReady")).ready
    assert await inference.server.health(SERVICE) == health_pb2.HealthCheckResponse.SERVING


async def test_a_server_whose_models_all_failed_is_not_ready(front: FrontName, tmp_path: Path) -> None:
    save_model(tmp_path, "broken", onnx_models.strings())
    (tmp_path / "broken/1/model.onnx").write_bytes(b"this is no model")
    server = Server(Settings(path=tmp_path, front=front, grpc_port=0, http=False, settle=0, drain_delay=0))
    running = asyncio.create_task(server.run())
    async with asyncio.timeout(30):
        await server.listening.wait()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            while [each.state for each in (await call(channel, "RepositoryIndex")).models] != ["UNAVAILABLE"]:
                pass
            assert (await call(channel, "ServerLive")).live
            assert not (await call(channel, "ServerReady")).ready
        server.stop()
        assert await running == 0


async def test_the_server_says_what_it_is_and_only_what_it_can(
    front: FrontName, inference: Inference, tmp_path: Path
) -> None:
    metadata = await inference("ServerMetadata")
    assert (metadata.name, metadata.version) == ("maas_server", __version__)
    assert {"statistics", "model_repository", "classification", "binary_tensor_data"} <= set(metadata.extensions)
    assert "system_shared_memory" in metadata.extensions
    assert not {"sequence", "cuda_shared_memory", "trace"} & set(metadata.extensions)
    async with InProcessServer(
        Settings(path=tmp_path / "strings", front=front, grpc_port=0, http=False, settle=0, drain_delay=0)
    ) as server:
        assert "system_shared_memory" not in (await Inference(server)("ServerMetadata")).extensions


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [
        ("scaled", "", True),
        ("scaled", "1", True),
        ("scaled", "2", True),
        ("scaled", "3", False),
        ("broken", "", False),
        ("broken", "1", False),
        ("nothing", "", False),
        ("nothing", "1", False),
        ("", "", False),
        ("scaled", "steady", True),
        ("scaled", "-1", False),
        ("scaled", "٣", False),
    ],
)
async def test_models_are_ready_or_not(name: str, version: str, ready: bool, inference: Inference) -> None:
    assert (await inference("ModelReady", name=name, version=version)).ready == ready


async def test_metadata_tells_versions_platform_and_tensors(inference: Inference) -> None:
    metadata = await inference("ModelMetadata", name="scaled")
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("scaled", ["1", "2"], "onnxruntime_onnx")
    for (info,), name in ((metadata.inputs, "x"), (metadata.outputs, "y")):
        assert (info.name, info.datatype, list(info.shape)) == (name, "FP32", [-1, 4])
    assert list((await inference("ModelMetadata", name="scaled", version="1")).versions) == ["1"]
    assert list((await inference("ModelMetadata", name="scaled", version="steady")).versions) == ["1"]
    strings = await inference("ModelMetadata", name="strings")
    assert (strings.inputs[0].datatype, list(strings.inputs[0].shape)) == ("BYTES", [-1])


async def test_the_configuration_is_worked_out_of_how_a_model_is_served(inference: Inference) -> None:
    config = (await inference("ModelConfig", name="scaled")).config
    assert (config.name, config.platform, config.backend) == ("scaled", "onnxruntime_onnx", "onnxruntime")
    assert config.max_batch_size > 0
    assert config.HasField("dynamic_batching")
    (given,), (got,) = config.input, config.output
    assert (given.name, given.data_type, list(given.dims)) == ("x", model_config_pb2.TYPE_FP32, [4])
    assert (got.name, got.data_type, list(got.dims)) == ("y", model_config_pb2.TYPE_FP32, [4])
    assert config.instance_group[0].count >= 1


async def test_statistics_grow_by_what_was_asked(inference: Inference) -> None:
    async def counts() -> tuple[Any, Any]:
        both = {each.version: each for each in (await inference("ModelStatistics", name="scaled")).model_stats}
        return both["1"], both["2"]

    first = await counts()
    assert [(each.name, each.inference_count, each.last_inference) for each in first] == [("scaled", 0, 0)] * 2
    predict = request("scaled", tensor("x", np.ones((1, 4), np.float32)), version=2)
    for _ in range(3):
        await inference.server.predict(predict)
    one, two = await counts()
    assert one.inference_count == 0
    assert (two.inference_count, two.execution_count) == (3, 3)
    stats = two.inference_stats
    for each in (stats.success, stats.queue, stats.compute_input, stats.compute_infer, stats.compute_output):
        assert each.count == 3
        assert each.ns > 0
    assert stats.success.ns >= stats.queue.ns + stats.compute_infer.ns
    assert (stats.fail.count, stats.cache_hit.count, stats.cache_miss.count) == (0, 0, 0)
    assert two.last_inference > 0
    assert [(each.batch_size, each.compute_infer.count) for each in two.batch_stats] == [(1, 3)]


async def test_statistics_without_a_name_are_those_of_all_that_serves(inference: Inference) -> None:
    everything = (await inference("ModelStatistics")).model_stats
    assert {(each.name, each.version) for each in everything} == {("scaled", "1"), ("scaled", "2"), ("strings", "1")}
    (only,) = (await inference("ModelStatistics", name="scaled", version="2")).model_stats
    assert only.version == "2"


@pytest.mark.parametrize("method", NAMED)
async def test_what_is_not_there_is_named_as_triton_names_it(method: str, inference: Inference) -> None:
    for fields, code, phrase, reason in (
        ({"name": "nothing"}, "NOT_FOUND", "'nothing' is not found: ", "MODEL_NOT_FOUND"),
        ({"name": "scaled", "version": "7"}, "NOT_FOUND", "'scaled' version 7 is not found: ", "VERSION_NOT_FOUND"),
        ({"name": "scaled", "version": "no"}, "NOT_FOUND", "'scaled' version no is not found: ", "LABEL_NOT_FOUND"),
        ({"name": "broken"}, "UNAVAILABLE", "'broken' has no available versions: ", "NO_VERSION_AVAILABLE"),
        (
            {"name": "broken", "version": "1"},
            "UNAVAILABLE",
            "'broken' version 1 is not at ready state: ",
            "VERSION_NOT_AVAILABLE",
        ),
    ):
        with pytest.raises(Refused) as refused:
            await inference(method, **fields)
        assert refused.value.code.name == code
        assert refused.value.message.startswith(f"Request for unknown model: {phrase}")
        assert refused.value.status.message == refused.value.message
        assert refused.value.reason == reason


@pytest.mark.parametrize("method", [*NAMED, "ModelReady"])
@pytest.mark.parametrize("version", ["0", "00", "9223372036854775808", "9" * 5000])
async def test_a_number_that_can_be_no_version_is_refused(method: str, version: str, inference: Inference) -> None:
    with pytest.raises(Refused) as refused:
        await inference(method, name="scaled", version=version)
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.value.fields) == ["version"]


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig"])
async def test_a_name_is_required(method: str, inference: Inference) -> None:
    with pytest.raises(Refused) as refused:
        await inference(method)
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.value.fields) == ["name"]


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"ModelStreamInfer"}))
async def test_bytes_that_are_no_message_are_refused(method: str, inference: Inference) -> None:
    with pytest.raises(Refused) as refused:
        await inference.server.call(f"/{SERVICE}/{method}", b"\x0a\xff")
    assert refused.value.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)
