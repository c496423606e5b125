"""What moving a segment does, in numpy: written from the headers' words, not from their arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu.segments import BF16, FP32, INT8, ITEM_BYTES, UINT8
from maas_server.devices.layout import MaasSegment, SegmentKind

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_RANGE = {INT8: (-128, 127), UINT8: (0, 255)}


def move(segments: Iterable[MaasSegment], params: bytes, source: Bytes, target: Bytes) -> None:
    """Move every segment from one memory to the other."""
    for segment in segments:
        _move(segment, params, source, target)


def places(segment: MaasSegment) -> tuple[Indices, Indices, Indices]:
    """Return where each element lies and goes, counted in elements, and its index of the axis."""
    run = np.arange(segment.run, dtype=np.int64)
    src, dst, axis = run, run, run * segment.axis_run
    for loop in segment.loops[: segment.loop_count]:
        step = np.arange(loop.extent, dtype=np.int64)[:, None]
        src = (step * loop.src_stride + src).ravel()
        dst = (step * loop.dst_stride + dst).ravel()
        axis = (step * bool(loop.axis) + axis).ravel()
    return src, dst, axis


def to_float(bits: npt.NDArray[Any], datatype: int) -> Floats:
    """Return numbers of a floating datatype, given as bits, as FP32."""
    wide = bits.astype(np.uint32)
    if datatype == FP32:
        return wide.view(np.float32)
    if datatype == BF16:
        return (wide << 16).view(np.float32)
    floats = bits.astype(np.uint16).view(np.float16).astype(np.float32)
    nan = (wide & 0x8000) << 16 | 0x7F800000 | (wide & 0x3FF) << 13
    return np.where(np.isnan(floats), nan, floats.view(np.uint32)).astype(np.uint32).view(np.float32)


def from_float(values: Floats, datatype: int) -> npt.NDArray[Any]:
    """Return FP32 numbers as the bits of a floating datatype: to nearest, ties to even, NaNs quiet."""
    bits = values.view(np.uint32)
    if datatype == FP32:
        return bits
    if datatype == BF16:
        # The exact halves between two neighbours go to the even one.
        low, high = bits & 0xFFFF, bits >> 16
        up = (low > 0x8000) | ((low == 0x8000) & (high % 2 == 1))
        return np.where(np.isnan(values), high | 0x40, high + up).astype(np.uint16)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        halves = values.astype(np.float16).view(np.uint16)
    nan = (bits >> 16 & 0x8000) | 0x7E00 | (bits >> 13 & 0x1FF)
    return np.where(np.isnan(values), nan, halves).astype(np.uint16)


def dequantize(q: npt.NDArray[Any], scales: Floats, zero_points: npt.NDArray[np.int32]) -> Floats:
    """Return scale * (q - zero_point)."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray((q.astype(np.int32) - zero_points).astype(np.float32) * scales, np.float32)


def quantize(values: Floats, scales: Floats, zero_points: npt.NDArray[np.int32], to: int) -> npt.NDArray[np.int64]:
    """Return round(value / scale) + zero_point, ties to even, within the datatype; NaN stands for 0.0."""
    low, high = _RANGE[to]
    with np.errstate(all="ignore"):
        steps = np.rint(values / scales).astype(np.float64)
    return np.asarray(np.clip(np.nan_to_num(steps, nan=0.0) + zero_points, low, high), np.int64)


def _move(segment: MaasSegment, params: bytes, source: Bytes, target: Bytes) -> None:
    src, dst, axis = places(segment)
    kind, from_type = SegmentKind(segment.kind), getattr(segment, "from")
    written = segment.size or ITEM_BYTES[segment.to]
    if kind == SegmentKind.FILL:
        value = segment.value & ((1 << 8 * written) - 1)
        _scatter(target, segment.dst, dst, np.full(len(dst), value, _UNSIGNED[written]))
        return
    bits = _gather(source, segment.src, src, segment.size or ITEM_BYTES[from_type])
    if kind == SegmentKind.COPY:
        _scatter(target, segment.dst, dst, bits)
        return
    if kind == SegmentKind.CAST:
        _scatter(target, segment.dst, dst, from_float(to_float(bits, from_type), segment.to))
        return
    count = int(axis.max()) + 1
    scales = np.frombuffer(params, np.float32, count, segment.scales)[axis]
    zero_points = np.frombuffer(params, np.int32, count, segment.zero_points)[axis]
    if kind == SegmentKind.DEQUANTIZE:
        q = bits.view(np.int8) if from_type == INT8 else bits
        moved = from_float(dequantize(q, scales, zero_points), segment.to)
    else:
        moved = quantize(to_float(bits, from_type), scales, zero_points, segment.to).astype(np.uint8)
    _scatter(target, segment.dst, dst, moved)


def _gather(memory: Bytes, offset: int, places: Indices, size: int) -> npt.NDArray[Any]:
    at = offset + places[:, None] * size + np.arange(size)
    return np.ascontiguousarray(memory[at]).view(_UNSIGNED[size]).ravel()


def _scatter(memory: Bytes, offset: int, places: Indices, values: npt.NDArray[Any]) -> None:
    size = values.dtype.itemsize
    at = offset + places[:, None] * size + np.arange(size)
    memory[at] = np.ascontiguousarray(values).view(np.uint8).reshape(-1, size)
