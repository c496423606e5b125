"""Quantization in the client."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maas_server.client import Quantize, Quantized
from maas_server.client._quantize import quantize

floats = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
    elements=st.floats(-(2.0**99), 2.0**99, width=32),
)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@given(array=floats, axis=st.one_of(st.none(), st.integers(-3, 2)))
def test_no_value_moves_by_more_than_half_a_step(dtype: Any, array: npt.NDArray[np.float32], axis: int | None) -> None:
    if axis is not None and not -array.ndim <= axis < array.ndim:
        axis = None
    quantized = quantize(array, Quantize(dtype, axis))
    assert quantized.values.dtype == dtype
    assert quantized.values.shape == array.shape
    assert quantized.scales.size == (1 if axis is None else array.shape[axis])
    shape = [1] * array.ndim
    if axis is not None:
        shape[axis] = -1
    limit = quantized.scales.reshape(shape) * np.float32(0.5001)
    assert (np.abs(quantized.dequantize() - array) <= limit).all()


def test_the_largest_magnitude_becomes_127_steps() -> None:
    quantized = quantize(np.array([0.0, -12.7, 6.35], np.float32), Quantize("int8"))
    assert quantized.values.tolist() == [0, -127, 64]
    assert quantized.zero_points.size == 0
    assert quantized.scales[0] == pytest.approx(0.1)


def test_unsigned_values_stand_around_128() -> None:
    quantized = quantize(np.array([0.0, -12.7, 12.7], np.float32), Quantize("uint8"))
    assert quantized.values.tolist() == [128, 1, 255]
    assert quantized.zero_points.tolist() == [128]


def test_an_axis_gives_each_index_its_own_scale() -> None:
    quantized = quantize(np.array([[1.0, 100.0], [-2.0, 50.0]], np.float32), Quantize("int8", axis=1))
    assert quantized.scales.tolist() == pytest.approx([2 / 127, 100 / 127])
    assert quantized.values.tolist() == [[64, 127], [-127, 64]]


def test_blocks_meet_without_a_seam() -> None:
    array = np.random.default_rng(0).standard_normal(200_001).astype(np.float32)
    quantized = quantize(array, Quantize("uint8"))
    one_by_one = np.rint(array * (np.float32(1) / quantized.scales[0])) + 128
    np.testing.assert_array_equal(quantized.values, one_by_one)


@pytest.mark.parametrize("array", [np.zeros(3, np.float32), np.zeros((0, 4), np.float32), np.float32(0)])
def test_zeros_and_nothing_have_a_scale_that_the_server_takes(array: Any) -> None:
    quantized = quantize(np.asarray(array), Quantize())
    assert quantized.scales.tolist() == [1.0]
    assert not quantized.values.any()


def test_the_smallest_magnitudes_keep_a_positive_scale() -> None:
    quantized = quantize(np.array([1e-45, -1e-45], np.float32), Quantize())
    assert quantized.scales[0] > 0
    assert np.isfinite(quantized.dequantize()).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("axis", [None, 0])
def test_what_float32_cannot_hold_is_refused(value: float, axis: int | None) -> None:
    with pytest.raises(ValueError, match="not finite"):
        quantize(np.array([1.0, value]), Quantize("int8", axis))


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_out_of_range_is_refused(axis: int) -> None:
    with pytest.raises(ValueError, match=f"axis {axis}"):
        quantize(np.zeros((2, 2), np.float32), Quantize(axis=axis))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_quantized_as_well(dtype: Any) -> None:
    assert quantize(np.array([1.0, -0.5], dtype), Quantize()).values.tolist() == [127, -64]


def test_dequantizing_takes_the_zero_point_off_first() -> None:
    quantized = Quantized(np.array([0, 255], np.uint8), np.array([0.5], np.float32), np.array([100], np.int32))
    assert quantized.dequantize().tolist() == [-50.0, 77.5]
