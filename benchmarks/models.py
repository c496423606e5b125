"""The models that are measured, the requests for them, and the answers to expect."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.methods import MODEL_INFER, TENSORFLOW_PREDICT
from maas_server._stubs.inference import grpc_service_pb2
from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2
from maas_server._stubs.tensorflow_serving import tensor_pb2 as tensorflow_tensor_pb2
from maas_server.client import Client

Array = npt.NDArray[Any]

OPSET, IR_VERSION, SEED = 17, 8, 7
IMAGE_SHAPE = (3, 224, 224)
# Largest size that the figures in a receipt can take: they are varints, and so differ from answer to answer.
_RECEIPT_SLACK = 40


@dataclass(frozen=True)
class Model:
    """A model in a repository, with one input row and its answer as numpy computes it."""

    name: str
    path: Path
    row: Array
    answer: Array

    def request(self, request_id: str = "") -> predict_pb2.PredictRequest:
        """Return a request of one row of floats."""
        return _request(self.name, request_id, self.row, tensor_pb2.FP32)

    def int8_request(self) -> predict_pb2.PredictRequest:
        """Return the same row, quantized per tensor."""
        scale = float(np.abs(self.row).max()) / 127
        request = _request(self.name, "", np.round(self.row / scale).astype(np.int8), tensor_pb2.INT8)
        request.inputs[0].quantization.scales.append(scale)
        return request

    def reply_bytes(self, request: predict_pb2.PredictRequest) -> tuple[int, int]:
        """Return the fewest and the most bytes of a good answer to `request`."""
        output = tensor_pb2.Tensor(
            name="y", datatype=tensor_pb2.FP32, shape=self.answer.shape, data=self.answer.astype(np.float32).tobytes()
        )
        response = predict_pb2.PredictResponse(id=request.id, model=self.name, version=1, outputs=[output])
        return response.ByteSize(), response.ByteSize() + _RECEIPT_SLACK

    def check_reply(self, reply: bytes) -> None:
        """Compare a serialized answer with numpy's.

        Raises:
            AssertionError: they differ.
        """
        (output,) = predict_pb2.PredictResponse.FromString(reply).outputs
        np.testing.assert_allclose(np.frombuffer(output.data, np.float32), self.answer[0], rtol=1e-4, atol=1e-4)

    def infer_request(self) -> grpc_service_pb2.ModelInferRequest:
        """Return a request of one row in the Open Inference Protocol, raw."""
        tensor = grpc_service_pb2.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=self.row.shape)
        return grpc_service_pb2.ModelInferRequest(
            model_name=self.name, inputs=[tensor], raw_input_contents=[self.row.tobytes()]
        )

    def infer_reply_bytes(self) -> tuple[int, int]:
        """Return the bytes of our answer to that."""
        output = grpc_service_pb2.ModelInferResponse.InferOutputTensor(
            name="y", datatype="FP32", shape=self.answer.shape
        )
        size = grpc_service_pb2.ModelInferResponse(
            model_name=self.name,
            model_version="1",
            outputs=[output],
            raw_output_contents=[self.answer.astype(np.float32).tobytes()],
        ).ByteSize()
        return size, size

    def tensorflow_request(self) -> prediction_service_pb2.PredictRequest:
        """Return a request of one row as TensorFlow Serving takes it, by tensor_content."""
        request = prediction_service_pb2.PredictRequest()
        request.model_spec.name = self.name
        tensor = request.inputs["x"]
        tensor.dtype = tensorflow_tensor_pb2.DT_FLOAT
        for size in self.row.shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = self.row.tobytes()
        return request

    def tensorflow_reply_bytes(self) -> tuple[int, int]:
        """Return the bytes of our answer to that: typed values, as TensorFlow Serving gives them."""
        response = prediction_service_pb2.PredictResponse()
        response.model_spec.name = self.name
        response.model_spec.version.value = 1
        response.model_spec.signature_name = "serving_default"
        tensor = response.outputs["y"]
        tensor.dtype = tensorflow_tensor_pb2.DT_FLOAT
        for size in self.answer.shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.float_val.extend(self.answer.ravel())
        return response.ByteSize(), response.ByteSize()

    def check_infer(self, target: str) -> bytes:
        """Ask in the Open Inference Protocol, compare the answer with numpy's, and return its bytes.

        Raises:
            AssertionError: they differ.
        """
        reply = _call(target, MODEL_INFER, self.infer_request().SerializeToString())
        (content,) = grpc_service_pb2.ModelInferResponse.FromString(reply).raw_output_contents
        np.testing.assert_allclose(np.frombuffer(content, np.float32), self.answer[0], rtol=1e-4, atol=1e-4)
        return reply

    def check_tensorflow(self, target: str) -> None:
        """Ask as TensorFlow Serving's clients do, and compare the answer with numpy's.

        Raises:
            AssertionError: they differ.
        """
        reply = _call(target, TENSORFLOW_PREDICT, self.tensorflow_request().SerializeToString())
        values = prediction_service_pb2.PredictResponse.FromString(reply).outputs["y"].float_val
        np.testing.assert_allclose(np.array(values), self.answer[0], rtol=1e-4, atol=1e-4)

    def check(self, target: str, **options: Any) -> None:
        """Ask with our client, and compare the answer with numpy's.

        Raises:
            AssertionError: they differ.
        """
        tolerance = 0.02 if options else 1e-4
        with Client(target) as client:
            prediction = client.predict(self.name, {"x": self.row}, **options)
        np.testing.assert_allclose(prediction["y"], self.answer, rtol=tolerance, atol=tolerance)


def tiny(repository: Path) -> Model:
    """16 floats in, 16 out: almost nothing to compute."""
    return _dense(repository, "tiny", [16, 16])


def mlp(repository: Path) -> Model:
    """784-1024-1024-10, 7.5 MB of weights."""
    return _dense(repository, "mlp", [784, 1024, 1024, 10])


def deep(repository: Path, name: str = "deep", *, width: int = 4096, inner: int = 2) -> Model:
    """784, `inner` times from `width` to `width`, 10: batching pays, since weights come from memory once per run.

    Layers share two matrices by turns, so that more of them take time and no memory.
    """
    # A rectifier halves the power of what passes: without a gain nothing would be left of it.
    return _dense(repository, name, [784, *[width] * (inner + 1), 10], distinct=2, gain=2**0.5)


def image(repository: Path) -> Model:
    """Mean of each channel of an image: large in, three floats out, so that moving the bytes is what costs."""
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)
    path = _save(repository, "image", [node], IMAGE_SHAPE, [3], {})
    row = np.random.default_rng(SEED).standard_normal((1, *IMAGE_SHAPE)).astype(np.float32)
    return Model("image", path, row, row.mean(axis=(2, 3)))


def corner(repository: Path) -> Model:
    """One value of each channel of such an image: large in, and nothing is computed."""
    weights = {"starts": np.array([0, 0]), "ends": np.array([1, 1]), "axes": np.array([2, 3])}
    nodes = [helper.make_node("Slice", ["x", *weights], ["sliced"]), helper.make_node("Flatten", ["sliced"], ["y"])]
    path = _save(repository, "corner", nodes, IMAGE_SHAPE, [3], weights)
    row = np.random.default_rng(SEED).standard_normal((1, *IMAGE_SHAPE)).astype(np.float32)
    return Model("corner", path, row, row[:, :, 0, 0])


def _dense(
    repository: Path, name: str, widths: Sequence[int], *, distinct: int | None = None, gain: float = 1.0
) -> Model:
    """Dense layers of these widths; of those of one shape at most `distinct` have matrices of their own."""
    random = np.random.default_rng(SEED)
    row = random.random((1, widths[0])).astype(np.float32)
    weights: dict[str, Array] = {}
    seen: Counter[tuple[int, int]] = Counter()
    nodes, value, answer = [], "x", row
    layers = list(itertools.pairwise(widths))
    for index, (rows, columns) in enumerate(layers):
        which = seen[rows, columns] % distinct if distinct else index
        seen[rows, columns] += 1
        key = f"w{rows}x{columns}_{which}" if distinct else f"w{index}"
        if key not in weights:
            weights[key] = (random.standard_normal((rows, columns)) * gain / rows**0.5).astype(np.float32)
        activated = "y" if index == len(layers) - 1 else f"activated{index}"
        nodes.append(helper.make_node("MatMul", [value, key], [f"product{index}"]))
        nodes.append(helper.make_node("Relu", [f"product{index}"], [activated]))
        value, answer = activated, np.maximum(answer @ weights[key], 0)
    path = _save(repository, name, nodes, widths[:1], widths[-1:], weights)
    return Model(name, path, row, answer)


def _save(
    repository: Path,
    name: str,
    nodes: Sequence[onnx.NodeProto],
    row_in: Sequence[int],
    row_out: Sequence[int],
    weights: Mapping[str, Array],
) -> Path:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *row_in])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", *row_out])],
        [numpy_helper.from_array(weight, key) for key, weight in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    path = repository / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(model, path)
    return path


def _call(target: str, method: str, body: bytes) -> bytes:
    with grpc.insecure_channel(target) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        return call(body, timeout=30, wait_for_ready=True)


def _request(model: str, request_id: str, row: Array, datatype: tensor_pb2.DataType) -> predict_pb2.PredictRequest:
    tensor = tensor_pb2.Tensor(name="x", datatype=datatype, shape=row.shape, data=row.tobytes())
    return predict_pb2.PredictRequest(id=request_id, model=model, inputs=[tensor])
