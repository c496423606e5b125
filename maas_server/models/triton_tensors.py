"""The inputs, outputs and warm-up samples of a Triton model configuration, checked as far as the text alone allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from maas_server._stubs.inference import model_config_pb2
from maas_server.models.declared import DeclaredTensor, Shape, reshape_problem
from maas_server.models.triton_model import Fill, WarmupSample, WarmupTensor

_MAX_RANK = 16
_MAX_DIM = 1 << 30
_MAX_SAMPLE_ELEMENTS = 1 << 26
_MAX_COUNT = 100_000

Refuse = Callable[[str, str], None]


def datatype_name(number: int) -> str:
    """Return the Open Inference Protocol's name of a TYPE_*; "" for TYPE_INVALID and for numbers that have none."""
    if number == model_config_pb2.TYPE_STRING:
        return "BYTES"
    if number == model_config_pb2.TYPE_INVALID or number not in model_config_pb2.DataType.values():
        return ""
    return model_config_pb2.DataType.Name(number).removeprefix("TYPE_")


def declared_tensors(
    kind: str, messages: Iterable[Any], *, batched: bool, refuse: Refuse
) -> tuple[DeclaredTensor, ...]:
    """Return the inputs or outputs; what is wrong with them goes to `refuse`."""
    found: dict[str, DeclaredTensor] = {}
    for index, message in enumerate(messages):
        field = f"{kind}[{index}]"
        if not message.name:
            refuse(f"{field}.name", "required")
            continue
        if message.name in found:
            refuse(f"{field}.name", f"{message.name!r} is there twice")
        datatype = datatype_name(message.data_type)
        if not datatype:
            refuse(f"{field}.data_type", f"required for {kind} {message.name!r}")
        dims = _dims(message.dims, f"{field}.dims", refuse)
        shape = dims
        if message.HasField("reshape"):
            shape = _dims(message.reshape.shape, f"{field}.reshape.shape", refuse)
            if problem := reshape_problem(dims, shape):
                refuse(f"{field}.reshape", problem)
                shape = dims
        batch: Shape = (-1,) if batched else ()
        found[message.name] = DeclaredTensor(message.name, datatype, batch + dims, batch + shape)
    return tuple(found.values())


def warmup_samples(
    messages: Sequence[model_config_pb2.ModelWarmup], max_batch_size: int, refuse: Refuse
) -> tuple[WarmupSample, ...]:
    """Return the samples; what is wrong with them goes to `refuse`."""
    samples = []
    for index, message in enumerate(messages):
        field = f"model_warmup[{index}]"
        most = max(1, max_batch_size)
        if message.batch_size > most:
            refuse(f"{field}.batch_size", f"expected at most {most}, got {message.batch_size}")
        if message.count > _MAX_COUNT:
            refuse(f"{field}.count", f"expected at most {_MAX_COUNT}, got {message.count}")
        rows = max(1, message.batch_size) if max_batch_size else 0
        inputs = tuple(
            _warmup_tensor(name, message.inputs[name], rows, f"{field}.inputs[{name}]", refuse)
            for name in sorted(message.inputs)
        )
        samples.append(WarmupSample(message.name or str(index), rows, inputs, message.count or 1))
    return tuple(samples)


def inside(name: str) -> bool:
    """Whether a file name from a configuration stays in the folder that it is relative to."""
    parts = name.split("/")
    return bool(name) and "\\" not in name and not any(part in ("", ".", "..") for part in parts)


def _warmup_tensor(
    name: str, message: model_config_pb2.ModelWarmup.Input, rows: int, field: str, refuse: Refuse
) -> WarmupTensor:
    datatype = datatype_name(message.data_type)
    if not datatype:
        refuse(f"{field}.data_type", "required")
    shape = _dims(message.dims, f"{field}.dims", refuse, varying=False)
    if math.prod(shape) * max(1, rows) > _MAX_SAMPLE_ELEMENTS:
        refuse(f"{field}.dims", f"expected at most {_MAX_SAMPLE_ELEMENTS} elements, got {list(shape)}")
    choice = message.WhichOneof("input_data_type")
    fill: Fill = "random"
    if choice == "input_data_file":
        fill = "file"
        if not inside(message.input_data_file):
            refuse(f"{field}.input_data_file", f"expected a path below warmup/, got {message.input_data_file!r}")
    elif choice == "zero_data":
        fill = "zero"
    elif choice != "random_data":
        refuse(field, "expected one of zero_data, random_data and input_data_file")
    return WarmupTensor(name, datatype, shape, fill, message.input_data_file if fill == "file" else "")


def _dims(dims: Iterable[int], field: str, refuse: Refuse, *, varying: bool = True) -> Shape:
    shape = tuple(dims)
    least = "-1 or a size" if varying else "a size"
    for size in shape:
        if not (1 <= size <= _MAX_DIM or (varying and size == -1)):
            refuse(field, f"expected {least} from 1 to {_MAX_DIM}, got {size}")
            return tuple(max(1, min(each, _MAX_DIM)) for each in shape)
    if len(shape) > _MAX_RANK - 1:
        refuse(field, f"expected at most {_MAX_RANK - 1} dimensions, got {len(shape)}")
    return shape
