"""Answers that are too large to send: refused before they are written, and nobody else notices."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import onnx
import pytest
from onnx import TensorProto

from maas_server._stubs.maas.v1 import predict_pb2
from maas_server.settings import Settings
from tests.fronts import FrontName
from tests.models import onnx_models
from tests.server.in_process import InProcessServer, Refused, request, tensor

LIMIT = 1 << 20


def zeros() -> onnx.ModelProto:
    """`y`: as many zeros as `n` says."""
    node = onnx.helper.make_node("ConstantOfShape", ["n"], ["y"])
    inputs = [onnx_models.value("n", [1], TensorProto.INT64)]
    return onnx_models.model([node], inputs, [onnx_models.value("y", ["n"])])


def of(size: int) -> predict_pb2.PredictRequest:
    return request("m", tensor("n", np.array([size], np.int64)), id=str(size))


async def test_an_answer_over_the_message_limit_is_refused_by_its_size(front: FrontName, tmp_path: Path) -> None:
    onnx_models.save(zeros(), tmp_path / "m/1/model.onnx")
    settings = Settings(
        path=tmp_path, front=front, grpc_port=0, http=False, settle=0, drain_delay=0, max_message_bytes=LIMIT
    )
    async with InProcessServer(settings) as server:
        with pytest.raises(Refused) as caught:
            await server.predict(of(LIMIT // 4))
        assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert f"expected an answer of at most {LIMIT} bytes" in caught.value.message
        assert len((await server.predict(of(LIMIT // 4 - 100))).outputs[0].data) == LIMIT - 400


async def test_on_a_stream_it_fails_alone(front: FrontName, tmp_path: Path) -> None:
    onnx_models.save(zeros(), tmp_path / "m/1/model.onnx")
    settings = Settings(
        path=tmp_path, front=front, grpc_port=0, http=False, settle=0, drain_delay=0, max_message_bytes=LIMIT
    )
    async with InProcessServer(settings) as server:
        both = predict_pb2.PredictStreamRequest(requests=[of(LIMIT), of(3)])
        answers = {answer.id: answer for answer in await server.stream(both.SerializeToString())}
        assert answers[str(LIMIT)].error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert len(answers["3"].response.outputs[0].data) == 12
