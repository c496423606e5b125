"""Example inputs for the runs at load: seeded, tame enough for real models, telling enough for the check of rows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from maas_server.models.config import WarmupInput
from maas_server.models.runner import NUMPY_DTYPES, Array, Signature, TensorInfo

Axes = tuple[int | None, ...]

# One row's floats are this many times larger than the next one's: whatever is computed over a whole batch, such as
# the scale of a dynamically quantized tensor, then shows in the small rows. Neighbours differ the most.
MAGNITUDES = (1.0, 64.0, 4.0, 16.0)

# The rate that most models of speech want, in the inputs that say that they are one.
_RATE = 16000
_RATE_NAMES = frozenset({"sr", "fs", "rate", "samplerate"})

_MAX_RANK = 16

# The most elements that integers shared by the rows may ask for, should the model take them for sizes.
MAX_ELEMENTS = 1 << 24

# Each level is tamer than the one before; a model is probed with the first that it runs.
LEVELS = 6

_WORDS = (b"red", b"green", b"blue", b"a", b"", b"one two", b"7", b"0.5")


@dataclass(frozen=True, slots=True)
class Layout:
    """How the dimensions of a signature hang together: equal symbols have equal sizes."""

    signature: Signature
    batch_axes: Axes
    symbols: tuple[tuple[str, ...], ...]
    """Per input and dimension: its symbol; "" for a fixed dimension and for the batch axis."""
    masks: frozenset[int] = frozenset()
    """Inputs that the server fills with ones where a row has elements."""
    lengths: Mapping[int, str] = field(default_factory=dict)
    """Inputs that the server fills with rows' lengths, and the symbol that they count."""

    def free_symbols(self) -> tuple[str, ...]:
        """Return the symbols, each once, in the order of the signature."""
        return tuple(dict.fromkeys(symbol for symbols in self.symbols for symbol in symbols if symbol))


def make_inputs(
    layout: Layout,
    rows: int,
    sizes: Mapping[str, int],
    level: int,
    hints: Mapping[str, WarmupInput],
    seed: int = 0,
) -> tuple[Array, ...]:
    """Return one array per input: `rows` along its batch axis, `sizes` along its free dimensions."""
    rng = np.random.default_rng(seed)
    shared = _shared_integer(layout, sizes, level)
    return tuple(
        _make(layout, index, rows, sizes, level, hints.get(info.name), rng, shared)
        for index, info in enumerate(layout.signature.inputs)
    )


def largest_input(layout: Layout, sizes: Mapping[str, int]) -> int:
    """Return the most elements that one row, or an input without rows, has."""
    shapes = (_shape(layout, index, 1, sizes) for index in range(len(layout.signature.inputs)))
    return max(map(math.prod, shapes), default=0)


def take_rows(arrays: Sequence[Array], axes: Axes, rows: slice) -> tuple[Array, ...]:
    """Return the arrays with only `rows` along their batch axes, dense again."""
    taken = []
    for array, axis in zip(arrays, axes, strict=True):
        if axis is None:
            taken.append(array)
        else:
            # ascontiguousarray would turn rank 0 into rank 1; a batch axis rules that out.
            taken.append(np.ascontiguousarray(array[(slice(None),) * axis + (rows,)]))
    return tuple(taken)


def _make(
    layout: Layout,
    index: int,
    rows: int,
    sizes: Mapping[str, int],
    level: int,
    hint: WarmupInput | None,
    rng: np.random.Generator,
    shared: int,
) -> Array:
    info = layout.signature.inputs[index]
    axis = layout.batch_axes[index]
    shape = _shape(layout, index, rows, sizes)
    dtype = NUMPY_DTYPES[info.datatype]
    if index in layout.lengths:
        return np.full(shape, sizes[layout.lengths[index]], dtype)
    if index in layout.masks:
        return _cast(np.ones(shape), info.datatype)
    if hint is not None and hint.value is not None:
        return _cast(np.full(shape, hint.value), info.datatype)
    if hint is not None and hint.low is not None and hint.high is not None:
        if _is_float(info.datatype):
            return _cast(rng.uniform(hint.low, hint.high, shape), info.datatype)
        return rng.integers(int(hint.low), int(hint.high), shape, endpoint=True).astype(dtype)
    if axis is None and _may_be_a_size(info):
        count = math.prod(shape)
        if level == 5 and count <= _MAX_RANK:
            # Axes, each of which may be named once.
            return np.arange(count, dtype=dtype).reshape(shape)
        value = _RATE if level == 1 and _is_rate(info, count) else shared
        return np.full(shape, value).astype(dtype)
    return _values(info, shape, axis, level, rng)


def _shape(layout: Layout, index: int, rows: int, sizes: Mapping[str, int]) -> tuple[int, ...]:
    axis = layout.batch_axes[index]
    dims = zip(layout.symbols[index], layout.signature.inputs[index].shape, strict=True)
    return tuple(
        rows if dim == axis else (sizes[symbol] if symbol else size) for dim, (symbol, size) in enumerate(dims)
    )


def _shared_integer(layout: Layout, sizes: Mapping[str, int], level: int) -> int:
    """Return the value of integers that all rows share: sizes, axes and counts, for all that is known.

    As sizes they multiply: so many 8s as an index has elements could ask for any amount of memory.
    """
    value = (1, 1, 0, 2, 8, 0)[level]
    if value < 2:
        return value
    elements = largest_input(layout, sizes)
    for index, info in enumerate(layout.signature.inputs):
        if layout.batch_axes[index] is None and _may_be_a_size(info):
            for _ in range(math.prod(_shape(layout, index, 1, sizes))):
                elements *= value
                if elements > MAX_ELEMENTS:
                    return 1
    return value


def _may_be_a_size(info: TensorInfo) -> bool:
    dtype = NUMPY_DTYPES[info.datatype]
    return dtype.kind in "iu" and dtype.itemsize > 1 and info.datatype != "BF16" and "mask" not in info.name.lower()


def _is_rate(info: TensorInfo, elements: int) -> bool:
    return elements == 1 and not _RATE_NAMES.isdisjoint(re.split(r"[^a-z]+", info.name.lower()))


def _values(info: TensorInfo, shape: tuple[int, ...], axis: int | None, level: int, rng: np.random.Generator) -> Array:
    dtype = NUMPY_DTYPES[info.datatype]
    if info.datatype == "BYTES":
        flat = np.empty(int(np.prod(shape)), object)
        flat[:] = [_WORDS[choice] for choice in rng.integers(0, len(_WORDS), flat.size)]
        return flat.reshape(shape)
    if _is_float(info.datatype):
        values = rng.standard_normal(shape) if level < 2 else rng.random(shape)
        if axis is not None and level == 0:
            scale = np.resize(np.array(MAGNITUDES), shape[axis])
            values = values * scale.reshape([-1 if dim == axis else 1 for dim in range(len(shape))])
        return _cast(values, info.datatype)
    if info.datatype == "BOOL" or "mask" in info.name.lower():
        mask: Array = rng.integers(0, 2, shape) if level < 2 else np.ones(shape)
        if len(shape) > 1:
            # A mask that hides a whole row has no meaning to most models.
            mask[..., 0] = 1
        return mask.astype(dtype)
    if axis is None:
        return np.ones(shape, dtype)
    if level < 3:
        return rng.integers(0, (8, 2, 2)[level], shape).astype(dtype)
    return np.full(shape, (1, 0, 0)[level - 3]).astype(dtype)


def _is_float(datatype: str) -> bool:
    return datatype in ("FP16", "BF16", "FP32", "FP64")


def _cast(values: Array, datatype: str) -> Array:
    if datatype != "BF16":
        return values.astype(NUMPY_DTYPES[datatype])
    # Dropping the low half rounds towards zero: good enough for examples.
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
