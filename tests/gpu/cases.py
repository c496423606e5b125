"""What is moved in the tests: boxes of every kind and datatype, laid out by a seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.gpu.segments import BF16, FP16, FP32, INT8, ITEM_BYTES, UINT8, Loop, Quantization, SegmentList

FLOATS = (FP32, FP16, BF16)
INTEGERS = (INT8, UINT8)
CASTS = tuple(itertools.permutations(FLOATS, 2))
DEQUANTIZED = tuple(itertools.product(INTEGERS, FLOATS))
QUANTIZED = tuple(itertools.product(FLOATS, INTEGERS))
NAMES = {FP32: "FP32", FP16: "FP16", BF16: "BF16", INT8: "INT8", UINT8: "UINT8"}

# Around the sizes of a vector, of a warp, of a block and of a tile.
_WIDEST = 16
RUNS = (1, 3, 16, 33, 1000, 4095, 4096, 4097, 12289)
# Numbers that are rounded, saturated or kept in ways of their own, as the bits of FP32.
_SPECIAL = np.array(
    [
        0x00000000, 0x80000000, 0x3F000000, 0xBF000000, 0x3FC00000, 0x40200000, 0x7F800000, 0xFF800000, 0x7FC00000,
        0xFFC12345, 0x7F800001, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000, 0x33000000, 0x33000001, 0x33800000,
        0x387FC000, 0x387FE000, 0x38800000, 0x477FE000, 0x477FEFFF, 0x477FF000, 0x47800000, 0x7F7FFFFF, 0x7F7F8000,
        0x3F808000, 0x3F818000, 0x3F801000, 0x3F803000, 0x4B000001,
    ],
    np.uint32,
)  # fmt: skip


@dataclass
class Layout:
    """Segments being laid out: each box behind the one before it, in the source and in the target."""

    seed: int
    aligned: bool = False
    """Every box begins where the widest loads and stores may, in the source and in the target."""
    segments: SegmentList = field(default_factory=SegmentList)
    _source: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    _src: int = 0
    _dst: int = 0

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    @property
    def source(self) -> npt.NDArray[np.uint8]:
        """The bytes that are moved."""
        return np.concatenate([*self._source, np.zeros(16, np.uint8)])

    @property
    def target_bytes(self) -> int:
        """The size of what they are moved to, with some behind that is left as it is."""
        return self._dst + 64

    def copy(self, size: int, run: int, loops: tuple[tuple[int, int, int], ...] = ()) -> None:
        """Lay out a box of elements of `size` bytes; a loop has an extent, and gaps in the source and the target."""
        nest = _nest(run, loops)
        src = self._take(self.random.integers(0, 256, _span(run, nest, 0) * size).astype(np.uint8), size)
        self.segments.copy(src, self._place(run, nest, size), size, run, nest)

    def fill(self, size: int, run: int, loops: tuple[tuple[int, int, int], ...] = ()) -> None:
        """Lay out a box of one value; what lies above its `size` bytes is not looked at."""
        nest = _nest(run, loops)
        value = int(self.random.integers(0, 1 << 63)) * 2 + 1
        self.segments.fill(self._place(run, nest, size), size, value, run, nest)

    def cast(self, types: tuple[int, int], run: int, loops: tuple[tuple[int, int, int], ...] = ()) -> None:
        """Lay out a box of numbers of one floating datatype that become another."""
        nest = _nest(run, loops)
        src = self._take(self._numbers(types[0], _span(run, nest, 0)), ITEM_BYTES[types[0]])
        self.segments.cast(src, self._place(run, nest, ITEM_BYTES[types[1]]), types, run, nest)

    def convert(
        self,
        types: tuple[int, int],
        run: int,
        loops: tuple[tuple[int, int, int], ...] = (),
        *,
        axis: int | None = None,
    ) -> None:
        """Lay out a box to be dequantized or quantized, along `axis`: 0 is the run, 1 the innermost loop."""
        nest = _nest(run, loops, axis)
        indices = 1 if axis is None else run if axis == 0 else nest[axis - 1].extent
        src = self._take(self._numbers(types[0], _span(run, nest, 0)), ITEM_BYTES[types[0]])
        quantization = self._quantization(indices, types)
        dst = self._place(run, nest, ITEM_BYTES[types[1]])
        self.segments.convert(src, dst, types, quantization, run, nest, axis_run=axis == 0)

    def _take(self, data: npt.NDArray[np.uint8], size: int) -> int:
        """Put bytes behind those that are there."""
        src = self._behind(self._src, size)
        self._source += [np.zeros(src - self._src, np.uint8), data]
        self._src = src + len(data)
        return src

    def _place(self, run: int, nest: list[Loop], size: int) -> int:
        dst = self._behind(self._dst, size)
        self._dst = dst + _span(run, nest, 1) * size
        return dst

    def _behind(self, offset: int, size: int) -> int:
        """Return where the next element of `size` bytes may lie: anywhere that it fits, or aligned."""
        if self.aligned:
            return offset + -offset % _WIDEST
        return offset + -offset % size + size * int(self.random.integers(0, 16))

    def _numbers(self, datatype: int, count: int) -> npt.NDArray[np.uint8]:
        """Return numbers as bytes: all bits, usual ones and special ones."""
        size = ITEM_BYTES[datatype]
        numbers = self.random.integers(0, 256, (count, size)).astype(np.uint8)
        if size > 1:
            usual = (self.random.standard_normal(count) * 40).astype(np.float32).view(np.uint32)
            bits = np.where(self.random.random(count) < 0.3, self.random.choice(_SPECIAL, count), usual)
            # The high half of an FP32 is a BF16; of an FP16 it is some number, and that will do.
            chosen = np.ascontiguousarray(bits.astype(np.uint32)).view(np.uint8).reshape(count, 4)[:, 4 - size :]
            numbers = np.where(self.random.random((count, 1)) < 0.7, chosen, numbers)
        return np.ascontiguousarray(numbers).ravel()

    def _quantization(self, indices: int, types: tuple[int, int]) -> Quantization:
        scales = np.exp(self.random.uniform(-7, 3, indices)).astype(np.float32)
        # Products and quotients that leave the range of usual numbers, at both ends.
        extreme = np.array([1e-44, 1e-39, 1e36, 3e38, 0.5, 1.0], np.float32)
        scales = np.where(self.random.random(indices) < 0.2, self.random.choice(extreme, indices), scales)
        low = -128 if INT8 in types else 0
        return Quantization(scales.astype(np.float32), self.random.integers(low, low + 256, indices).astype(np.int32))


def mixed(seed: int, count: int, *, aligned: bool = False) -> Layout:
    """Return boxes of all kinds and many shapes, for one launch."""
    layout = Layout(seed, aligned)
    random = layout.random
    for _ in range(count):
        rank = int(random.integers(0, 4))
        run = int(random.choice([1, 2, 5, 31, 64, 257, 3000]))
        gaps = random.choice([0, 1, 3, 8, 16], (rank, 2)).tolist()
        loops = tuple((int(random.integers(1, 5)), src_gap, dst_gap) for src_gap, dst_gap in gaps)
        kind = int(random.integers(0, 5))
        axis = None if random.random() < 0.5 else int(random.integers(0, rank + 1))
        if kind == 0:
            layout.copy(int(random.choice([1, 2, 4, 8])), run, loops)
        elif kind == 1:
            layout.fill(int(random.choice([1, 2, 4, 8])), run, loops)
        elif kind == 2:
            layout.cast(CASTS[int(random.integers(len(CASTS)))], run, loops)
        else:
            types = (DEQUANTIZED if kind == 3 else QUANTIZED)[int(random.integers(6))]
            layout.convert(types, run, loops, axis=axis)
    return layout


def named(types: tuple[int, int]) -> str:
    """Return what a test with these datatypes is called."""
    return f"{NAMES[types[0]]}-{NAMES[types[1]]}"


def _nest(run: int, loops: tuple[tuple[int, int, int], ...], axis: int | None = None) -> list[Loop]:
    return list(_loops(run, loops, axis))


def _loops(run: int, loops: tuple[tuple[int, int, int], ...], axis: int | None) -> Iterator[Loop]:
    src = dst = run
    for index, (extent, src_gap, dst_gap) in enumerate(loops, start=1):
        src, dst = src + src_gap, dst + dst_gap
        yield Loop(extent, src, dst, axis=index == axis)
        src, dst = src * extent, dst * extent


def _span(run: int, nest: list[Loop], side: int) -> int:
    """The elements from the first of a box to its last, in the source (0) or the target (1)."""
    strides = [(loop.src_stride, loop.dst_stride)[side] for loop in nest]
    return run + sum((loop.extent - 1) * stride for loop, stride in zip(nest, strides, strict=True))
