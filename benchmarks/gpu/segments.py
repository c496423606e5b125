"""Tables of segments, written by hand: what csrc/maas/gpu/segment_plan.h makes of boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maas_server.devices.layout import TILE_ELEMENTS, MaasSegment, SegmentKind

# maas.v1.DataType, by value: the stubs of the protocol are not there where only kernels are built.
UINT8, INT8, FP16, BF16, FP32 = 2, 6, 10, 11, 12
ITEM_BYTES = {UINT8: 1, INT8: 1, FP16: 2, BF16: 2, FP32: 4}


@dataclass(frozen=True)
class Loop:
    """One loop around the run; strides count elements."""

    extent: int
    src_stride: int
    dst_stride: int
    axis: bool = False


@dataclass(frozen=True)
class Quantization:
    """Scales and zero points: one of each, or one for each index of the axis."""

    scales: npt.NDArray[np.float32]
    zero_points: npt.NDArray[np.int32]


class SegmentList:
    """Segments for one launch, and the parameters that they refer to."""

    def __init__(self) -> None:
        self.segments: list[MaasSegment] = []
        self.tiles = 0
        self._params = bytearray()

    def __len__(self) -> int:
        return len(self.segments)

    def copy(self, src: int, dst: int, size: int, run: int, loops: Sequence[Loop] = ()) -> None:
        """Add elements of `size` bytes, as they are."""
        self._add(SegmentKind.COPY, src, dst, run, loops, size=size)

    def fill(self, dst: int, size: int, value: int, run: int, loops: Sequence[Loop] = ()) -> None:
        """Add elements of `size` bytes that all are `value`."""
        self._add(SegmentKind.FILL, 0, dst, run, loops, size=size, value=value)

    def cast(self, src: int, dst: int, types: tuple[int, int], run: int, loops: Sequence[Loop] = ()) -> None:
        """Add elements of one floating datatype as another."""
        self._add(SegmentKind.CAST, src, dst, run, loops, types=types)

    def convert(
        self,
        src: int,
        dst: int,
        types: tuple[int, int],
        quantization: Quantization,
        run: int,
        loops: Sequence[Loop] = (),
        *,
        axis_run: bool = False,
    ) -> None:
        """Add elements to be dequantized, or quantized, by the order of the datatypes."""
        kind = SegmentKind.DEQUANTIZE if ITEM_BYTES[types[0]] == 1 else SegmentKind.QUANTIZE
        segment = self._add(kind, src, dst, run, loops, types=types)
        segment.axis_run = int(axis_run)
        segment.scales = len(self._params)
        self._params += quantization.scales.tobytes()
        segment.zero_points = len(self._params)
        self._params += quantization.zero_points.tobytes()

    def table(self) -> bytes:
        """Return the segments as they lie in memory."""
        return b"".join(bytes(segment) for segment in self.segments)

    def params(self) -> bytes:
        """Return the parameters; 16 bytes at least, so that they always have a place."""
        return bytes(self._params) or bytes(16)

    def _add(
        self,
        kind: SegmentKind,
        src: int,
        dst: int,
        run: int,
        loops: Sequence[Loop],
        *,
        size: int = 0,
        value: int = 0,
        types: tuple[int, int] = (0, 0),
    ) -> MaasSegment:
        segment = MaasSegment()
        segment.kind, segment.src, segment.dst, segment.run = kind, src, dst, run
        segment.size, segment.value, segment.to = size, value, types[1]
        # A keyword of Python's is a field's name.
        setattr(segment, "from", types[0])
        assert len(loops) <= len(segment.loops)
        segment.loop_count = len(loops)
        for place, loop in zip(segment.loops, loops, strict=False):
            place.extent, place.axis = loop.extent, int(loop.axis)
            place.src_stride, place.dst_stride = loop.src_stride, loop.dst_stride
        segment.elements = run * math.prod(loop.extent for loop in loops)
        segment.tiles_before = self.tiles
        self.tiles += -(-segment.elements // TILE_ELEMENTS)
        self.segments.append(segment)
        return segment
