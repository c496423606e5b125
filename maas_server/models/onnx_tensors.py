"""Tensors as ONNX Runtime has them, and as the arrays that onnx_runner.py is given and returns."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np

from maas_server.errors import InvalidRequest, LoadError
from maas_server.models.runner import NUMPY_DTYPES, Array, TensorInfo

# Datatype to the element type of onnx.TensorProto.
ELEMENT_TYPES: Mapping[str, int] = {
    "FP32": 1,
    "UINT8": 2,
    "INT8": 3,
    "UINT16": 4,
    "INT16": 5,
    "INT32": 6,
    "INT64": 7,
    "BYTES": 8,
    "BOOL": 9,
    "FP16": 10,
    "FP64": 11,
    "UINT32": 12,
    "UINT64": 13,
    "BF16": 16,
}

_DATATYPES: Mapping[str, str] = {
    "tensor(float)": "FP32",
    "tensor(uint8)": "UINT8",
    "tensor(int8)": "INT8",
    "tensor(uint16)": "UINT16",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(string)": "BYTES",
    "tensor(bool)": "BOOL",
    "tensor(float16)": "FP16",
    "tensor(double)": "FP64",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(bfloat16)": "BF16",
}

# Any valid address serves for a tensor without elements; ONNX Runtime refuses only a null pointer.
_NOWHERE = np.zeros(8, np.uint8)


def tensor_info(kind: str, node: Any) -> TensorInfo:
    """Return what the model says of one of its inputs or outputs (`kind`).

    Raises:
        LoadError: it cannot be served.
    """
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise LoadError(
            f"{kind} {node.name!r} is a {node.type}; dense tensors of {', '.join(NUMPY_DTYPES)} can be served"
        )
    dims = list(node.shape)
    shape = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in dims)
    names = tuple(dim if isinstance(dim, str) else "" for dim in dims)
    return TensorInfo(node.name, datatype, shape, names if any(names) else ())


def address(array: Array) -> int:
    """Return where the elements are."""
    return array.ctypes.data or _NOWHERE.ctypes.data


def to_numpy(value: Any) -> Array:
    """Return an output as an array."""
    if value.element_type() != ELEMENT_TYPES["BF16"]:
        return value.numpy()  # type: ignore[no-any-return]  # A view; it keeps the value alive.
    shape = tuple(value.shape())
    array = np.empty(shape, np.uint16)
    if array.nbytes:
        ctypes.memmove(array.ctypes.data, value.data_ptr(), array.nbytes)
    return array


def decode_strings(name: str, array: Array) -> Array:
    """Return the `bytes` of input `name` as text.

    Raises:
        InvalidRequest: one is no UTF-8.
    """
    flat = np.empty(array.size, object)
    for index, element in enumerate(array.ravel()):
        try:
            flat[index] = element.decode() if isinstance(element, bytes) else str(element)
        except UnicodeDecodeError as error:
            raise InvalidRequest(
                f"input {name!r}: element {index} is not UTF-8, as the model's strings must be"
            ) from error
    return flat.reshape(array.shape)


def encode_strings(array: Any) -> Array:
    """Return texts as `bytes`."""
    array = np.asarray(array, dtype=object)
    flat = np.empty(array.size, object)
    for index, element in enumerate(array.ravel()):
        flat[index] = element if isinstance(element, bytes) else str(element).encode(errors="replace")
    return flat.reshape(array.shape)
