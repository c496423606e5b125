"""A server with small models, and a client that speaks HTTP to it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import onnx
import pytest
import pytest_asyncio

from maas_server.settings import Settings
from tests.models import onnx_models
from tests.server.in_process import InProcessServer

MAX_BODY = 1 << 20


def identity(datatype: int, rank: int) -> onnx.ModelProto:
    """`y` = `x`, for any datatype and shape."""
    shape = [f"d{axis}" for axis in range(rank)]
    return onnx_models.model(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        [onnx_models.value("x", shape, datatype)],
        [onnx_models.value("y", shape, datatype)],
    )


def two_ways() -> onnx.ModelProto:
    """`sum` = `a` + `b`, `difference` = `a` - `b`."""
    return onnx_models.model(
        [onnx.helper.make_node("Add", ["a", "b"], ["sum"]), onnx.helper.make_node("Sub", ["a", "b"], ["difference"])],
        [onnx_models.value("a", ["batch", 2]), onnx_models.value("b", ["batch", 2])],
        [onnx_models.value("sum", ["batch", 2]), onnx_models.value("difference", ["batch", 2])],
    )


def write_repository(root: Path) -> None:
    types = onnx.TensorProto
    models = {
        "od.d_n-1": onnx_models.scaled(5.0),
        "two_ways": two_ways(),
        "strings": onnx_models.strings(),
        "halves": identity(types.FLOAT16, 2),
        "brains": identity(types.BFLOAT16, 2),
        "doubles": identity(types.DOUBLE, 2),
        "flags": identity(types.BOOL, 2),
        "longs": identity(types.INT64, 2),
        "bytes": identity(types.UINT8, 2),
        "lone": onnx_models.scaled(1.0, width=1),
        "scalar": identity(types.FLOAT, 0),
    }
    files = {f"{name}/1": model for name, model in models.items()}
    # A model of two versions: the answer tells which it was.
    files |= {"scaled/1": onnx_models.scaled(2.0), "scaled/2": onnx_models.scaled(3.0)}
    for name, model in files.items():
        (root / name).mkdir(parents=True)
        onnx_models.save(model, root / name / "model.onnx")
    (root / "scaled" / "maas.yaml").write_text("labels: {stable: 1}\n")
    for path in [*root.rglob("*")]:
        os.utime(path, (1, 1))


def settings_for(path: Path, max_body: int = MAX_BODY) -> Settings:
    return Settings(path=path, grpc_port=0, http_port=0, settle=0, drain_delay=0, grace=5, max_message_bytes=max_body)


def client_of(server: InProcessServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.server.http_port}", timeout=30)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InProcessServer]:
    """One for all tests of a module, which leave it as it was."""
    path = tmp_path_factory.mktemp("models")
    write_repository(path)
    async with InProcessServer(settings_for(path)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server: InProcessServer) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(server) as open_client:
        yield open_client
