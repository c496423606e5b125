"""Runs a model on example inputs and finds the first that it accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from maas_server.errors import error_text
from maas_server.models.config import WarmupInput
from maas_server.models.guard import ProbeGuard
from maas_server.models.runner import Array, RunBatch, Runner, Signature
from maas_server.models.samples import LEVELS, MAX_ELEMENTS, Layout, largest_input, make_inputs

# Tried for free dimensions that nothing says a size for: tokens and features, then images, then audio.
_SIZES = (8, 32, 1, 64, 224, 512, 576, 16000)


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


def find_recipe(runner: Runner, layout: Layout, hints: Mapping[str, WarmupInput], guard: ProbeGuard) -> Recipe:
    """Return the first recipe that runs, with one row and, where there is a batch axis, with several.

    Of those with the same sizes, one whose outputs have as many dimensions as the file declares goes first.

    Raises:
        RunFailed: none does, and what the model said to the last one; or the guard is exhausted.
    """
    error: RunFailed | None = None
    unusual: Recipe | None = None
    hinted = _hinted_sizes(layout, hints)
    free = [symbol for symbol in layout.free_symbols() if symbol not in hinted]
    count = len(layout.signature.outputs)
    rows = (1, 5) if any(axis is not None for axis in layout.batch_axes) else (1,)
    growth = _Growth(guard)
    for size in _SIZES if free else _SIZES[:1]:
        sizes = {**dict.fromkeys(free, size), **hinted}
        if largest_input(layout, sizes) > MAX_ELEMENTS or not growth.affords(size):
            continue
        for level in range(LEVELS):
            recipe = Recipe(layout, sizes, level, hints)
            try:
                results = [run(runner, recipe.inputs(number), count) for number in rows]
            except RunFailed as failed:
                error = failed
                results = []
            if guard.exhausted():
                raise RunFailed(guard.reason)
            if results and _as_declared(layout.signature, results[0]):
                return recipe
            if results and unusual is None:
                unusual = recipe
        if unusual is not None:
            return unusual
        growth.note(size)
    raise error or RunFailed("its fixed dimensions are too large to try")


def _as_declared(signature: Signature, outputs: Sequence[Array]) -> bool:
    # A file may leave an output's rank out, which reads as rank 0.
    return all(
        not info.shape or len(info.shape) == array.ndim for info, array in zip(signature.outputs, outputs, strict=True)
    )


class _Growth:
    """Foretells the memory of runs with larger dimensions from that of smaller ones."""

    def __init__(self, guard: ProbeGuard) -> None:
        self._guard = guard
        self._first = -1
        """What the process grew by in the runs of the first size: much of it does not depend on sizes."""
        self._largest = 0
        self._grown = 0

    def note(self, size: int) -> None:
        """Take in the memory of all runs so far, the last of which had dimensions of `size`."""
        self._grown = self._guard.growth()
        if self._first < 0:
            self._first = self._grown
        self._largest = max(self._largest, size)

    def affords(self, size: int) -> bool:
        """Whether dimensions of `size` fit, should memory grow with their square, as attention's does."""
        if size <= self._largest or self._first < 0:
            return True
        return self._guard.affords(int((self._grown - self._first) * (size / self._largest) ** 2))


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
