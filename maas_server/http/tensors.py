"""Tensors in JSON: nested or flat arrays of numbers and strings, to the bytes that the core takes, and back."""

from __future__ import annotations

import json
import math
import pickle
import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from maas_server.errors import InvalidRequest
from maas_server.http.messages import INFINITIES, Blob, invalid, wrong
from maas_server.models.runner import NUMPY_DTYPES

# As many as the core takes; deeper nesting is wrong for any shape.
MAX_RANK = 16
# Each text takes 128 bytes while it is parsed.
_TEXTS_AT_ONCE = 1 << 14
_LENGTH = struct.Struct("<I")
# By numpy's kind of the datatype: types that JSON's values have in Python, and what they are called.
_WHOLE_NUMBERS: tuple[set[type], str] = ({int}, "whole numbers")
_TAKEN: dict[str, tuple[set[type], str]] = {"b": ({bool}, "true or false"), "f": ({int, float}, "numbers")}
# Floats of these magnitudes are exact when they are scaled to whole numbers by powers of ten.
_LEAST_SCALED, _MOST_SCALED = 1e-13, 1e21
_DIGITS = (6, 7, 8, 9)
# Sizes of text are told from so many elements before anything is written, and counted after.
_SAMPLES = 256
_HALF = 0.5
CERTAIN = 0.8
_ONLY_BINARY = "values of BF16 have no form in JSON; send and ask for binary data"


class Encoded(Blob):
    """A tensor's data, encoded before it is known what for; or why that is impossible."""

    __slots__ = ("problem",)

    def __init__(self, data: bytes | memoryview, problem: str = "") -> None:
        """`problem`: "" if there is none."""
        super().__init__(data)
        self.problem = problem

    def __reduce_ex__(self, _: object) -> tuple[type[Blob], tuple[Any, ...]]:
        """Pickle the bytes out of band."""
        return type(self), (pickle.PickleBuffer(self.data), self.problem)


def flatten(data: object, path: str) -> tuple[tuple[int, ...], list[Any]]:
    """Return the shape that nested arrays have, and their elements in order; a value alone has the shape ().

    Raises:
        InvalidRequest: the arrays are not all of one length.
    """
    if not isinstance(data, list):
        return (), [data]
    shape = [len(data)]
    flat: list[Any] = data
    while flat and isinstance(flat[0], list):
        lengths = set(map(_length, flat))
        if len(lengths) > 1:
            raise invalid(path, f"arrays at depth {len(shape)} differ in length")
        if len(shape) == MAX_RANK:
            raise invalid(path, f"arrays are nested deeper than {MAX_RANK}")
        shape += lengths
        flat = list(chain.from_iterable(flat))
    return tuple(shape), flat


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else -1


def encode(data: object, datatype: str, shape: Sequence[int], path: str) -> bytes:
    """Return the elements of nested or flat `data` as raw bytes.

    Raises:
        InvalidRequest: there are more or fewer than `shape` says, or they are not of the datatype.
    """
    if isinstance(data, Encoded):
        if data.problem:
            raise invalid(path, data.problem)
        return bytes(data.data)
    found, flat = flatten(data, path)
    expected = tuple(shape)
    if not found and _product(expected) != 1:
        raise wrong(path, f"an array for the shape {_shown(expected)}", data)
    # A flat array will do for any shape; so will a value alone for one element.
    if found != expected and (len(found) > 1 or len(flat) != _product(expected)):
        raise invalid(path, f"expected data of shape {_shown(expected)}, got {_shown(found)}")
    return encode_flat(flat, datatype, path)


def encode_flat(flat: Sequence[Any], datatype: str, path: str) -> bytes:
    """Return values as raw bytes.

    Raises:
        InvalidRequest: one is not of the datatype.
    """
    if datatype == "BYTES":
        return _strings(flat, path)
    dtype = NUMPY_DTYPES.get(datatype)
    if dtype is None:
        # The core knows the datatypes and refuses what is none, with the name of the field.
        return b""
    if datatype == "BF16":
        raise invalid(path, _ONLY_BINARY)
    return _numbers(flat, dtype, datatype, path).tobytes()


def _strings(flat: Sequence[Any], path: str) -> bytes:
    pieces: list[bytes] = []
    for value in flat:
        if not isinstance(value, str | bytes):
            raise wrong(path, "strings", value)
        data = value.encode() if isinstance(value, str) else value
        pieces += (_LENGTH.pack(len(data)), data)
    return b"".join(pieces)


def _numbers(flat: Sequence[Any], dtype: np.dtype[Any], datatype: str, path: str) -> np.ndarray[Any, Any]:
    types: set[type] = set(map(type, flat))
    taken, what = _TAKEN.get(dtype.kind, _WHOLE_NUMBERS)
    if not types <= taken:
        raise wrong_value(next(value for value in flat if type(value) not in taken), what, path)
    try:
        if dtype.kind == "f":
            return _floats(flat, dtype, datatype, path)
        wide = np.array(flat, dtype=dtype if dtype.kind == "b" else np.uint64 if dtype.kind == "u" else np.int64)
    except OverflowError:
        raise invalid(path, f"a number is out of the range of {datatype}") from None
    narrow = wide.astype(dtype)
    if not np.array_equal(narrow, wide):
        raise invalid(path, f"a number is out of the range of {datatype}")
    return narrow


def _floats(flat: Sequence[Any], dtype: np.dtype[Any], datatype: str, path: str) -> np.ndarray[Any, Any]:
    wide = np.array(flat, dtype=np.float64)
    if np.isinf(wide).any():
        check_infinities(flat, path)
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype)
    if np.any(np.isinf(narrow) & np.isfinite(wide)):
        raise invalid(path, f"a number is out of the range of {datatype}")
    return narrow


def check_infinities(values: Sequence[Any], path: str) -> None:
    """Refuse numbers that are infinite because they were too large, and not by name.

    Raises:
        InvalidRequest: there is one.
    """
    # The parser has one object for what is called Infinity, and makes others of numbers with too large an exponent.
    for value in values:
        if isinstance(value, float) and math.isinf(value) and not any(value is each for each in INFINITIES.values()):
            raise invalid(path, "a number is out of the range of FP64")


def wrong_value(value: object, expected: str, path: str) -> InvalidRequest:
    """Return the error for an element of the wrong kind."""
    return wrong(path, expected, value)


def decode(raw: bytes, datatype: str) -> list[Any]:
    """Return the elements in raw bytes, as JSON has them; those of BYTES as `bytes`.

    Raises:
        InvalidRequest: the datatype has no form in JSON.
    """
    if datatype == "BYTES":
        return decode_strings(raw)
    if datatype == "BF16":
        raise InvalidRequest(_ONLY_BINARY)
    array = np.frombuffer(raw, dtype=NUMPY_DTYPES[datatype])
    if datatype == "FP32":
        return _short_floats(array)
    values: list[Any] = array.tolist()
    return values


def _short_floats(array: np.ndarray[Any, Any]) -> list[float]:
    """Return doubles that have the fewest digits and still round to these values: 0.1, not 0.10000000149."""
    with np.errstate(invalid="ignore"):  # There are NaNs that complain when they are copied.
        values = array.astype(np.float64)
    sizes = np.abs(values)
    left = np.flatnonzero((sizes >= _LEAST_SCALED) & (sizes < _MOST_SCALED))
    # Halfway to the value below a power of two is nearer than to the one above, which rounding here does not know.
    left = left[np.frexp(sizes[left])[0] != _HALF]
    others = np.ones(len(values), np.bool_)
    others[left] = False
    places = np.floor(np.log10(sizes[left]))
    for digits in _DIGITS:
        scale = digits - 1 - places
        up, down = 10.0 ** np.maximum(scale, 0), 10.0 ** np.maximum(-scale, 0)
        rounded = np.rint(values[left] * up / down) / up * down
        fits = rounded.astype(np.float32) == array[left]
        values[left[fits]] = rounded[fits]
        left, places = left[~fits], places[~fits]
    others[left] = True
    others &= np.isfinite(values) & (sizes != 0)
    rest = np.flatnonzero(others)
    for start in range(0, len(rest), _TEXTS_AT_ONCE):
        some = rest[start : start + _TEXTS_AT_ONCE]
        values[some] = array[some].astype(np.str_).astype(np.float64)
    short: list[float] = values.tolist()
    return short


def text_size(raw: bytes, datatype: str) -> float:
    """Return about how many bytes the elements in raw bytes take as JSON; for BYTES, at least how many."""
    if datatype in ("BYTES", "BF16"):
        return len(raw)
    array = np.frombuffer(raw, dtype=NUMPY_DTYPES[datatype])
    sample = array[:: len(array) // _SAMPLES + 1]
    text = json.dumps(decode(sample.tobytes(), datatype), separators=(",", ":"))
    return len(text) * len(array) / max(len(sample), 1)


def decode_strings(raw: bytes) -> list[bytes]:
    """Return the elements of BYTES, each of which has its length before it."""
    elements = []
    position = 0
    while position < len(raw):
        (length,) = _LENGTH.unpack_from(raw, position)
        position += _LENGTH.size
        elements.append(raw[position : position + length])
        position += length
    return elements


def nest(flat: list[Any], shape: Sequence[int]) -> Any:
    """Return the elements as arrays nested to `shape`; a shape of () gives the only element."""
    if not shape:
        return flat[0]
    for size in reversed(shape[1:]):
        if not flat:
            # Nothing tells how many empty arrays there are, but the dimensions before.
            return _empty(tuple(shape))
        flat = [flat[start : start + size] for start in range(0, len(flat), size)] if size else []
    return flat if flat or not shape[0] else _empty(tuple(shape))


def _empty(shape: tuple[int, ...]) -> list[Any]:
    return [_empty(shape[1:]) for _ in range(shape[0])] if len(shape) > 1 else []


def _product(shape: Sequence[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def _shown(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
