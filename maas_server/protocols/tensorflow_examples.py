"""tf.Example: features by name, one example per row, become the inputs of a model.

A feature's values fill one row of the input of its name. An input without rows (one that a whole batch shares) takes
the value that all examples agree on. Features that are no inputs are ignored, as are those that the context has and an
example has as well.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server._stubs.tensorflow_serving import example_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server.errors import InvalidRequest, Violation
from maas_server.models.plan import VersionPlan
from maas_server.models.registry import VersionView
from maas_server.models.runner import NUMPY_DTYPES, Array, TensorInfo

Features = Mapping[str, example_pb2.Feature]

_FLOATING = ("FP32", "FP64", "FP16", "BF16")
_BF16_SHIFT = 16
# The context is sent once and stands in every row that does not say otherwise.
_MAX_REPEATED_BYTES = 256 << 20


def predict_request(model: str, view: VersionView, given: pb.Input) -> tuple[predict_pb2.PredictRequest, int]:
    """Return the request for a version, and how many examples are in it.

    Raises:
        InvalidRequest: there are none or too many, or their features do not make the version's inputs.
    """
    assert view.signature is not None
    assert view.plan is not None
    field, rows, context = _rows(given, view.plan.max_request_rows)
    request = predict_pb2.PredictRequest(model=model, version=view.version)
    axes = _batch_axes(view.signature.inputs, view.plan)
    for info in view.signature.inputs:
        if info.optional and not any(info.name in features for features in (context, *rows)):
            continue
        array = _input(info, axes[info.name], rows, context, field)
        request.inputs.add(
            name=info.name,
            datatype=tensor_pb2.DataType.Value(info.datatype),
            shape=array.shape,
            data=_data(array),
        )
    return request, len(rows)


def _rows(given: pb.Input, most: int) -> tuple[str, list[Features], Features]:
    """Return the field that the examples are in, their features, and those of the context."""
    with_context = given.WhichOneof("kind") == "example_list_with_context"
    examples = given.example_list_with_context.examples if with_context else given.example_list.examples
    field = f"input.{'example_list_with_context' if with_context else 'example_list'}.examples"
    if not examples:
        raise _wrong("input", "Input is empty. Expected at least 1 example")
    if len(examples) > most:
        raise _wrong(field, f"expected at most {most} examples, got {len(examples)}")
    context = given.example_list_with_context.context.features.feature if with_context else {}
    return field, [example.features.feature for example in examples], context


def _batch_axes(inputs: Sequence[TensorInfo], plan: VersionPlan) -> dict[str, int | None]:
    axes = {each.name: each.batch_axis for each in plan.inputs}
    if any(axis is not None for axis in axes.values()):
        return axes
    # Where nothing is batched, nobody looked for rows: a first dimension that may vary is taken for them.
    return {info.name: 0 if info.shape[:1] == (-1,) else None for info in inputs}


def _input(info: TensorInfo, axis: int | None, rows: Sequence[Features], context: Features, field: str) -> Array:
    shape = info.shape if axis is None else info.shape[:axis] + info.shape[axis + 1 :]
    common: Array | None = None  # Of the context; made once, however many rows take it.
    repeated = 0
    arrays: list[Array] = []
    for index, row in enumerate(rows):
        path = f"{field}[{index}].features.feature[{info.name!r}]"
        if info.name in row or info.name not in context:
            array = _shaped(_values(info, row.get(info.name), path), shape, info, path)
        else:
            if common is None:
                common = _shaped(_values(info, context[info.name], path), shape, info, path)
            array = common
            repeated += _size(array)
            if axis is not None and repeated > _MAX_REPEATED_BYTES:
                where = f"input.example_list_with_context.context.features.feature[{info.name!r}]"
                text = (
                    f"expected values that take at most {_MAX_REPEATED_BYTES} bytes in {len(rows)} examples, got more"
                )
                raise _wrong(where, text)
        first = arrays[0] if arrays else array
        if array.shape != first.shape:
            raise _wrong(path, f"expected {first.size} values as in the examples before it, got {array.size}")
        if axis is None and array is not first and not np.array_equal(array, first):
            raise _wrong(path, "expected the value of the examples before it, as all share this input, got another")
        if axis is not None or not arrays:
            arrays.append(array)
    return arrays[0] if axis is None else np.stack(arrays, axis)


def _size(array: Array) -> int:
    """Return the bytes that the elements take in a request."""
    if array.dtype != NUMPY_DTYPES["BYTES"]:
        return array.nbytes
    return sum(len(value) for value in array.ravel()) + 4 * array.size


def _values(info: TensorInfo, feature: example_pb2.Feature | None, path: str) -> Array:
    kind = None if feature is None else feature.WhichOneof("kind")
    if feature is None or kind is None:
        raise _wrong(path, f"expected a feature for input {_describe(info)}, got none")
    wanted = "bytes_list" if info.datatype == "BYTES" else "float_list or int64_list"
    if kind not in wanted:
        raise _wrong(path, f"expected {wanted} for input {_describe(info)}, got {kind}")
    values: Sequence[Any] = getattr(feature, kind).value
    if kind == "bytes_list":
        array = np.empty(len(values), NUMPY_DTYPES["BYTES"])
        array[:] = values
        return array
    array = np.array(values, np.int64 if kind == "int64_list" else np.float32)
    if info.datatype in _FLOATING:
        # What is too large for a short float becomes infinite, as it would in the client.
        with np.errstate(over="ignore"):
            return _bf16(array) if info.datatype == "BF16" else array.astype(NUMPY_DTYPES[info.datatype])
    return _integers(array, info, path)


def _integers(array: Array, info: TensorInfo, path: str) -> Array:
    dtype = NUMPY_DTYPES[info.datatype]
    low, high = (0, 1) if info.datatype == "BOOL" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for value in array.tolist():
        if not (math.isfinite(value) and low <= value <= high and value == int(value)):
            raise _wrong(path, f"expected whole numbers from {low} to {high} for {_describe(info)}, got {value}")
    return np.array([int(value) for value in array.tolist()], dtype)


def _bf16(array: Array) -> Array:
    # Rounded to nearest, ties to even; what is not a number stays so, whatever its lower bits.
    bits = array.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> _BF16_SHIFT) & 1)) >> _BF16_SHIFT
    return np.where(np.isnan(array), 0x7FC0, rounded).astype(np.uint16)


def _shaped(values: Array, shape: tuple[int, ...], info: TensorInfo, path: str) -> Array:
    unknown = shape.count(-1)
    fixed = math.prod(size for size in shape if size >= 0)
    if unknown > 1:
        # Two sizes cannot be told from one number of values.
        text = f"expected an input of at most one size that varies within an example, got {_describe(info)}"
        raise _wrong(path, text)
    fits = fixed > 0 and values.size % fixed == 0 if unknown else values.size == fixed
    if not fits:
        expected = f"a multiple of {fixed}" if unknown else str(fixed)
        raise _wrong(path, f"expected {expected} values for input {_describe(info)}, got {values.size}")
    return values.reshape(shape)


def _data(array: Array) -> bytes:
    if array.dtype == NUMPY_DTYPES["BYTES"]:
        return b"".join(struct.pack("<I", len(value)) + value for value in array.ravel())
    return array.tobytes()


def _describe(info: TensorInfo) -> str:
    return f"{info.name!r} ({info.datatype} {list(info.shape)})"


def _wrong(field: str, text: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {text}", violations=[Violation(field, text)])
