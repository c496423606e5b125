"""Tensors and requests as TensorFlow Serving's protocol has them, without TensorFlow."""

from __future__ import annotations

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2

from tests.foreign.python.cases import Array, Case

SECONDS = 20

TYPES = {
    "BOOL": types_pb2.DT_BOOL,
    "UINT8": types_pb2.DT_UINT8,
    "UINT16": types_pb2.DT_UINT16,
    "UINT32": types_pb2.DT_UINT32,
    "UINT64": types_pb2.DT_UINT64,
    "INT8": types_pb2.DT_INT8,
    "INT16": types_pb2.DT_INT16,
    "INT32": types_pb2.DT_INT32,
    "INT64": types_pb2.DT_INT64,
    "FP16": types_pb2.DT_HALF,
    "FP32": types_pb2.DT_FLOAT,
    "FP64": types_pb2.DT_DOUBLE,
    "BYTES": types_pb2.DT_STRING,
}
VALUES = {
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
    "FP32": "float_val",
    "FP64": "double_val",
    "BYTES": "string_val",
}


def tensor(value: Array, datatype: str, typed: bool) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=TYPES[datatype])
    for size in value.shape:
        proto.tensor_shape.dim.add(size=size)
    # Strings have no tensor_content.
    if typed or datatype == "BYTES":
        values = value.view(np.uint16) if datatype == "FP16" else value
        getattr(proto, VALUES[datatype]).extend(values.ravel().tolist())
    else:
        proto.tensor_content = value.tobytes()
    return proto


def array(proto: tensor_pb2.TensorProto) -> Array:
    datatype = next(name for name, number in TYPES.items() if number == proto.dtype)
    dtype = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "object"}
    kind = np.dtype(dtype.get(datatype, datatype.lower()))
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_content:
        return np.frombuffer(proto.tensor_content, kind).reshape(shape)
    values = list(getattr(proto, VALUES[datatype]))
    if datatype == "FP16":
        return np.array(values, np.uint16).view(np.float16).reshape(shape)
    return np.array(values, kind).reshape(shape)


def predict_request(case: Case, typed: bool = False, **spec: object) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(**{"name": case.model, **spec}))
    for name, value in case.inputs.items():
        request.inputs[name].CopyFrom(tensor(value, case.datatypes[name], typed))
    return request
