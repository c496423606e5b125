"""Every way to ask a server for a prediction: requests and answers as bytes, written and read with plain protobuf."""

from __future__ import annotations

import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np

from maas_server._stubs.inference import grpc_service_pb2
from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2
from maas_server._stubs.tensorflow_serving import tensor_pb2 as tensorflow_pb2
from tests.onnx_backend.cases import Array, Tensor

Tensors = Mapping[str, Tensor]

# What a Tensor's array holds.
NUMPY_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(np.uint16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
_LENGTH = struct.Struct("<I")


class Protocol(ABC):
    """One way to ask."""

    name: ClassVar[str]
    without: ClassVar[frozenset[str]] = frozenset()
    """Datatypes that it has no form for."""

    def carries(self, inputs: Tensors, outputs: Tensors) -> bool:
        """Whether it has a form for all of the tensors."""
        return self.without.isdisjoint(tensor.datatype for tensor in (*inputs.values(), *outputs.values()))


class GrpcProtocol(Protocol):
    """A method with one request and one answer."""

    method: ClassVar[str]

    @abstractmethod
    def write(self, model: str, inputs: Tensors) -> bytes:
        """Return a request for all outputs of a model."""

    @abstractmethod
    def read(self, answer: bytes) -> dict[str, Tensor]:
        """Return the outputs in an answer."""


class HttpProtocol(Protocol):
    """A POST of a body."""

    @abstractmethod
    def write(self, model: str, inputs: Tensors) -> tuple[str, bytes, dict[str, str]]:
        """Return the path, the body and the headers of a request for all outputs of a model."""

    @abstractmethod
    def read(self, answer: bytes, json_size: int) -> dict[str, Tensor]:
        """Return the outputs in an answer, whose JSON is `json_size` bytes long."""


class Predict(GrpcProtocol):
    """Our own."""

    name = "maas.v1 Predict"
    method = "/maas.v1.PredictService/Predict"

    def write(self, model: str, inputs: Tensors) -> bytes:
        request = predict_pb2.PredictRequest(model=model)
        for name, tensor in inputs.items():
            request.inputs.add(
                name=name,
                datatype=tensor_pb2.DataType.Value(tensor.datatype),
                shape=tensor.array.shape,
                data=to_raw(tensor),
            )
        return request.SerializeToString()

    def read(self, answer: bytes) -> dict[str, Tensor]:
        outputs = predict_pb2.PredictResponse.FromString(answer).outputs
        return {each.name: from_raw(tensor_pb2.DataType.Name(each.datatype), each.shape, each.data) for each in outputs}


class InferRaw(GrpcProtocol):
    """The Open Inference Protocol with raw contents."""

    name = "OIP ModelInfer, raw"
    method = "/inference.GRPCInferenceService/ModelInfer"

    def write(self, model: str, inputs: Tensors) -> bytes:
        request = grpc_service_pb2.ModelInferRequest(model_name=model)
        for name, tensor in inputs.items():
            request.inputs.add(name=name, datatype=tensor.datatype, shape=tensor.array.shape)
            request.raw_input_contents.append(to_raw(tensor))
        return request.SerializeToString()

    def read(self, answer: bytes) -> dict[str, Tensor]:
        response = grpc_service_pb2.ModelInferResponse.FromString(answer)
        return {
            each.name: from_raw(each.datatype, each.shape, raw)
            for each, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        }


class InferTyped(GrpcProtocol):
    """The Open Inference Protocol with typed contents, both ways."""

    name = "OIP ModelInfer, typed"
    method = InferRaw.method
    without = frozenset({"FP16", "BF16"})

    _FIELDS: ClassVar[dict[str, str]] = {
        "BOOL": "bool_contents",
        "UINT8": "uint_contents",
        "UINT16": "uint_contents",
        "UINT32": "uint_contents",
        "UINT64": "uint64_contents",
        "INT8": "int_contents",
        "INT16": "int_contents",
        "INT32": "int_contents",
        "INT64": "int64_contents",
        "FP32": "fp32_contents",
        "FP64": "fp64_contents",
        "BYTES": "bytes_contents",
    }

    def write(self, model: str, inputs: Tensors) -> bytes:
        request = grpc_service_pb2.ModelInferRequest(model_name=model)
        request.parameters["binary_data_output"].bool_param = False
        for name, tensor in inputs.items():
            added = request.inputs.add(name=name, datatype=tensor.datatype, shape=tensor.array.shape)
            getattr(added.contents, self._FIELDS[tensor.datatype]).extend(tensor.array.ravel().tolist())
        return request.SerializeToString()

    def read(self, answer: bytes) -> dict[str, Tensor]:
        response = grpc_service_pb2.ModelInferResponse.FromString(answer)
        assert not response.raw_output_contents
        return {
            each.name: from_values(each.datatype, each.shape, getattr(each.contents, self._FIELDS[each.datatype]))
            for each in response.outputs
        }


class TensorFlowPredict(GrpcProtocol):
    """TensorFlow Serving's. Asked with `tensor_content`; answers are values, as those of its own server."""

    name = "TensorFlow Serving Predict"
    method = "/tensorflow.serving.PredictionService/Predict"

    _TYPES: ClassVar[dict[str, str]] = {
        "BOOL": "DT_BOOL",
        "UINT8": "DT_UINT8",
        "UINT16": "DT_UINT16",
        "UINT32": "DT_UINT32",
        "UINT64": "DT_UINT64",
        "INT8": "DT_INT8",
        "INT16": "DT_INT16",
        "INT32": "DT_INT32",
        "INT64": "DT_INT64",
        "FP16": "DT_HALF",
        "BF16": "DT_BFLOAT16",
        "FP32": "DT_FLOAT",
        "FP64": "DT_DOUBLE",
        "BYTES": "DT_STRING",
    }
    _FIELDS: ClassVar[dict[str, str]] = {
        "BOOL": "bool_val",
        "UINT8": "int_val",
        "UINT16": "int_val",
        "UINT32": "uint32_val",
        "UINT64": "uint64_val",
        "INT8": "int_val",
        "INT16": "int_val",
        "INT32": "int_val",
        "INT64": "int64_val",
        "FP16": "half_val",
        "BF16": "half_val",
        "FP32": "float_val",
        "FP64": "double_val",
        "BYTES": "string_val",
    }

    def write(self, model: str, inputs: Tensors) -> bytes:
        request = prediction_service_pb2.PredictRequest()
        request.model_spec.name = model
        for name, tensor in inputs.items():
            proto = request.inputs[name]
            proto.dtype = getattr(tensorflow_pb2, self._TYPES[tensor.datatype])
            proto.tensor_shape.SetInParent()
            for size in tensor.array.shape:
                proto.tensor_shape.dim.add(size=size)
            if tensor.datatype == "BYTES":
                proto.string_val.extend(tensor.array.ravel().tolist())
            else:
                proto.tensor_content = tensor.array.tobytes()
        return request.SerializeToString()

    def read(self, answer: bytes) -> dict[str, Tensor]:
        names = {value: key for key, value in self._TYPES.items()}
        outputs = {}
        for name, proto in prediction_service_pb2.PredictResponse.FromString(answer).outputs.items():
            datatype = names[tensorflow_pb2.DataType.Name(proto.dtype)]
            shape = [dim.size for dim in proto.tensor_shape.dim]
            values = getattr(proto, self._FIELDS[datatype])
            if datatype == "FP16":
                outputs[name] = from_raw(datatype, shape, np.array(values, np.uint16).tobytes())
            else:
                outputs[name] = from_values(datatype, shape, values)
        return outputs


class RestJson(HttpProtocol):
    """The Open Inference Protocol in JSON."""

    name = "OIP REST, JSON"
    without = frozenset({"BF16"})

    def write(self, model: str, inputs: Tensors) -> tuple[str, bytes, dict[str, str]]:
        described = [
            {
                "name": name,
                "datatype": tensor.datatype,
                "shape": tensor.array.shape,
                "data": [each.decode() if isinstance(each, bytes) else each for each in tensor.array.ravel().tolist()],
            }
            for name, tensor in inputs.items()
        ]
        return infer_path(model), json.dumps({"inputs": described}).encode(), {}

    def read(self, answer: bytes, json_size: int) -> dict[str, Tensor]:
        assert json_size == len(answer)
        return {
            each["name"]: from_values(each["datatype"], each["shape"], each["data"])
            for each in json.loads(answer)["outputs"]
        }


class RestBinary(HttpProtocol):
    """The Open Inference Protocol's extension for binary data, both ways."""

    name = "OIP REST, binary"

    def write(self, model: str, inputs: Tensors) -> tuple[str, bytes, dict[str, str]]:
        raw = [to_raw(tensor) for tensor in inputs.values()]
        described = [
            {
                "name": name,
                "datatype": tensor.datatype,
                "shape": tensor.array.shape,
                "parameters": {"binary_data_size": len(data)},
            }
            for (name, tensor), data in zip(inputs.items(), raw, strict=True)
        ]
        head = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
        return infer_path(model), b"".join((head, *raw)), {"Inference-Header-Content-Length": str(len(head))}

    def read(self, answer: bytes, json_size: int) -> dict[str, Tensor]:
        outputs = {}
        end = json_size
        for each in json.loads(answer[:json_size])["outputs"]:
            start, end = end, end + each["parameters"]["binary_data_size"]
            outputs[each["name"]] = from_raw(each["datatype"], each["shape"], answer[start:end])
        assert end == len(answer)
        return outputs


GRPC_PROTOCOLS: tuple[GrpcProtocol, ...] = (Predict(), InferRaw(), InferTyped(), TensorFlowPredict())
HTTP_PROTOCOLS: tuple[HttpProtocol, ...] = (RestJson(), RestBinary())
PROTOCOLS: tuple[Protocol, ...] = (*GRPC_PROTOCOLS, *HTTP_PROTOCOLS)


def infer_path(model: str) -> str:
    """Return the path of a model's predictions."""
    return f"/v2/models/{quote(model, safe='')}/infer"


def to_raw(tensor: Tensor) -> bytes:
    """Return the elements, little-endian; those of BYTES each with its length before it."""
    if tensor.datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(each)) + each for each in tensor.array.ravel())
    return tensor.array.tobytes()


def from_raw(datatype: str, shape: Any, raw: bytes) -> Tensor:
    """Return the tensor that `to_raw` was given."""
    if datatype != "BYTES":
        return Tensor(datatype, np.frombuffer(raw, NUMPY_DTYPES[datatype]).reshape(tuple(shape)))
    elements = []
    position = 0
    while position < len(raw):
        (size,) = _LENGTH.unpack_from(raw, position)
        position += _LENGTH.size + size
        elements.append(raw[position - size : position])
    return from_values(datatype, shape, elements)


def from_values(datatype: str, shape: Any, values: Any) -> Tensor:
    """Return a tensor of single values, which may be nested to its shape."""
    if datatype != "BYTES":
        return Tensor(datatype, np.array(values, NUMPY_DTYPES[datatype]).reshape(tuple(shape)))
    flat: Array = np.empty(len(values), object)
    flat[:] = [each.encode() if isinstance(each, str) else each for each in values]
    return Tensor(datatype, flat.reshape(tuple(shape)))
