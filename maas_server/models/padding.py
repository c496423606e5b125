"""Resolves the `padding` of a maas.yaml against a model's signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maas_server.errors import LoadError
from maas_server.models.config import PaddingConfig
from maas_server.models.runner import Signature, TensorInfo


@dataclass(frozen=True, slots=True)
class PadGroup:
    """Inputs whose padded axes have one length in common, by their indices in the signature."""

    axes: Mapping[int, int]
    """Input to padded axis, the mask's included."""
    values: Mapping[int, float | int]
    """Input to what stands in the padding."""
    buckets: tuple[int, ...]
    outputs: Mapping[int, int] | None
    """Output to the axis that is cut back; None: found out by runs."""
    mask: int | None = None
    lengths: int | None = None

    def places(self) -> tuple[tuple[int, int], ...]:
        """Return (input, axis) of every padded axis."""
        return tuple(self.axes.items())


def resolve_padding(configs: Sequence[PaddingConfig], signature: Signature) -> tuple[PadGroup, ...]:
    """Return the groups with names resolved to indices.

    Raises:
        LoadError: an input, output or axis does not exist, does not vary, or is in two groups.
    """
    groups = []
    taken: set[int] = set()
    for number, config in enumerate(configs):
        group = _resolve(config, signature, f"padding.{number}")
        members = {*group.axes, *({group.lengths} if group.lengths is not None else ())}
        twice = sorted(members & taken)
        if twice:
            raise LoadError(f"padding.{number}: input {signature.inputs[twice[0]].name!r} is in another group already")
        taken |= members
        groups.append(group)
    return tuple(groups)


def _resolve(config: PaddingConfig, signature: Signature, field: str) -> PadGroup:
    axes: dict[int, int] = {}
    values: dict[int, float | int] = {}
    for name, axis in config.inputs.items():
        index = _find(signature.inputs, name, f"{field}.inputs")
        info = signature.inputs[index]
        if axis >= len(info.shape) or info.shape[axis] >= 0:
            raise LoadError(
                f"{field}.inputs.{name}: expected a dimension that varies, got {axis} of {list(info.shape)}"
            )
        if info.datatype == "BYTES":
            raise LoadError(f"{field}.inputs.{name}: BYTES inputs cannot be padded")
        axes[index] = axis
        values[index] = _pad_value(config.values.get(name, config.value), info, f"{field}.inputs.{name}")
    mask = lengths = None
    if config.mask is not None:
        mask = _find(signature.inputs, config.mask, f"{field}.mask")
        axes[mask] = axes.get(mask, _mask_axis(signature.inputs[mask], signature, axes, f"{field}.mask"))
        values[mask] = 0
    if config.lengths is not None:
        lengths = _find(signature.inputs, config.lengths, f"{field}.lengths")
        if lengths in axes or len(signature.inputs[lengths].shape) > 2:
            raise LoadError(f"{field}.lengths: expected an input with one element per row, not padded itself")
    outputs = None
    if config.outputs is not None:
        outputs = {_find(signature.outputs, name, f"{field}.outputs"): axis for name, axis in config.outputs.items()}
    return PadGroup(axes, values, config.buckets, outputs, mask, lengths)


def _find(infos: Sequence[TensorInfo], name: str, field: str) -> int:
    for index, info in enumerate(infos):
        if info.name == name:
            return index
    raise LoadError(f"{field}: the model has no {name!r}; it has {', '.join(info.name for info in infos)}")


def _mask_axis(mask: TensorInfo, signature: Signature, axes: Mapping[int, int], field: str) -> int:
    """Return the mask's dimension of the group's length: of the same name, else at the same place, else the last."""
    names = {
        signature.inputs[index].dim_names[axis] for index, axis in axes.items() if signature.inputs[index].dim_names
    } - {""}
    varying = [dim for dim, size in enumerate(mask.shape) if size < 0]
    named = [dim for dim in varying if mask.dim_names and mask.dim_names[dim] in names]
    placed = [dim for dim in varying if dim in axes.values()]
    found = named or placed or varying[-1:]
    if not found:
        raise LoadError(f"{field}: {mask.name!r} has no dimension that varies: {list(mask.shape)}")
    return found[0]


def _pad_value(value: float | int, info: TensorInfo, field: str) -> float | int:
    """Return the value if the input's datatype can hold it."""
    if info.datatype in ("FP16", "BF16", "FP32", "FP64"):
        return float(value)
    low, high = (0, 1) if info.datatype == "BOOL" else _integer_range(info.datatype)
    if value != int(value) or not low <= value <= high:
        raise LoadError(f"{field}: expected a padding value that {info.datatype} can hold, got {value}")
    return int(value)


def _integer_range(datatype: str) -> tuple[int, int]:
    unsigned = datatype.startswith("U")
    bits = int(datatype.removeprefix("U").removeprefix("INT"))
    return (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
