"""JSON arrays to raw tensors and back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from maas_server.errors import InvalidRequest
from maas_server.http import tensors


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
        ("BOOL", 1, "expected true or false, got a number"),
        ("BYTES", 1, "expected strings, got a number"),
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
        (1, [2], r"expected data of shape \[2\], got \[\]"),
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


def test_what_is_no_number_survives() -> None:
    raw = tensors.encode([math.nan, math.inf, -math.inf], "FP32", [3], "data")
    nan, *infinities = tensors.decode(raw, "FP32")
    assert math.isnan(nan)
    assert infinities == [math.inf, -math.inf]


def test_floats_have_the_fewest_digits_that_tell_them_apart() -> None:
    values = np.array([0.1, 1 / 3, 16777216.0, 1e-45, 3.4028235e38], np.float32)
    decoded = tensors.decode(values.tobytes(), "FP32")
    assert decoded == [0.1, 0.33333334, 16777216.0, 1e-45, 3.4028235e38]
    assert np.array_equal(np.array(decoded, np.float32), values)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3), (2, 0), (0, 2), (2, 0, 3), (1, 2, 3, 1)])
def test_nesting_is_numpys(shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape)
    assert tensors.nest(array.ravel().tolist(), shape) == array.tolist()
