"""Repositories of other servers, served whole: config.pbtxt and models.config."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest

from maas_server._stubs.maas.v1 import predict_pb2
from maas_server.settings import Settings
from tests.fronts import FrontName
from tests.models import onnx_models
from tests.server.in_process import InProcessServer, Refused, request, tensor


def settings(path: Path, front: FrontName) -> Settings:
    return Settings(path=path, front=front, grpc_port=0, http=False, settle=0, drain_delay=0)


def doubled() -> onnx.ModelProto:
    """`y` = 2 `x`; FP32 [batch, 6]."""
    return onnx_models.scaled(2.0, width=6)


async def test_clients_see_the_shapes_of_a_config_pbtxt(front: FrontName, tmp_path: Path) -> None:
    onnx_models.save(doubled(), tmp_path / "m/1/model.onnx")
    (tmp_path / "m/config.pbtxt").write_text(
        """name: "m" platform: "onnxruntime_onnx" max_batch_size: 4
        input { name: "x" data_type: TYPE_FP32 dims: [ 2, 3 ] reshape { shape: [ 6 ] } }
        output { name: "y" data_type: TYPE_FP32 dims: [ 3, 1, 2 ] reshape { shape: [ 6 ] } }"""
    )
    async with InProcessServer(settings(tmp_path, front)) as server:
        for rows in (1, 3, 9):
            x = np.arange(rows * 6, dtype=np.float32).reshape(rows, 2, 3)
            answer = await server.predict(request("m", tensor("x", x)))
            (y,) = answer.outputs
            assert list(y.shape) == [rows, 3, 1, 2]
            assert np.array_equal(np.frombuffer(y.data, np.float32), 2 * x.ravel())
        with pytest.raises(Refused) as caught:
            await server.predict(request("m", tensor("x", np.zeros((1, 6), np.float32))))
        assert "expected rank 3 for input 'x' (FP32 [-1,2,3]), got rank 2 [1,6]" in caught.value.message


async def test_a_scalar_is_sent_as_one_element(front: FrontName, tmp_path: Path) -> None:
    node = onnx.helper.make_node("Neg", ["x"], ["y"])
    proto = onnx_models.model([node], [onnx_models.value("x", [])], [onnx_models.value("y", [])])
    onnx_models.save(proto, tmp_path / "m/1/model.onnx")
    tensors = " ".join(
        f'{kind} {{ name: "{name}" data_type: TYPE_FP32 dims: 1 reshape {{ }} }}'
        for kind, name in (("input", "x"), ("output", "y"))
    )
    (tmp_path / "m/config.pbtxt").write_text(tensors)
    async with InProcessServer(settings(tmp_path, front)) as server:
        answer = await server.predict(request("m", tensor("x", np.array([3], np.float32))))
        assert list(answer.outputs[0].shape) == [1]
        assert np.frombuffer(answer.outputs[0].data, np.float32).tolist() == [-3]


async def test_a_models_config_is_served(front: FrontName, tmp_path: Path) -> None:
    onnx_models.save(doubled(), tmp_path / "somewhere/7/model.onnx")
    (tmp_path / "models.config").write_text(
        'model_config_list { config { name: "team/net:a" base_path: "somewhere" '
        'version_labels { key: "stable" value: 7 } } }'
    )
    async with InProcessServer(settings(tmp_path / "models.config", front)) as server:
        x = tensor("x", np.ones((1, 6), np.float32))
        asked: list[predict_pb2.PredictRequest] = [request("team/net:a", x), request("team/net:a", x, label="stable")]
        for each in asked:
            assert (await server.predict(each)).version == 7
        with pytest.raises(Refused) as caught:
            await server.predict(request("somewhere", x))
        assert caught.value.code == grpc.StatusCode.NOT_FOUND
