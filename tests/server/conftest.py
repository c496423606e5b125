"""A whole server inside the test's event loop, over a repository of small models."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import onnx
import pytest_asyncio

from maas_server.settings import Settings
from tests.fronts import FrontName
from tests.models import onnx_models
from tests.server.in_process import InProcessServer

_PADDED = """
padding:
  - inputs: {ids: 1}
    buckets: [4, 8]
    mask: mask
"""


def _integers() -> onnx.ModelProto:
    """`y` = `x` as floats; takes int8 itself."""
    return onnx_models.model(
        [onnx.helper.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.FLOAT)],
        [onnx_models.value("x", ["batch", 4], onnx.TensorProto.INT8)],
        [onnx_models.value("y", ["batch", 4])],
    )


def _broad() -> onnx.ModelProto:
    """A quarter of the servers' message limit in each row of `y`."""
    return onnx_models.model(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        [onnx_models.value("x", ["batch", 4])],
        [onnx_models.value("y", ["batch", 1 << 16])],
        [onnx_models.weights("w", 4, 1 << 16)],
    )


def write_repository(root: Path) -> None:
    """Fill `root` with one model per kind of input that requests can get wrong."""
    models = {
        "linear": (onnx_models.linear(width=4), "batching: {max_request_rows: 16, max_batch_size: 8}"),
        "strings": (onnx_models.strings(), ""),
        "padded": (onnx_models.embedding(masked=True), _PADDED),
        "integers": (_integers(), ""),
        "broad": (_broad(), "batching: {max_batch_size: 8}"),
    }
    for name, (model, config) in models.items():
        folder = root / name / "1"
        folder.mkdir(parents=True)
        onnx_models.save(model, folder / "model.onnx")
        if config:
            (root / name / "maas.yaml").write_text(config)
    # Nothing is half-copied here: the files count as having been there for long.
    for path in [*root.rglob("*")]:
        os.utime(path, (1, 1))


@pytest_asyncio.fixture
async def server(front: FrontName, tmp_path: Path) -> AsyncIterator[InProcessServer]:
    """A ready server on a free port."""
    write_repository(tmp_path)
    settings = Settings(
        path=tmp_path, front=front, grpc_port=0, http=False, settle=0, drain_delay=0, max_message_bytes=1 << 20
    )
    async with InProcessServer(settings) as running:
        yield running
