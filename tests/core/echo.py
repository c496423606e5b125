"""A model that answers its own inputs, to see what the core understood of a request."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from maas_server import _core
from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server.models.runner import NUMPY_DTYPES, Array

DATATYPES = tuple(NUMPY_DTYPES)
CHOSEN, DECOY = 7, 8
DAY_US = 86_400_000_000


def elements(datatype: str, count: int, values: bytes) -> bytes:
    if datatype != "BYTES":
        size = NUMPY_DTYPES[datatype].itemsize * count
        return (values * (size // max(len(values), 1) + 1))[:size] if values else bytes(size)
    return b"".join(struct.pack("<I", n) + values[:n] for n in (index % (len(values) + 1) for index in range(count)))


def model_datatype(tensor: tensor_pb2.Tensor) -> str:
    return "FP32" if tensor.HasField("quantization") else str(tensor_pb2.DataType.Name(tensor.datatype))


def version_for(request: predict_pb2.PredictRequest, number: int) -> _core.Version:
    """Return a version that takes the request and answers its own inputs."""
    shapes = [[-1] * len(each.shape) for each in request.inputs]
    return _core.Version(
        model=request.model,
        version=number,
        inputs=[
            _core.InputSpec(name=each.name, datatype=model_datatype(each), shape=shape)
            for each, shape in zip(request.inputs, shapes, strict=True)
        ],
        outputs=[
            _core.OutputSpec(
                name=each.name,
                datatype=model_datatype(each),
                shape=shape,
                sources=[(index, axis) for axis in range(len(shape))],
            )
            for index, (each, shape) in enumerate(zip(request.inputs, shapes, strict=True))
        ],
        pad_groups=[],
        batching=False,
        max_batch_size=1,
        max_request_rows=1,
        max_queue_rows=10,
        max_queue_delay_us=0,
        device=_core.Device(64),
        cpus=64,
    )


def run(engine: _core.Engine, request: predict_pb2.PredictRequest, submit: Callable[[], object]) -> list[Array]:
    """Route, submit, and answer the inputs as they came to the runner; return these."""
    version, decoy = version_for(request, CHOSEN), version_for(request, DECOY)
    labels = {request.label: CHOSEN} if request.label else {}
    default = DECOY if request.version or request.label else CHOSEN
    engine.set_route(request.model, {CHOSEN: version, DECOY: decoy}, labels, default, set())
    submit()
    version.close()
    instance = _core.Instance(version)
    assert instance.next() is not None, "another version was asked"
    inputs, places = instance.arrays()
    seen = [array.copy() for array in inputs]
    outputs = []
    for array, place in zip(inputs, places, strict=True):
        if place is not None:
            np.copyto(place, array)
        outputs.append(array if place is None else place)
    assert instance.finish(outputs) is None
    return seen


def dequantized(tensor: tensor_pb2.Tensor) -> Array:
    """Return what a quantized tensor stands for."""
    datatype = np.int8 if tensor.datatype == tensor_pb2.INT8 else np.uint8
    steps = np.frombuffer(tensor.data, datatype).reshape(tensor.shape).astype(np.float32)
    quantization = tensor.quantization
    scales = np.array(quantization.scales, np.float32)
    points = np.array(quantization.zero_points or [0], np.float32)
    if quantization.HasField("axis") and len(scales) > 1:
        along = [1] * steps.ndim
        along[quantization.axis] = -1
        scales, points = scales.reshape(along), points.reshape(along if len(points) > 1 else [1] * steps.ndim)
    return ((steps - points) * scales).astype(np.float32).reshape(tensor.shape)


def encoded(array: Array, datatype: str) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(each)) + each for each in array.ravel())
    return array.tobytes()


def quiet(data: bytes, datatype: str) -> bytes:
    """Return elements with every NaN quiet: Python makes signalling ones quiet when it reads typed values."""
    if datatype not in ("FP32", "FP64"):
        return data
    values = np.frombuffer(data, NUMPY_DTYPES[datatype])
    bits = values.view(f"u{values.itemsize}")
    quiet_bit = bits.dtype.type(1 << (22 if datatype == "FP32" else 51))
    return bytes(np.where(np.isnan(values), bits | quiet_bit, bits).tobytes())


def check_inputs(request: predict_pb2.PredictRequest, seen: list[Array]) -> None:
    for tensor, array in zip(request.inputs, seen, strict=True):
        assert array.shape == tuple(tensor.shape)
        expected = dequantized(tensor).tobytes() if tensor.HasField("quantization") else tensor.data
        datatype = model_datatype(tensor)
        assert quiet(encoded(array, datatype), datatype) == quiet(expected, datatype)
