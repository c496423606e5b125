"""JSON arrays to raw tensors and back."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from maas_server.errors import InvalidRequest
from maas_server.http import tensors
from maas_server.http.messages import parse_object
from maas_server.models.runner import NUMPY_DTYPES


def test_flat_and_nested_data_are_the_same() -> None:
    nested = tensors.encode([[1, 2, 3], [4, 5, 6]], "FP32", [2, 3], "data")
    assert nested == tensors.encode([1, 2, 3, 4, 5, 6], "FP32", [2, 3], "data")
    assert nested == np.arange(1, 7, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    ("datatype", "values", "dtype"),
    [
        ("BOOL", [True, False], "?"),
        ("UINT8", [0, 255], "u1"),
        ("UINT16", [0, 65535], "<u2"),
        ("UINT32", [0, 2**32 - 1], "<u4"),
        ("UINT64", [0, 2**64 - 1], "<u8"),
        ("INT8", [-128, 127], "i1"),
        ("INT16", [-(2**15), 2**15 - 1], "<i2"),
        ("INT32", [-(2**31), 2**31 - 1], "<i4"),
        ("INT64", [-(2**63), 2**63 - 1], "<i8"),
        ("FP16", [-65504.0, 0.5], "<f2"),
        ("FP32", [-1.5, 3.25], "<f4"),
        ("FP64", [-1e300, 0.1], "<f8"),
    ],
)
def test_the_ends_of_every_datatype_survive(datatype: str, values: list[Any], dtype: str) -> None:
    raw = tensors.encode(values, datatype, [2], "data")
    assert raw == np.array(values, dtype).tobytes()
    assert tensors.decode(raw, datatype) == values


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("UINT8", 256),
        ("UINT8", -1),
        ("UINT64", 2**64),
        ("UINT64", -1),
        ("INT8", -129),
        ("INT64", 2**63),
        ("FP16", 1e6),
        ("FP32", 1e300),
        ("FP64", 10**400),
    ],
)
def test_numbers_out_of_range_are_refused(datatype: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=f"out of the range of {datatype}"):
        tensors.encode([value], datatype, [1], "data")


@pytest.mark.parametrize(
    ("datatype", "value", "told"),
    [
        ("FP32", "1", "expected numbers, got a string"),
        ("FP32", True, "expected numbers, got true"),
        ("FP32", None, "expected numbers, got null"),
        ("FP32", {}, "expected numbers, got an object"),
        ("INT32", 1.5, "expected whole numbers, got 1.5"),
        ("INT32", False, "expected whole numbers, got false"),
        ("BOOL", 1, "expected true or false, got 1"),
        ("BYTES", 1, "expected strings, got 1"),
        ("BF16", 1.0, "no form in JSON"),
    ],
)
def test_values_of_another_kind_are_refused(datatype: str, value: object, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as caught:
        tensors.encode([value], datatype, [1], "inputs[0].data")
    assert caught.value.violations[0].field == "inputs[0].data"


@pytest.mark.parametrize(
    ("data", "shape", "told"),
    [
        ([[1, 2], [3]], [2, 2], "differ in length"),
        ([[1, 2], 3], [2, 2], "differ in length"),
        ([1, [2, 3]], [2], "got an array"),
        ([1, 2, 3], [2, 2], r"expected data of shape \[2,2\], got \[3\]"),
        ([[1, 2, 3, 4]], [2, 2], r"expected data of shape \[2,2\], got \[1,4\]"),
        ([[[1]]], [1, 1], r"got \[1,1,1\]"),
        (1, [2], r"expected an array for the shape \[2\], got 1"),
        ("abcd", [1, 4], r"expected an array for the shape \[1,4\], got a string"),
        ({"a": 1}, [1, 4], r"expected an array for the shape \[1,4\], got an object"),
        (None, [2], "got null"),
        ([], [1], r"got \[0\]"),
    ],
)
def test_data_that_does_not_fit_the_shape_is_refused(data: object, shape: list[int], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        tensors.encode(data, "FP32", shape, "data")


def test_nesting_beyond_any_rank_is_refused() -> None:
    data: Any = 1
    for _ in range(17):
        data = [data]
    with pytest.raises(InvalidRequest, match="deeper than 16"):
        tensors.encode(data, "FP32", [1], "data")


def test_a_scalar_comes_with_and_without_brackets() -> None:
    assert tensors.encode(5, "INT8", [], "data") == tensors.encode([5], "INT8", [], "data") == b"\x05"


@pytest.mark.parametrize(("data", "shape"), [([], [0]), ([], [0, 3]), ([[], []], [2, 0]), ([], [2, 0])])
def test_empty_tensors_have_no_bytes(data: object, shape: list[int]) -> None:
    assert tensors.encode(data, "FP32", shape, "data") == b""


def test_strings_carry_their_lengths() -> None:
    raw = tensors.encode(["", "ä", "longer"], "BYTES", [3], "data")
    assert raw == b"\0\0\0\0\2\0\0\0\xc3\xa4\6\0\0\0longer"
    assert tensors.decode_strings(raw) == [b"", "ä".encode(), b"longer"]


def parsed(text: str) -> list[float]:
    values: list[float] = parse_object(f'{{"data": {text}}}'.encode())["data"]
    return values


def test_what_is_no_number_survives() -> None:
    raw = tensors.encode(parsed("[NaN, Infinity, -Infinity]"), "FP32", [3], "data")
    nan, *infinities = tensors.decode(raw, "FP32")
    assert math.isnan(nan)
    assert infinities == [math.inf, -math.inf]


@pytest.mark.parametrize("text", ["[1e400]", "[Infinity, -1e400]", "[0.5, 1" + "0" * 400 + ".0]"])
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_infinity_is_only_what_is_called_so(text: str, datatype: str) -> None:
    values = parsed(text)
    with pytest.raises(InvalidRequest, match="a number is out of the range of FP64"):
        tensors.encode(values, datatype, [len(values)], "data")


def test_floats_have_the_fewest_digits_that_tell_them_apart() -> None:
    values = np.array([0.1, 1 / 3, 16777216.0, 1e-45, 3.4028235e38], np.float32)
    decoded = tensors.decode(values.tobytes(), "FP32")
    assert decoded == [0.1, 0.33333334, 16777216.0, 1e-45, 3.4028235e38]
    assert np.array_equal(np.array(decoded, np.float32), values)


def test_floats_of_all_sizes_are_those_that_numpy_writes() -> None:
    bits = np.random.default_rng(3).integers(0, 1 << 32, 20_000, np.uint32)
    powers = np.ldexp(np.float32(1), np.arange(-149, 128)).astype(np.float32)
    short = np.round(np.random.default_rng(4).standard_normal(20_000), 3).astype(np.float32)
    array = np.concatenate([bits.view(np.float32), powers, -powers, short, np.zeros(2, np.float32)])
    expected = array.astype(np.str_).astype(np.float64)
    assert np.array_equal(np.array(tensors.decode(array.tobytes(), "FP32")), expected, equal_nan=True)


@pytest.mark.parametrize("datatype", ["BOOL", "INT8", "UINT16", "FP16", "FP32", "FP64"])
@pytest.mark.parametrize("count", [0, 1, 100, 20_000])
def test_the_size_of_text_is_known_before_it_is_written(datatype: str, count: int) -> None:
    raw = (np.random.default_rng(5).standard_normal(count) * 100).astype(NUMPY_DTYPES[datatype]).tobytes()
    text = json.dumps(tensors.decode(raw, datatype), separators=(",", ":"))
    assert tensors.text_size(raw, datatype) == pytest.approx(len(text), rel=0.15, abs=2)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3), (2, 0), (0, 2), (2, 0, 3), (1, 2, 3, 1)])
def test_nesting_is_numpys(shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape)
    assert tensors.nest(array.ravel().tolist(), shape) == array.tolist()
