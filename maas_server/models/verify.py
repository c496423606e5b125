"""The check at load: does a row's answer depend on its neighbours, or on the padding that they bring?

Random rows of very different magnitudes run alone and in batches of several sizes; the answers must agree. Models
that agree differ by rounding only (4e-7 at most in the ones measured), those that quantize a whole batch with one
scale by 0.5, so the tolerance between them is not delicate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from maas_server.models.inspect import OutputFacts
from maas_server.models.padding import PadGroup
from maas_server.models.prober import Recipe, RunFailed, run
from maas_server.models.runner import Array, Runner, Signature
from maas_server.models.samples import take_rows

# Largest difference allowed, relative to the largest magnitude of the row's output. The short formats round each
# step of the computation, to 2^-11 and 2^-8.
TOLERANCES = {"FP16": 1e-2, "BF16": 5e-2}
DEFAULT_TOLERANCE = 1e-3

_BATCH_SIZES = (2, 5, 8)


@dataclass(frozen=True, slots=True)
class RowCheck:
    """What a check saw."""

    difference: float
    """The largest relative difference seen; infinite where shapes or exact values differ. -1: nothing compared."""
    reason: str = ""
    """What is wrong; empty when rows are independent."""


def check_rows(
    runner: Runner,
    recipe: Recipe,
    outputs: Sequence[OutputFacts],
    max_batch_size: int,
    *,
    budget: float,
    clock: Callable[[], float] = time.monotonic,
) -> RowCheck:
    """Compare rows alone with the same rows in batches; `budget` seconds bound it once two sizes were tried."""
    axes = recipe.layout.batch_axes
    signature = recipe.layout.signature
    sizes = sorted({*_BATCH_SIZES, max_batch_size} if max_batch_size > _BATCH_SIZES[-1] else set(_BATCH_SIZES))
    deadline = clock() + budget
    worst = -1.0
    for number, size in enumerate(sizes):
        if number >= 2 and clock() > deadline:
            break
        inputs = recipe.inputs(size, seed=size)
        try:
            together = run(runner, inputs, len(signature.outputs))
        except RunFailed as failed:
            return RowCheck(worst, f"a batch of {size} rows fails: {failed}")
        for row in sorted({0, size // 2, size - 1}):
            try:
                alone = run(runner, take_rows(inputs, axes, slice(row, row + 1)), len(signature.outputs))
            except RunFailed as failed:
                return RowCheck(worst, f"a row fails alone that runs in a batch of {size}: {failed}")
            shared = [_row(array, facts, row) for array, facts in zip(together, outputs, strict=True)]
            check = compare(signature, alone, shared, f"in a batch of {size}")
            worst = max(worst, check.difference)
            if check.reason:
                return RowCheck(worst, f"a row's answer depends on its neighbours: {check.reason}")
    return RowCheck(worst)


def check_padding(
    runner: Runner, recipe: Recipe, outputs: Sequence[OutputFacts], groups: Sequence[PadGroup], group: int
) -> RowCheck:
    """Compare a short row alone and unpadded with the same row padded beside a longer one."""
    signature = recipe.layout.signature
    symbol = f"pad {group}"
    bucket = next((size for size in groups[group].buckets if size > 1), groups[group].buckets[-1])
    length = max(1, bucket * 2 // 3)
    if length == bucket:
        return RowCheck(-1.0)
    axes = recipe.layout.batch_axes
    short = recipe.resized(symbol, length).inputs(1, seed=length)
    long = recipe.resized(symbol, bucket).inputs(1, seed=bucket)
    padded = pad_inputs(short, groups[group], bucket)
    both = [
        array if axis is None else np.concatenate([array, other], axis)
        for array, other, axis in zip(padded, long, axes, strict=True)
    ]
    try:
        alone = run(runner, short, len(signature.outputs))
        together = run(runner, both, len(signature.outputs))
    except RunFailed as failed:
        return RowCheck(-1.0, f"rows of lengths {length} and {bucket} do not run together: {failed}")
    cut = []
    for array, facts in zip(together, outputs, strict=True):
        row = _row(array, facts, 0)
        if facts.pad_group == group and facts.pad_axis is not None:
            row = row[(slice(None),) * facts.pad_axis + (slice(0, length),)]
        cut.append(row)
    check = compare(signature, alone, cut, f"padded from {length} to {bucket}")
    return RowCheck(check.difference, f"padding changes the answer: {check.reason}" if check.reason else "")


def pad_inputs(inputs: Sequence[Array], group: PadGroup, size: int) -> tuple[Array, ...]:
    """Return the inputs with the group's axes padded to `size`."""
    padded = list(inputs)
    for index, axis in group.axes.items():
        array = inputs[index]
        widths = [(0, size - array.shape[axis]) if dim == axis else (0, 0) for dim in range(array.ndim)]
        value = group.values[index]
        padded[index] = np.pad(array, widths, constant_values=array.dtype.type(value))
    return tuple(padded)


def compare(signature: Signature, alone: Sequence[Array], company: Sequence[Array], where: str) -> RowCheck:
    """Compare the outputs of one row in two runs; `where` says in the reason what the second run was."""
    worst = -1.0
    for info, one, other in zip(signature.outputs, alone, company, strict=True):
        if one.shape != other.shape:
            return RowCheck(
                float("inf"), f"output {info.name!r} has shape {list(one.shape)} alone and {list(other.shape)} {where}"
            )
        difference = relative_difference(info.datatype, one, other)
        worst = max(worst, difference)
        if difference > TOLERANCES.get(info.datatype, DEFAULT_TOLERANCE):
            return RowCheck(worst, f"output {info.name!r} moves by {difference:.2g} of its magnitude {where}")
    return RowCheck(worst)


def relative_difference(datatype: str, one: Array, other: Array) -> float:
    """Return the largest difference, relative to the largest magnitude of either; NaN equals NaN, inf equals inf."""
    if one.size == 0:
        return 0.0
    if datatype in ("FP16", "FP32", "FP64", "BF16"):
        a, b = _as_float64(datatype, one), _as_float64(datatype, other)
        finite = np.isfinite(a) & np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return float("inf")
        scale = max(np.abs(a[finite]).max(initial=0.0), np.abs(b[finite]).max(initial=0.0))
        return float(np.abs(a[finite] - b[finite]).max(initial=0.0) / scale) if scale > 0 else 0.0
    if datatype in ("INT8", "UINT8"):
        # Mostly quantized values, where the last step may round either way.
        return 0.0 if np.abs(one.astype(np.int16) - other.astype(np.int16)).max() <= 1 else float("inf")
    return 0.0 if np.array_equal(one, other) else float("inf")


def _as_float64(datatype: str, array: Array) -> Array:
    if datatype == "BF16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float64)


def _row(array: Array, facts: OutputFacts, row: int) -> Array:
    """Return one row's part of a batch's output; an output without batch axis belongs to every row."""
    if facts.batch_axis is None:
        return array
    return array[(slice(None),) * facts.batch_axis + (slice(row, row + 1),)]
