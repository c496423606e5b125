"""A whole server over a few models, as clients of the Open Inference Protocol see it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from maas_server.settings import Settings
from tests.fronts import FrontName
from tests.models import onnx_models
from tests.rpc.inference import Inference, save_model
from tests.rpc.tensorflow import TensorFlow, classifier, regressor, typed
from tests.server.in_process import InProcessServer

_ALL = "versions: all\nlabels: {steady: 1}"


@pytest_asyncio.fixture
async def inference(front: FrontName, tmp_path: Path) -> AsyncIterator[Inference]:
    """`scaled` answers version times x (1, labelled steady, and 2), `strings` what it gets, `broken` does not load."""
    for version in (1, 2):
        save_model(tmp_path, "scaled", onnx_models.scaled(version), version, maas_yaml=_ALL)
    save_model(tmp_path, "strings", onnx_models.strings())
    save_model(tmp_path, "broken", onnx_models.strings())
    (tmp_path / "broken/1/model.onnx").write_bytes(b"this is no model")
    settings = Settings(
        path=tmp_path, front=front, grpc_port=0, http=False, settle=0, drain_delay=0, allow_shared_memory=True
    )
    async with InProcessServer(settings) as server:
        yield Inference(server)


@pytest_asyncio.fixture
async def tensorflow(front: FrontName, tmp_path: Path) -> AsyncIterator[TensorFlow]:
    """As `inference`, and `typed`, `classifier` (with labels for two of its classes) and `regressor`."""
    for version in (1, 2):
        save_model(tmp_path, "scaled", onnx_models.scaled(version), version, maas_yaml=_ALL)
    save_model(tmp_path, "strings", onnx_models.strings())
    save_model(tmp_path, "typed", typed())
    labels = "output_labels: {probabilities: names.txt}"
    save_model(tmp_path, "classifier", classifier(), maas_yaml=labels, names_txt="cat\ndog\n")
    save_model(tmp_path, "regressor", regressor())
    save_model(tmp_path, "broken", onnx_models.strings())
    (tmp_path / "broken/1/model.onnx").write_bytes(b"this is no model")
    settings = Settings(path=tmp_path, front=front, grpc_port=0, http=False, settle=0, drain_delay=0)
    async with InProcessServer(settings) as server:
        yield TensorFlow(server)
