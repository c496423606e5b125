"""What a request of the Open Inference Protocol means, worked out from protobuf's own reading of it."""

from __future__ import annotations

import re
import struct
from typing import Any

import numpy as np

from maas_server._stubs.inference import grpc_service_pb2
from maas_server._stubs.maas.v1 import predict_pb2

# Of a datatype: the field of InferTensorContents, and the numpy dtype of its elements.
TYPED = {
    "BOOL": ("bool_contents", "?"),
    "UINT8": ("uint_contents", "u1"),
    "UINT16": ("uint_contents", "<u2"),
    "UINT32": ("uint_contents", "<u4"),
    "UINT64": ("uint64_contents", "<u8"),
    "INT8": ("int_contents", "i1"),
    "INT16": ("int_contents", "<i2"),
    "INT32": ("int_contents", "<i4"),
    "INT64": ("int64_contents", "<i8"),
    "FP32": ("fp32_contents", "<f4"),
    "FP64": ("fp64_contents", "<f8"),
    "BYTES": ("bytes_contents", ""),
}


def value(parameters: Any, key: str) -> Any:
    """Return a parameter's value, None if there is none."""
    if key not in parameters:
        return None
    return getattr(parameters[key], parameters[key].WhichOneof("parameter_choice"))


def numbers(parameters: Any, key: str, kind: type) -> list[Any]:
    """Return a parameter that may be one number or several in a text."""
    found = value(parameters, key)
    if found is None:
        return []
    return [kind(each) for each in (found.split(",") if isinstance(found, str) else [found])]


def fill_quantization(parameters: Any, out: Any) -> None:
    out.scales.extend(numbers(parameters, "scale", float))
    out.zero_points.extend(numbers(parameters, "zero_point", int))
    for axis in numbers(parameters, "axis", int):
        out.axis = axis


def elements(contents: Any, datatype: str) -> bytes:
    """Return typed values as raw bytes."""
    if datatype not in TYPED:
        return b""
    field, dtype = TYPED[datatype]
    values = getattr(contents, field)
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(each)) + each for each in values)
    return np.array(values, dtype).tobytes()


def as_ours(request: grpc_service_pb2.ModelInferRequest) -> predict_pb2.PredictRequest:
    """Return the PredictRequest that asks for the same."""
    out = predict_pb2.PredictRequest(id=request.id, model=request.model_name)
    if re.fullmatch("[0-9]+", request.model_version):
        out.version = int(request.model_version)
    elif request.model_version:
        out.label = request.model_version
    raw = iter(request.raw_input_contents)
    for sent in request.inputs:
        data = next(raw) if request.raw_input_contents else elements(sent.contents, sent.datatype)
        tensor = out.inputs.add(name=sent.name, datatype=sent.datatype, shape=sent.shape, data=data)
        if any(key in sent.parameters for key in ("scale", "zero_point", "axis")):
            tensor.quantization.SetInParent()
            fill_quantization(sent.parameters, tensor.quantization)
    for wanted in request.outputs:
        output = out.outputs.add(name=wanted.name)
        if quantize := value(wanted.parameters, "quantize"):
            output.quantize.datatype = quantize
            fill_quantization(wanted.parameters, output.quantize)
    out.timeout_us = int(value(request.parameters, "timeout") or 0)
    out.priority = int(value(request.parameters, "priority") or 0)
    return out
