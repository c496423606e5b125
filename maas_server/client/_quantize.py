"""Quantization of float arrays to int8 and uint8, and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
QuantizedDtype = Literal["int8", "uint8"]

# Values per step: source, scratch and result of a step stay in the second-level cache.
_BLOCK = 1 << 16
_SMALLEST_SCALE = np.finfo(np.float32).tiny
_ZERO_POINTS = {"int8": 0, "uint8": 128}


def _no_zero_points() -> npt.NDArray[np.int32]:
    return np.zeros(0, np.int32)


@dataclass(frozen=True, slots=True)
class Quantize:
    """How to quantize a float tensor: symmetric around zero, with scales from its largest magnitude."""

    dtype: QuantizedDtype = "int8"
    axis: int | None = None
    """One scale per index of this dimension, negative counts from the end; None: one for the whole tensor."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """A quantized tensor: value = scale * (q - zero_point)."""

    values: Array
    """int8 or uint8."""
    scales: npt.NDArray[np.float32]
    """One, or as many as `axis` has elements."""
    zero_points: npt.NDArray[np.int32] = field(default_factory=_no_zero_points)
    """As many as `scales`, or none at all for zeros."""
    axis: int | None = None

    def dequantize(self) -> npt.NDArray[np.float32]:
        """Return the values as float32."""
        shape = [1] * self.values.ndim
        if self.axis is not None:
            shape[self.axis] = -1
        values = self.values.astype(np.float32)
        if self.zero_points.size:
            values -= self.zero_points.reshape(shape).astype(np.float32)
        values *= self.scales.astype(np.float32, copy=False).reshape(shape)
        return values


def quantize(array: Array, how: Quantize) -> Quantized:
    """Quantize a float array.

    Raises:
        ValueError: a value is not finite, or the axis is out of range.
    """
    with np.errstate(over="ignore"):  # What float32 cannot hold becomes infinite, and is refused below.
        source = np.asarray(array, dtype=np.float32, order="C")
    if how.axis is not None and not -source.ndim <= how.axis < source.ndim:
        raise ValueError(f"axis {how.axis} is out of range for {source.ndim} dimensions")
    scales = _scales(source, how.axis)
    if not np.isfinite(scales).all():
        raise ValueError("a value that is not finite cannot be quantized")
    zero_point = _ZERO_POINTS[how.dtype]
    if how.axis is None:
        values = _quantize_flat(source, np.float32(1) / scales[0], zero_point, how.dtype)
    else:
        shape = [1] * source.ndim
        shape[how.axis] = -1
        steps = np.rint(source / scales.reshape(shape))
        values = (steps + zero_point).astype(how.dtype)
    zero_points = np.full(scales.size, zero_point, np.int32) if zero_point else _no_zero_points()
    return Quantized(values, scales, zero_points, how.axis)


def _scales(source: npt.NDArray[np.float32], axis: int | None) -> npt.NDArray[np.float32]:
    """Return one scale per tensor or per index of `axis`; not finite where a value is not."""
    others = None if axis is None else tuple(dim for dim in range(source.ndim) if dim != axis % source.ndim)
    # Two reductions instead of abs().max(): they need no temporary as large as the tensor.
    largest = np.maximum(source.max(axis=others, initial=0), -source.min(axis=others, initial=0))
    scales = np.atleast_1d(largest) / np.float32(127)
    return np.where(scales == 0, np.float32(1), np.maximum(scales, _SMALLEST_SCALE)).astype(np.float32)


def _quantize_flat(source: npt.NDArray[np.float32], inverse: np.float32, zero_point: int, dtype: str) -> Array:
    flat = source.reshape(-1)
    values = np.empty(source.shape, dtype)
    target = values.reshape(-1)
    scratch = np.empty(min(flat.size, _BLOCK), np.float32)
    for start in range(0, flat.size, _BLOCK):
        part = flat[start : start + _BLOCK]
        steps = scratch[: part.size]
        np.multiply(part, inverse, out=steps)
        np.rint(steps, out=steps)
        if zero_point:
            steps += np.float32(zero_point)
        target[start : start + part.size] = steps
    return values
