"""Outputs whose shape, or even rank, only the run tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from maas_server._stubs.maas.v1 import predict_pb2
from maas_server.settings import Settings
from tests.fronts import FrontName
from tests.models import onnx_models
from tests.server.in_process import InProcessServer, Refused, request, tensor


def reshaping() -> onnx.ModelProto:
    """`y` is `x` in the shape that the request names; the file gives no rank."""
    node = onnx.helper.make_node("Reshape", ["x", "shape"], ["y"])
    inputs = [onnx_models.value("x", [12]), onnx_models.value("shape", ["n"], TensorProto.INT64)]
    return onnx_models.model([node], inputs, [onnx_models.unranked("y")])


async def test_every_request_may_have_another_rank(front: FrontName, tmp_path: Path) -> None:
    onnx_models.save(reshaping(), tmp_path / "m/1/model.onnx")
    x = np.arange(12, dtype=np.float32)
    async with InProcessServer(
        Settings(path=tmp_path, front=front, grpc_port=0, http=False, settle=0, drain_delay=0)
    ) as server:
        for shape in ((12,), (3, 4), (2, 3, 2), (1, 1, 12, 1)):
            wanted = request("m", tensor("x", x), tensor("shape", np.array(shape, np.int64)))
            (y,) = (await server.predict(wanted)).outputs
            assert tuple(y.shape) == shape
            assert np.array_equal(np.frombuffer(y.data, np.float32), x)

        wanted = request("m", tensor("x", x), tensor("shape", np.array((3, 4), np.int64)))
        quantize = predict_pb2.OutputQuantization(axis=1)
        wanted.outputs.append(predict_pb2.RequestedOutput(name="y", quantize=quantize))
        with pytest.raises(Refused) as caught:
            await server.predict(wanted)
        assert "outputs[0].quantize.axis: expected none" in caught.value.message
