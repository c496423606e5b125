"""What a `tensorflow.serving.PredictRequest` means in our terms, worked out by protobuf and numpy.

The C++ decoder is held against it: by the golden messages, and by random ones in tests/core.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2
from maas_server._stubs.tensorflow_serving import tensor_pb2 as tensorflow_pb2

# TensorFlow's datatype: ours, the field of its values, and what those are in memory.
TYPES: dict[int, tuple[str, str, np.dtype[Any]]] = {
    tensorflow_pb2.DT_FLOAT: ("FP32", "float_val", np.dtype(np.float32)),
    tensorflow_pb2.DT_DOUBLE: ("FP64", "double_val", np.dtype(np.float64)),
    tensorflow_pb2.DT_HALF: ("FP16", "half_val", np.dtype(np.uint16)),
    tensorflow_pb2.DT_BFLOAT16: ("BF16", "half_val", np.dtype(np.uint16)),
    tensorflow_pb2.DT_BOOL: ("BOOL", "bool_val", np.dtype(np.bool_)),
    tensorflow_pb2.DT_INT8: ("INT8", "int_val", np.dtype(np.int8)),
    tensorflow_pb2.DT_INT16: ("INT16", "int_val", np.dtype(np.int16)),
    tensorflow_pb2.DT_INT32: ("INT32", "int_val", np.dtype(np.int32)),
    tensorflow_pb2.DT_INT64: ("INT64", "int64_val", np.dtype(np.int64)),
    tensorflow_pb2.DT_UINT8: ("UINT8", "int_val", np.dtype(np.uint8)),
    tensorflow_pb2.DT_UINT16: ("UINT16", "int_val", np.dtype(np.uint16)),
    tensorflow_pb2.DT_UINT32: ("UINT32", "uint32_val", np.dtype(np.uint32)),
    tensorflow_pb2.DT_UINT64: ("UINT64", "uint64_val", np.dtype(np.uint64)),
    tensorflow_pb2.DT_STRING: ("BYTES", "string_val", np.dtype(np.object_)),
}


def elements(tensor: tensorflow_pb2.TensorProto) -> bytes:
    """Return a tensor's elements as our `data`; the last value stands for those that are missing."""
    _, field, dtype = TYPES[tensor.dtype]
    count = math.prod(dim.size for dim in tensor.tensor_shape.dim)
    texts = dtype == np.dtype(np.object_)
    if tensor.tensor_content and not texts:
        return bytes(map(bool, tensor.tensor_content)) if dtype == np.bool_ else tensor.tensor_content
    values = strings(tensor.tensor_content, count) if tensor.tensor_content else list(getattr(tensor, field))
    values += [values[-1] if values else b"" if texts else 0] * (count - len(values))
    if texts:
        return b"".join(struct.pack("<I", len(value)) + value for value in values)
    if dtype.kind in "iu":
        return b"".join((value % 2 ** (8 * dtype.itemsize)).to_bytes(dtype.itemsize, "little") for value in values)
    return np.array(values, dtype).tobytes()


def strings(content: bytes, count: int) -> list[bytes]:
    """Return the strings of a `tensor_content`: all their lengths as varints come first."""
    sizes, at = [], 0
    for _ in range(count):
        size, shift = 0, 0
        while True:
            byte = content[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        sizes.append(size)
    values = []
    for size in sizes:
        values.append(content[at : at + size])
        at += size
    return values


def as_ours(request: prediction_service_pb2.PredictRequest) -> predict_pb2.PredictRequest:
    """Return the request in our own message, inputs sorted by name."""
    spec = request.model_spec
    ours = predict_pb2.PredictRequest(model=spec.name)
    # 0 and "" are none, also where the choice was made.
    if spec.version.value:
        ours.version = spec.version.value
    elif spec.version_label:
        ours.label = spec.version_label
    for name, tensor in sorted(request.inputs.items(), key=lambda item: item[0].encode()):
        ours.inputs.add(
            name=name,
            datatype=tensor_pb2.DataType.Value(TYPES[tensor.dtype][0]),
            shape=[dim.size for dim in tensor.tensor_shape.dim],
            data=elements(tensor),
        )
    for name in request.output_filter:
        ours.outputs.add(name=name)
    return ours
