"""Reflection tells clients of every service, whichever pool its descriptors lie in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from maas_server.rpc.health import Health
from maas_server.rpc.server import bind, build_server
from maas_server.settings import Settings

OFFERED = (
    "maas.v1.PredictService",
    "maas.v1.ModelService",
    "inference.GRPCInferenceService",
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)
BESIDES = ("grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection")


@pytest.fixture
async def target() -> AsyncIterator[str]:
    settings = Settings(host="127.0.0.1", grpc_port=0)
    server = build_server(settings, (), OFFERED, Health(OFFERED, asyncio.Event()))
    port = bind(server, settings)
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def test_every_service_is_listed_and_described(target: str) -> None:
    def described() -> tuple[set[str], dict[str, dict[str, tuple[str, str]]]]:
        with grpc.insecure_channel(target) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            pool = DescriptorPool(database)
            services = {name: pool.FindServiceByName(name) for name in OFFERED + BESIDES}
            return set(database.get_services()), {
                name: {
                    method.name: (method.input_type.full_name, method.output_type.full_name)
                    for method in service.methods
                }
                for name, service in services.items()
            }

    listed, methods = await asyncio.to_thread(described)
    assert listed == {*OFFERED, *BESIDES}
    assert all(methods.values())
    assert methods["maas.v1.PredictService"]["Predict"] == ("maas.v1.PredictRequest", "maas.v1.PredictResponse")
    assert methods["inference.GRPCInferenceService"]["ModelConfig"] == (
        "inference.ModelConfigRequest",
        "inference.ModelConfigResponse",
    )
    assert methods["tensorflow.serving.PredictionService"]["Predict"] == (
        "tensorflow.serving.PredictRequest",
        "tensorflow.serving.PredictResponse",
    )
    assert methods["tensorflow.serving.ModelService"]["GetModelStatus"] == (
        "tensorflow.serving.GetModelStatusRequest",
        "tensorflow.serving.GetModelStatusResponse",
    )


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("inference.ModelConfig", "inference/model_config.proto"),
        ("inference.GRPCInferenceService", "inference/grpc_service.proto"),
        ("tensorflow.TensorProto", "tensorflow_serving/tensor.proto"),
        ("google.protobuf.Any", "google/protobuf/any.proto"),
        ("google.rpc.Status", "google/rpc/status.proto"),
    ],
)
async def test_what_a_service_imports_is_found_by_its_name(target: str, symbol: str, file: str) -> None:
    def found() -> str:
        with grpc.insecure_channel(target) as channel:
            return str(ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol(symbol).name)

    assert await asyncio.to_thread(found) == file
