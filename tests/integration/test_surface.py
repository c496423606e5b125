"""What else the port offers: health, reflection, limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from maas_server.errors import DeadlineExceeded, MaasError, NotFound, Overloaded
from tests.fronts import FrontName
from tests.integration import graphs
from tests.integration.conftest import Serve
from tests.integration.serving import ServeProcess, serving

MODEL = "scale"
WIDTH = 1 << 17


@pytest.fixture(scope="module")
def server(front: FrontName, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeProcess]:
    """One for all tests, which leave it as it was."""
    path = tmp_path_factory.mktemp("surface")
    graphs.place(path, MODEL, 3, graphs.multiply(2, WIDTH))
    with serving(path, "--max-message-bytes", "1MiB", "--drain-delay", "0", front=front) as process:
        yield process


def health(server: ServeProcess, name: str) -> int:
    with grpc.insecure_channel(server.target) as channel:
        check: grpc.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        status: int = check(health_pb2.HealthCheckRequest(service=name), timeout=10).status
        return status


@pytest.mark.parametrize(
    "name",
    ["", "liveness", "startup", MODEL, f"{MODEL}/3", "maas.v1.PredictService", "maas.v1.ModelService"],
)
def test_health_is_known_by_every_name(server: ServeProcess, name: str) -> None:
    assert health(server, name) == health_pb2.HealthCheckResponse.SERVING


def test_health_of_what_nobody_knows_is_not_found(server: ServeProcess) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health(server, "nobody")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_describes_every_method(server: ServeProcess) -> None:
    with grpc.insecure_channel(server.target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        pool = DescriptorPool(database)
        predict = pool.FindServiceByName("maas.v1.PredictService")
        model = pool.FindServiceByName("maas.v1.ModelService")
    assert {"maas.v1.PredictService", "maas.v1.ModelService", "grpc.health.v1.Health"} <= services
    assert set(predict.methods_by_name) == {"Predict", "PredictStream"}
    assert set(model.methods_by_name) == {"ModelStatus", "WatchModelStatus", "LoadModel", "UnloadModel", "SetLabel"}


def test_a_message_over_the_limit_is_refused_and_nothing_else_is_disturbed(server: ServeProcess) -> None:
    fits, too_large = np.ones((1, WIDTH), np.float32), np.ones((3, WIDTH), np.float32)
    with server.client() as client:
        with pytest.raises(Overloaded):
            client.predict(MODEL, {"x": too_large})
        np.testing.assert_array_equal(client.predict(MODEL, {"x": fits})["y"], 2 * fits)


def test_random_bytes_are_refused_and_the_server_stays_up(server: ServeProcess) -> None:
    random = np.random.default_rng(7)
    codes = set()
    with grpc.insecure_channel(server.target) as channel:
        predict: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/maas.v1.PredictService/Predict")
        for length in (0, 1, 2, 7, 64, 1000, 60_000):
            for _ in range(20):
                with pytest.raises(grpc.RpcError) as caught:
                    predict(random.bytes(length), timeout=10)
                codes.add(caught.value.code())
    assert codes <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    with server.client() as client:
        assert client.ready()


def test_errors_come_typed(server: ServeProcess) -> None:
    row = np.ones((1, WIDTH), np.float32)
    with server.client() as client:
        with pytest.raises(NotFound, match="nobody"):
            client.predict("nobody", {"x": row})
        with pytest.raises(MaasError) as caught:
            client.predict(MODEL, {"z": row})
    assert caught.value.violations


def test_a_deadline_that_passes_ends_the_wait_and_disturbs_nobody(serve: Serve, tmp_path: Path) -> None:
    graphs.place(tmp_path, "slow", 1, graphs.slow())
    (tmp_path / "slow" / "maas.yaml").write_text("batching: {max_batch_size: 2}\n")
    server = serve(tmp_path, "--drain-delay", "0")

    with server.client() as client:
        with pytest.raises(DeadlineExceeded):
            client.predict("slow", {"x": np.ones((8, 512), np.float32)}, timeout=0.02)
        answer = client.predict("slow", {"x": np.ones((1, 512), np.float32)})

    np.testing.assert_array_equal(answer["y"], np.ones((1, 512), np.float32))


def test_a_single_file_is_served_under_its_name(serve: Serve, tmp_path: Path) -> None:
    graphs.place(tmp_path, "any", 1, graphs.multiply(3))
    file = (tmp_path / "any" / "1" / "model.onnx").rename(tmp_path / "triple.onnx")
    server = serve(file, "--drain-delay", "0")

    with server.client() as client:
        answer = client.predict("triple", {"x": np.ones((2, 4), np.float32)})

    assert answer.version == 1
    np.testing.assert_array_equal(answer["y"], np.full((2, 4), 3, np.float32))
