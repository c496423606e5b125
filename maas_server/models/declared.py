"""Inputs and outputs as a configuration declares them, held against those that the model file has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from maas_server.errors import LoadError
from maas_server.models.runner import Signature, TensorInfo

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeclaredTensor:
    """One input or output. Both shapes are whole: the batch dimension, where there is one, is their first."""

    name: str
    datatype: str
    wire_shape: Shape
    """What clients send or get; -1 for a dimension that may vary."""
    shape: Shape
    """What the model takes or gives; as many dimensions vary as in `wire_shape`, in the same order."""


def reshape_problem(wire_shape: Shape, shape: Shape) -> str:
    """Return why tensors of one shape cannot be seen as of the other; empty when they can.

    Both must hold the same number of elements whatever the varying dimensions are, so what stands between two of those
    must have equal products.
    """
    said, got = _products(wire_shape), _products(shape)
    if len(said) != len(got):
        return f"{len(said) - 1} dimensions vary in {list(wire_shape)}, and {len(got) - 1} in {list(shape)}"
    if said != got:
        return f"{list(wire_shape)} and {list(shape)} do not have the same number of elements"
    return ""


def to_model_shape(declared: DeclaredTensor, wire: Sequence[int]) -> Shape:
    """Return the model's shape for a tensor that a client sends with shape `wire`, which must fit."""
    varying = iter(size for size, said in zip(wire, declared.wire_shape, strict=True) if said < 0)
    return tuple(next(varying) if size < 0 else size for size in declared.shape)


def fit_inputs(declared: Sequence[DeclaredTensor], signature: Signature, *, batched: bool) -> Signature:
    """Return the signature with the declared sizes in place of varying ones; nothing declared: as it is.

    `batched`: the first dimension of each tensor counts rows.

    Raises:
        LoadError: an input is missing on either side, or differs; the message names it, and both sides.
    """
    if not declared:
        if batched:
            for info in signature.inputs:
                _check_batch_dimension("input", info)
        return signature
    known = {each.name: each for each in declared}
    _check_names("input", known, signature.inputs)
    missing = [info.name for info in signature.inputs if info.name not in known]
    if missing:
        raise LoadError(f"input {missing[0]!r}: the model has it, config.pbtxt does not list it")
    inputs = tuple(_fit("input", info, known[info.name], batched) for info in signature.inputs)
    return Signature(inputs, signature.outputs)


def fit_outputs(
    declared: Sequence[DeclaredTensor], outputs: Sequence[TensorInfo], *, batched: bool, observed: bool
) -> tuple[TensorInfo, ...]:
    """Return the outputs with the declared sizes in place of varying ones.

    `observed`: runs showed the outputs' ranks; a file may leave them out.

    Raises:
        LoadError: an output is missing, or differs.
    """
    known = {each.name: each for each in declared}
    _check_names("output", known, outputs)
    fitted = []
    for info in outputs:
        said = known.get(info.name)
        if said is not None and not observed and not info.shape:
            info = replace(info, shape=said.shape, dim_names=())
        fitted.append(info if said is None else _fit("output", info, said, batched))
    return tuple(fitted)


def wire_signature(
    signature: Signature, inputs: Sequence[DeclaredTensor], outputs: Sequence[DeclaredTensor]
) -> Signature:
    """Return the signature as clients see it."""
    return Signature(_seen(signature.inputs, inputs), _seen(signature.outputs, outputs))


def wire_shapes(declared: Sequence[DeclaredTensor]) -> dict[str, Shape]:
    """Return the clients' shapes of those tensors that have another shape in the model."""
    return {each.name: each.wire_shape for each in declared if each.wire_shape != each.shape}


def _products(shape: Shape) -> list[int]:
    """Return the number of elements before, between and after the varying dimensions."""
    products = [1]
    for size in shape:
        if size < 0:
            products.append(1)
        else:
            products[-1] = math.prod((products[-1], size))
    return products


def _check_names(kind: str, names: Iterable[str], infos: Sequence[TensorInfo]) -> None:
    has = [info.name for info in infos]
    for name in names:
        if name not in has:
            raise LoadError(f"{kind} {name!r}: config.pbtxt lists it, the model has {', '.join(map(repr, has))}")


def _check_batch_dimension(kind: str, info: TensorInfo) -> None:
    if not info.shape or info.shape[0] >= 0:
        raise LoadError(
            f"{kind} {info.name!r}: max_batch_size wants a first dimension that varies, the model has "
            f"{list(info.shape)}; with max_batch_size 0 it is served as it is"
        )


def _fit(kind: str, info: TensorInfo, said: DeclaredTensor, batched: bool) -> TensorInfo:
    if info.datatype != said.datatype:
        raise LoadError(f"{kind} {info.name!r}: config.pbtxt says {said.datatype}, the model has {info.datatype}")
    if batched:
        _check_batch_dimension(kind, info)
    fits = len(info.shape) == len(said.shape) and all(
        size < 0 or size == wanted for size, wanted in zip(info.shape, said.shape, strict=True)
    )
    if not fits:
        text = f"{kind} {info.name!r}: config.pbtxt says {list(said.shape)}"
        if batched:
            text += " (max_batch_size and dims)"
        raise LoadError(f"{text}, the model has {list(info.shape)}")
    if info.shape == said.shape:
        return info
    names = tuple("" if size >= 0 else name for size, name in zip(said.shape, info.dim_names, strict=False))
    return replace(info, shape=said.shape, dim_names=names if any(names) else ())


def _seen(infos: Sequence[TensorInfo], declared: Sequence[DeclaredTensor]) -> tuple[TensorInfo, ...]:
    shapes = wire_shapes(declared)
    return tuple(
        replace(info, shape=shapes[info.name], dim_names=()) if info.name in shapes else info for info in infos
    )
