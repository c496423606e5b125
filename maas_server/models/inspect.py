"""Finds out how a model's rows batch: which axis counts them, and where the sizes of its outputs come from.

Names of dimensions propose, runs decide: every proposal is tried with different numbers of rows and different sizes,
and only what the outputs' shapes confirm is believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from maas_server.errors import LoadError
from maas_server.models.config import ModelConfig
from maas_server.models.guard import ProbeGuard
from maas_server.models.padding import PadGroup
from maas_server.models.prober import Recipe, RunFailed, find_recipe, run
from maas_server.models.runner import Runner, Signature, TensorInfo
from maas_server.models.samples import Axes, Layout

Sources = tuple[tuple[int, int] | None, ...]

_BATCH_NAMES = frozenset({"batch", "batch_size", "batchsize", "b", "n", "bs"})
# Two numbers of rows that fixed dimensions rarely have.
_ROWS = (3, 5)


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """What the runs showed of one output."""

    shape: tuple[int, ...]
    sources: Sources
    batch_axis: int | None = None
    pad_group: int | None = None
    pad_axis: int | None = None
    any_shape: bool = False
    """Rank and sizes may be others in the next run."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """How a model batches, as far as names and runs tell."""

    layout: Layout
    outputs: tuple[OutputFacts, ...]
    recipe: Recipe | None
    """None when no example inputs were accepted: nothing could be tried."""
    reason: str = ""
    """Why rows cannot be batched; empty when they can."""


def inspect(
    runner: Runner,
    signature: Signature,
    config: ModelConfig,
    groups: Sequence[PadGroup],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Inspection:
    """Return how the loaded model batches. `clock`: as for `ProbeGuard`.

    Raises:
        LoadError: the configuration names inputs or axes that the model does not have.
    """
    hints = config.warmup.inputs
    _check_names("warmup.inputs", hints, signature.inputs)
    candidates = _candidates(signature, config)
    if not config.warmup.enabled:
        return _unproved(signature, groups, "warm-up is off, so nothing about its rows was tried")
    with ProbeGuard(runner, clock=clock) as guard:
        return _try(runner, signature, config, groups, candidates, guard)


def _try(
    runner: Runner,
    signature: Signature,
    config: ModelConfig,
    groups: Sequence[PadGroup],
    candidates: Sequence[Axes],
    guard: ProbeGuard,
) -> Inspection:
    """Return what the first batch axes tell that runs confirm, or what runs tell without any."""
    hints = config.warmup.inputs
    reason = "every dimension of its inputs is fixed" if not _varies(signature) else "no dimension counts rows"
    for axes in candidates:
        layout = make_layout(signature, axes, groups)
        try:
            recipe = find_recipe(runner, layout, hints, guard)
            outputs, reason = _observe(runner, recipe, groups)
        except RunFailed as failed:
            reason = f"rows do not run together: {failed}"
            continue
        reason = reason or _contradiction(signature, outputs, config.batching.batch_axis or {})
        if not reason:
            return Inspection(layout, outputs, recipe)
    plain = make_layout(signature, (None,) * len(signature.inputs), groups)
    try:
        recipe = find_recipe(runner, plain, hints, guard)
        outputs, _ = _observe(runner, recipe, groups)
    except RunFailed as failed:
        text = f"no example inputs were accepted (name some under warmup.inputs): {failed}"
        return _unproved(signature, groups, text)
    return Inspection(plain, outputs, recipe, reason)


def make_layout(signature: Signature, axes: Axes, groups: Sequence[PadGroup]) -> Layout:
    """Return which dimensions hang together when rows lie along `axes`."""
    padded = {place: f"pad {index}" for index, group in enumerate(groups) for place in group.places()}
    symbols = []
    for index, info in enumerate(signature.inputs):
        names = info.dim_names or ("",) * len(info.shape)
        symbols.append(
            tuple(
                ""
                if size >= 0 or dim == axes[index]
                else padded.get((index, dim)) or (f"name {names[dim]}" if names[dim] else f"dim {index}.{dim}")
                for dim, size in enumerate(info.shape)
            )
        )
    masks = frozenset(group.mask for group in groups if group.mask is not None)
    lengths = {group.lengths: f"pad {index}" for index, group in enumerate(groups) if group.lengths is not None}
    return Layout(signature, axes, tuple(symbols), masks, lengths)


def _varies(signature: Signature) -> bool:
    return any(size < 0 for info in signature.inputs for size in info.shape)


def _check_names(field: str, names: Iterable[str], known: Iterable[TensorInfo]) -> None:
    allowed = [info.name for info in known]
    for name in names:
        if name not in allowed:
            raise LoadError(f"{field}.{name}: the model has no such tensor; it has {', '.join(allowed)}")


def _candidates(signature: Signature, config: ModelConfig) -> list[Axes]:
    """Return possible batch axes, likeliest first."""
    configured = config.batching.batch_axis
    if configured is not None:
        _check_names("batching.batch_axis", configured, (*signature.inputs, *signature.outputs))
        for info in signature.inputs:
            axis = configured.get(info.name)
            if axis is not None and (axis >= len(info.shape) or info.shape[axis] >= 0):
                where = f"batching.batch_axis.{info.name}"
                raise LoadError(f"{where}: expected a dimension that varies, got {axis} of {list(info.shape)}")
        return [tuple(configured.get(info.name) for info in signature.inputs)]
    candidates = [_axes_of_name(signature, name) for name in _ranked_names(signature)]
    # Unnamed dimensions: the first one that varies, preferring the first dimension; then only the first dimension.
    first = tuple(next((dim for dim, size in enumerate(info.shape) if size < 0), None) for info in signature.inputs)
    leading = tuple(axis if axis == 0 else None for axis in first)
    candidates += [axes for axes in (first, leading) if 0 in axes]
    return list(dict.fromkeys(candidates))


def _contradiction(signature: Signature, outputs: Sequence[OutputFacts], configured: Mapping[str, int]) -> str:
    """Return how the configured batch axes of outputs differ from those that the runs showed; empty: not at all."""
    for info, facts in zip(signature.outputs, outputs, strict=True):
        if info.name in configured and configured[info.name] != facts.batch_axis:
            said = configured[info.name]
            return f"batching.batch_axis says {said} for output {info.name!r}, runs say {facts.batch_axis}"
    return ""


def _ranked_names(signature: Signature) -> list[str]:
    """Return the names of dimensions that lead at least one input, the likeliest batch dimension first."""
    leading: dict[str, int] = {}
    for info in signature.inputs:
        if info.dim_names and info.dim_names[0]:
            leading[info.dim_names[0]] = leading.get(info.dim_names[0], 0) + 1

    def likelihood(name: str) -> tuple[bool, int, int]:
        answered = sum(name in info.dim_names for info in signature.outputs)
        return name.lower() in _BATCH_NAMES, leading[name], answered

    return sorted(leading, key=likelihood, reverse=True)


def _axes_of_name(signature: Signature, name: str) -> Axes:
    return tuple(info.dim_names.index(name) if name in info.dim_names else None for info in signature.inputs)


def _observe(runner: Runner, recipe: Recipe, groups: Sequence[PadGroup]) -> tuple[tuple[OutputFacts, ...], str]:
    """Return the outputs' facts, and why the rows cannot be told apart in them (empty when they can)."""
    layout = recipe.layout
    signature = layout.signature
    count = len(signature.outputs)
    batched = any(axis is not None for axis in layout.batch_axes)
    rows = _ROWS if batched else (1, 1)
    small = [array.shape for array in run(runner, recipe.inputs(rows[0]), count)]
    large = [array.shape for array in run(runner, recipe.inputs(rows[1], seed=1), count)]
    followers = _follow_symbols(runner, recipe, rows[0], small)
    rows_from = next(((index, axis) for index, axis in enumerate(layout.batch_axes) if axis is not None), None)
    facts = []
    reason = ""
    for index, info in enumerate(signature.outputs):
        a, b = small[index], large[index]
        if len(a) != len(b):
            raise RunFailed(f"output {info.name!r} has {len(a)} dimensions in one run and {len(b)} in another")
        follows = [dim for dim in range(len(a)) if a[dim] != b[dim] and (a[dim], b[dim]) == rows]
        moves = [dim for dim in range(len(a)) if a[dim] != b[dim]]
        axis = follows[0] if len(follows) == 1 and moves == follows else None
        if batched and moves and axis is None:
            reason = f"output {info.name!r} changes shape with the number of rows from {list(a)} to {list(b)}"
        facts.append(_facts(layout, index, a, moves, axis, followers[index], rows_from))
    if batched and not reason and all(fact.batch_axis is None for fact in facts):
        reason = "no output has the rows that go in"
    return _with_padding(tuple(facts), layout, groups), reason


def _follow_symbols(
    runner: Runner, recipe: Recipe, rows: int, base: Sequence[tuple[int, ...]]
) -> list[dict[int, str | None]]:
    """Return, per output, the dimensions that change with a symbol: the symbol where they equal its size, else None."""
    found: list[dict[int, str | None]] = [{} for _ in base]
    for symbol in recipe.layout.free_symbols():
        size = recipe.sizes[symbol]
        for other in (2 * size, size + 8, size + 1):
            try:
                shapes = [array.shape for array in run(runner, recipe.resized(symbol, other).inputs(rows), len(base))]
            except RunFailed:
                continue
            for index, (before, after) in enumerate(zip(base, shapes, strict=True)):
                for dim, sizes in enumerate(zip(before, after, strict=False)):
                    if sizes == (size, other):
                        found[index][dim] = symbol
                    elif sizes[0] != sizes[1]:
                        found[index][dim] = None
            break
    return found


def _facts(
    layout: Layout,
    index: int,
    observed: tuple[int, ...],
    moves: Sequence[int],
    batch_axis: int | None,
    followers: Mapping[int, str | None],
    rows_from: tuple[int, int] | None,
) -> OutputFacts:
    declared = layout.signature.outputs[index].shape
    # A file may leave an output's rank out, which reads as rank 0, or declare a shape that its nodes do not keep to.
    known = declared if len(declared) == len(observed) else (-1,) * len(observed)
    shape = tuple(
        -1 if size != observed[dim] or dim in moves or dim in followers else size for dim, size in enumerate(known)
    )
    sources: list[tuple[int, int] | None] = []
    for dim in range(len(observed)):
        symbol = followers.get(dim)
        if dim == batch_axis:
            sources.append(rows_from)
        elif symbol is not None and dim not in moves:
            sources.append(_place(layout, symbol))
        else:
            sources.append(None)
    # The rank of one run is no promise where the file gives none.
    any_shape = batch_axis is None and (not declared or len(declared) != len(observed))
    return OutputFacts(shape, tuple(sources), batch_axis, any_shape=any_shape)


def _place(layout: Layout, symbol: str) -> tuple[int, int]:
    """Return the first input dimension of `symbol`, one that a request cannot leave out where there is one."""
    places = [(i, dim) for i, names in enumerate(layout.symbols) for dim, name in enumerate(names) if name == symbol]
    return next((place for place in places if place[0] not in layout.masks), places[0])


def _with_padding(
    outputs: tuple[OutputFacts, ...], layout: Layout, groups: Sequence[PadGroup]
) -> tuple[OutputFacts, ...]:
    """Return the outputs with the axis along which each is cut back to a row's own length."""
    found = list(outputs)
    for number, group in enumerate(groups):
        places = set(group.places())
        for index, facts in enumerate(outputs):
            if group.outputs is not None:
                axis = group.outputs.get(index)
                if axis is not None and axis >= len(facts.shape):
                    name = layout.signature.outputs[index].name
                    raise LoadError(
                        f"padding.{number}.outputs.{name}: the output has {len(facts.shape)} dimensions, got {axis}"
                    )
            else:
                axis = next((dim for dim, source in enumerate(facts.sources) if source in places), None)
            if axis is not None and axis != facts.batch_axis:
                found[index] = replace(found[index], pad_group=number, pad_axis=axis)
    return tuple(found)


def _unproved(signature: Signature, groups: Sequence[PadGroup], reason: str) -> Inspection:
    layout = make_layout(signature, (None,) * len(signature.inputs), groups)
    outputs = tuple(
        OutputFacts(info.shape, (None,) * len(info.shape), any_shape=not info.shape) for info in signature.outputs
    )
    return Inspection(layout, outputs, None, reason)
