"""numpy arrays to the datatypes and bytes of maas.v1.Tensor, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from maas_server._stubs.maas.v1 import tensor_pb2
from maas_server.client._quantize import Array, Quantized

try:
    import ml_dtypes
except ImportError:
    _BFLOAT16 = None
else:
    _BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

_DTYPES: dict[tensor_pb2.DataType, np.dtype[Any]] = {
    tensor_pb2.BOOL: np.dtype(np.bool_),
    tensor_pb2.UINT8: np.dtype("u1"),
    tensor_pb2.UINT16: np.dtype("<u2"),
    tensor_pb2.UINT32: np.dtype("<u4"),
    tensor_pb2.UINT64: np.dtype("<u8"),
    tensor_pb2.INT8: np.dtype("i1"),
    tensor_pb2.INT16: np.dtype("<i2"),
    tensor_pb2.INT32: np.dtype("<i4"),
    tensor_pb2.INT64: np.dtype("<i8"),
    tensor_pb2.FP16: np.dtype("<f2"),
    tensor_pb2.BF16: _BFLOAT16 or np.dtype("<u2"),
    tensor_pb2.FP32: np.dtype("<f4"),
    tensor_pb2.FP64: np.dtype("<f8"),
}
_DATATYPES: dict[tuple[str, int], tensor_pb2.DataType] = {
    (dtype.kind, dtype.itemsize): datatype for datatype, dtype in _DTYPES.items() if datatype != tensor_pb2.BF16
}
_BYTES_PREFIX = 4


@dataclass(frozen=True, slots=True, eq=False)
class BFloat16:
    """A bfloat16 tensor by its bits, for those who have no numpy dtype for it."""

    bits: npt.NDArray[np.uint16]

    @classmethod
    def from_float(cls, array: npt.ArrayLike) -> BFloat16:
        """Round to the nearest bfloat16, ties to even; a NaN stays a NaN."""
        values = np.asarray(array, dtype=np.float32)
        bits = values.view(np.uint32)
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        return cls(np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype(np.uint16))

    def to_float(self) -> npt.NDArray[np.float32]:
        """Return the same values as float32, exactly."""
        return (self.bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


TensorLike: TypeAlias = npt.ArrayLike | Quantized | BFloat16


def dtype_of(datatype: tensor_pb2.DataType) -> np.dtype[Any] | None:
    """Return the dtype of arrays of this datatype; None for one that this client does not know."""
    return np.dtype(np.object_) if datatype == tensor_pb2.BYTES else _DTYPES.get(datatype)


def as_array(value: npt.ArrayLike) -> Array:
    """Return `value` as an array; text and bytes become objects, since numpy's own strings lose trailing zeros."""
    if isinstance(value, np.ndarray):
        return value
    array = np.asarray(value)
    return np.asarray(value, dtype=object) if array.dtype.kind in "SU" else array


def is_float(array: Array) -> bool:
    """Whether the server may take this array quantized."""
    return array.dtype.name in ("float16", "float32", "float64", "bfloat16")


def pack(array: Array) -> tuple[tensor_pb2.DataType, Sequence[bytes | memoryview]]:
    """Return the datatype of `array` and its bytes in parts, without copying what already lies right.

    Raises:
        ValueError: no datatype stands for the array's dtype.
    """
    if array.dtype.kind in "OSU":
        return tensor_pb2.BYTES, _pack_strings(array)
    datatype = _DATATYPES.get((array.dtype.kind, array.dtype.itemsize))
    if datatype is not None:
        little = array.dtype.newbyteorder("<")
    elif array.dtype.name == "bfloat16":
        datatype, little = tensor_pb2.BF16, array.dtype
    else:
        raise ValueError(f"no datatype stands for numpy's {array.dtype.name}")
    dense = np.asarray(array, dtype=little, order="C")
    return datatype, [dense.reshape(-1).view(np.uint8).data]


def unpack(datatype: tensor_pb2.DataType, shape: Sequence[int], data: bytes) -> Array:
    """Return a read-only array over `data`; BYTES become an array of `bytes` objects.

    Raises:
        ValueError: the bytes are not what datatype and shape say.
    """
    if datatype == tensor_pb2.BYTES:
        elements = _unpack_strings(data)
        strings = np.empty(len(elements), dtype=object)
        strings[:] = elements
        strings.flags.writeable = False
        return strings.reshape(shape)
    dtype = _DTYPES.get(datatype)
    if dtype is None:
        raise ValueError(f"unknown datatype {datatype}")
    return np.frombuffer(data, dtype).reshape(shape)


def _pack_strings(array: Array) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = []
    for element in array.reshape(-1).tolist():
        if isinstance(element, str):
            encoded = element.encode()
        elif isinstance(element, bytes):
            encoded = element
        else:
            raise ValueError(f"expected str or bytes elements, got {type(element).__name__}")
        parts += (len(encoded).to_bytes(_BYTES_PREFIX, "little"), encoded)
    return parts


def _unpack_strings(data: bytes) -> list[bytes]:
    elements = []
    position = 0
    while position < len(data):
        start = position + _BYTES_PREFIX
        end = start + int.from_bytes(data[position:start], "little")
        if end > len(data) or start > len(data):
            raise ValueError("a string reaches past the end of the data")
        elements.append(data[start:end])
        position = end
    return elements


def size_of(parts: Iterable[bytes | memoryview]) -> int:
    """Return the bytes in all parts together."""
    return sum(len(part) for part in parts)
