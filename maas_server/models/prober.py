"""Runs a model on example inputs and finds the first that it accepts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from maas_server.errors import error_text
from maas_server.models.config import WarmupInput
from maas_server.models.runner import Array, RunBatch, Runner
from maas_server.models.samples import LEVELS, Layout, make_inputs

# Tried for free dimensions that nothing says a size for: tokens and features, then images, then audio.
_SIZES = (8, 32, 1, 64, 224, 512, 576, 16000)
_MAX_ELEMENTS = 1 << 24


class RunFailed(Exception):
    """The model did not run on these inputs; the message says why."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Inputs that the model runs on: how to make them again, for any number of rows."""

    layout: Layout
    sizes: Mapping[str, int]
    level: int
    hints: Mapping[str, WarmupInput]

    def inputs(self, rows: int, *, seed: int = 0) -> tuple[Array, ...]:
        """Return example inputs of `rows` rows."""
        return make_inputs(self.layout, rows, self.sizes, self.level, self.hints, seed)

    def resized(self, symbol: str, size: int) -> Recipe:
        """Return the same recipe with another size for `symbol`."""
        return replace(self, sizes={**self.sizes, symbol: size})


def run(runner: Runner, inputs: Sequence[Array], outputs: int) -> list[Array]:
    """Run once on memory of the moment.

    Raises:
        RunFailed: the runner raised, whatever it was.
    """
    try:
        return list(runner.run(RunBatch(0, tuple(inputs), (None,) * outputs)))
    # A runner may raise anything; here every failure means the same: these inputs do not do.
    except Exception as error:
        raise RunFailed(error_text(error)) from error


def find_recipe(runner: Runner, layout: Layout, hints: Mapping[str, WarmupInput]) -> Recipe:
    """Return the first recipe that runs, with one row and, where there is a batch axis, with several.

    Raises:
        RunFailed: none does; with what the model said to the last one.
    """
    error: RunFailed | None = None
    hinted = _hinted_sizes(layout, hints)
    free = [symbol for symbol in layout.free_symbols() if symbol not in hinted]
    count = len(layout.signature.outputs)
    batched = any(axis is not None for axis in layout.batch_axes)
    for size in _SIZES if free else _SIZES[:1]:
        sizes = {**dict.fromkeys(free, size), **hinted}
        if _elements(layout, sizes) > _MAX_ELEMENTS:
            continue
        for level in range(LEVELS):
            recipe = Recipe(layout, sizes, level, hints)
            try:
                for rows in (1, 5) if batched else (1,):
                    run(runner, recipe.inputs(rows), count)
            except RunFailed as failed:
                error = failed
            else:
                return recipe
    raise error or RunFailed("its fixed dimensions are too large to try")


def _hinted_sizes(layout: Layout, hints: Mapping[str, WarmupInput]) -> dict[str, int]:
    sizes = {}
    for index, info in enumerate(layout.signature.inputs):
        hint = hints.get(info.name)
        if hint is None or hint.shape is None or len(hint.shape) != len(info.shape):
            continue
        for symbol, size in zip(layout.symbols[index], hint.shape, strict=True):
            if symbol:
                sizes[symbol] = size
    return sizes


def _elements(layout: Layout, sizes: Mapping[str, int]) -> int:
    return max(
        (
            math.prod(
                1 if dim == layout.batch_axes[index] else (sizes[symbol] if symbol else size)
                for dim, (symbol, size) in enumerate(zip(layout.symbols[index], info.shape, strict=True))
            )
            for index, info in enumerate(layout.signature.inputs)
        ),
        default=0,
    )
