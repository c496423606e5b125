"""Calls TensorFlow Serving's services of a server in the present loop, and the models that its tests need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import onnx
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from onnx import TensorProto, helper

from maas_server._stubs.maas.v1 import model_pb2 as maas_model_pb2
from maas_server._stubs.tensorflow_serving import example_pb2, model_pb2, model_service_pb2, tensor_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server.protocols.tensorflow import DATATYPES
from tests.golden.tensorflow_reference import TYPES, elements
from tests.models import onnx_models
from tests.server.in_process import SECONDS, InProcessServer, Refused

_METHODS = {
    **pb.DESCRIPTOR.services_by_name["PredictionService"].methods_by_name,
    **model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].methods_by_name,
}
_ONNX = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
}


class TensorFlow:
    """One method per RPC would be the stubs again; this takes the name of any."""

    def __init__(self, server: InProcessServer) -> None:
        self.server = server

    async def __call__(self, method: str, message: Message, timeout: float = SECONDS) -> Any:
        """One unary RPC.

        Raises:
            Refused: it failed.
        """
        kind = _METHODS[method]
        unary: Any = self.server.channel.unary_unary(
            f"/{kind.containing_service.full_name}/{method}",
            type(message).SerializeToString,
            GetMessageClass(kind.output_type).FromString,
        )
        try:
            return await unary(message, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise Refused(error) from error

    async def unload(self, model: str, version: int) -> None:
        """Take a version out of service, by our own protocol."""
        request = maas_model_pb2.UnloadModelRequest(model=model, version=version)
        await self.server.call("/maas.v1.ModelService/UnloadModel", request.SerializeToString())


def spec(name: str, version: int | None = None, label: str | None = None, signature: str = "") -> model_pb2.ModelSpec:
    """A ModelSpec; None: not set."""
    message = model_pb2.ModelSpec(name=name, signature_name=signature)
    if version is not None:
        message.version.value = version
    if label is not None:
        message.version_label = label
    return message


def content(datatype: str, shape: Sequence[int], data: bytes) -> tensor_pb2.TensorProto:
    """A tensor by its bytes."""
    tensor = tensor_pb2.TensorProto(dtype=DATATYPES[datatype], tensor_content=data)
    tensor.tensor_shape.SetInParent()
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor


def values(datatype: str, shape: Sequence[int], *items: Any) -> tensor_pb2.TensorProto:
    """A tensor by its values."""
    tensor = content(datatype, shape, b"")
    getattr(tensor, TYPES[tensor.dtype][1]).extend(items)
    return tensor


def predict(model: model_pb2.ModelSpec, **inputs: tensor_pb2.TensorProto) -> pb.PredictRequest:
    """A request with these inputs."""
    request = pb.PredictRequest(model_spec=model)
    for name, tensor in inputs.items():
        request.inputs[name].CopyFrom(tensor)
    return request


def array(tensor: tensor_pb2.TensorProto) -> np.ndarray[Any, Any]:
    """The numbers of a tensor of an answer."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    return np.frombuffer(elements(tensor), TYPES[tensor.dtype][2]).reshape(shape)


def feature(value: Any) -> example_pb2.Feature:
    """A feature of a list of floats, of integers or of bytes."""
    items = value if isinstance(value, list) else [value]
    made = example_pb2.Feature()
    if isinstance(items[0], bytes):
        made.bytes_list.value.extend(items)
    elif isinstance(items[0], int):
        made.int64_list.value.extend(items)
    else:
        made.float_list.value.extend(items)
    return made


def example(**features: Any) -> example_pb2.Example:
    """An example of these features."""
    made = example_pb2.Example()
    made.features.SetInParent()
    for name, value in features.items():
        made.features.feature[name].CopyFrom(feature(value))
    return made


def examples(*rows: Mapping[str, Any], context: Mapping[str, Any] | None = None) -> pb.Input:
    """An Input of one example per row."""
    made = pb.Input()
    if context is None:
        made.example_list.examples.extend(example(**row) for row in rows)
        made.example_list.SetInParent()
    else:
        made.example_list_with_context.context.CopyFrom(example(**context))
        made.example_list_with_context.examples.extend(example(**row) for row in rows)
    return made


def typed() -> onnx.ModelProto:
    """`out_<datatype>` is `in_<datatype>`, of [batch, 2], for every datatype but BYTES."""
    nodes, inputs, outputs = [], [], []
    for name, datatype in _ONNX.items():
        source, target = f"in_{name}", f"out_{name}"
        inputs.append(onnx_models.value(source, ["batch", 2], datatype))
        outputs.append(onnx_models.value(target, ["batch", 2], datatype))
        if name == "BF16":
            nodes.append(helper.make_node("Cast", [source], ["wide"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Cast", ["wide"], [target], to=TensorProto.BFLOAT16))
        else:
            nodes.append(helper.make_node("Identity", [source], [target]))
    return onnx_models.model(nodes, inputs, outputs)


def classifier() -> onnx.ModelProto:
    """`probabilities` are 0.5, 0.25 and 0.25 times the sum of `x` and `shift`; `label` says which is the largest."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1),
        helper.make_node("Cast", ["shift"], ["more"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["sum", "more"], ["total"]),
        helper.make_node("Mul", ["total", "parts"], ["probabilities"]),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    return onnx_models.model(
        nodes,
        [onnx_models.value("x", ["batch", 4]), onnx_models.value("shift", ["batch", 1], TensorProto.INT64)],
        [
            onnx_models.value("label", ["batch"], TensorProto.INT64),
            onnx_models.value("probabilities", ["batch", 3]),
        ],
        [onnx_models.constant("axes", [1], np.int64), onnx_models.constant("parts", [[0.5, 0.25, 0.25]], np.float32)],
    )


def regressor() -> onnx.ModelProto:
    """`y` is `scale`, which the rows share, times the sum of `x`."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "scale"], ["y"]),
    ]
    return onnx_models.model(
        nodes,
        [onnx_models.value("x", ["batch", 4]), onnx_models.value("scale", [])],
        [onnx_models.value("y", ["batch", 1])],
        [onnx_models.constant("axes", [1], np.int64)],
    )
