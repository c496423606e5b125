"""Runs the warm-up samples that a configuration brings, on the data that it names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maas_server.errors import LoadError
from maas_server.models.declared import DeclaredTensor, to_model_shape
from maas_server.models.plain_files import read_plain
from maas_server.models.prober import RunFailed, run
from maas_server.models.runner import NUMPY_DTYPES, Array, Runner, Signature
from maas_server.models.triton_model import WarmupSample, WarmupTensor

_LENGTH_BYTES = 4
_MAX_STRING_BYTES = 64 << 20


def run_samples(
    runner: Runner,
    signature: Signature,
    declared: Sequence[DeclaredTensor],
    samples: Sequence[WarmupSample],
    folder: Path,
) -> None:
    """Run every sample as often as it says; `signature` is the model's own, `folder` holds the files.

    Raises:
        LoadError: a sample does not fit the model, its file cannot be read, or the model does not run on it.
    """
    for sample in samples:
        where = f"model_warmup {sample.name!r}"
        inputs = sample_inputs(signature, declared, sample, folder)
        for _ in range(sample.count):
            try:
                run(runner, inputs, len(signature.outputs))
            except RunFailed as failed:
                raise LoadError(f"{where}: the model does not run on it: {failed}") from failed


def sample_inputs(
    signature: Signature, declared: Sequence[DeclaredTensor], sample: WarmupSample, folder: Path
) -> tuple[Array, ...]:
    """Return the arrays of a sample, in the signature's order and the model's shapes.

    Raises:
        LoadError: as `run_samples`.
    """
    given = {each.name: each for each in sample.inputs}
    wire = {each.name: each for each in declared}
    where = f"model_warmup {sample.name!r}"
    strangers = given.keys() - {info.name for info in signature.inputs}
    if strangers:
        raise LoadError(f"{where}: the model has no input {min(strangers)!r}")
    rng = np.random.default_rng(0)
    arrays = []
    for info in signature.inputs:
        tensor = given.get(info.name)
        if tensor is None:
            raise LoadError(f"{where}: it has no input {info.name!r}")
        at = f"{where}, input {info.name!r}"
        if tensor.datatype != info.datatype:
            raise LoadError(f"{at}: it says {tensor.datatype}, the model has {info.datatype}")
        sent = (sample.rows, *tensor.shape) if sample.rows else tensor.shape
        said = wire.get(info.name) or DeclaredTensor(info.name, info.datatype, info.shape, info.shape)
        if not _fits(sent, said.wire_shape):
            raise LoadError(f"{at}: it has shape {list(sent)}, expected {list(said.wire_shape)}")
        row = _values(tensor, folder, rng, at)
        whole = np.broadcast_to(row, (sample.rows, *row.shape)) if sample.rows else row
        arrays.append(np.ascontiguousarray(whole).reshape(to_model_shape(said, sent)))
    return tuple(arrays)


def _fits(shape: Sequence[int], said: Sequence[int]) -> bool:
    return len(shape) == len(said) and all(
        expected < 0 or size == expected for size, expected in zip(shape, said, strict=True)
    )


def _values(tensor: WarmupTensor, folder: Path, rng: np.random.Generator, where: str) -> Array:
    """Return one row's values."""
    dtype = NUMPY_DTYPES[tensor.datatype]
    if tensor.fill == "file":
        return _from_file(tensor, folder / "warmup" / tensor.file, where)
    if tensor.datatype == "BYTES":
        flat = np.empty(math.prod(tensor.shape), object)
        flat[:] = [b"" if tensor.fill == "zero" else b"%d" % value for value in rng.integers(0, 100, flat.size)]
        return flat.reshape(tensor.shape)
    if tensor.fill == "zero":
        return np.zeros(tensor.shape, dtype)
    if tensor.datatype == "BF16":
        return (rng.random(tensor.shape, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    if dtype.kind == "f":
        return rng.random(tensor.shape).astype(dtype)
    # 0 and 1 are valid as indices and masks too; larger ones are out of range for many models.
    return rng.integers(0, 2, tensor.shape).astype(dtype)


def _from_file(tensor: WarmupTensor, path: Path, where: str) -> Array:
    """Return what a file holds: elements in row-major order, BYTES with their lengths before them."""
    count = math.prod(tensor.shape)
    dtype = NUMPY_DTYPES[tensor.datatype]
    where = f"{where}, warmup/{tensor.file}"
    try:
        size = path.stat().st_size
        if tensor.datatype != "BYTES":
            if size != count * dtype.itemsize:
                raise LoadError(f"{where}: expected {count * dtype.itemsize} bytes, got {size}")
            return np.fromfile(path, dtype, count).reshape(tensor.shape)
        data = read_plain(path, _MAX_STRING_BYTES) if size <= _MAX_STRING_BYTES else b""
    except OSError as error:
        raise LoadError(f"{where}: {error.strerror or error}") from error
    if size > _MAX_STRING_BYTES:
        raise LoadError(f"{where}: expected at most {_MAX_STRING_BYTES} bytes, got {size}")
    flat = np.empty(count, object)
    offset = 0
    for index in range(count):
        start = offset + _LENGTH_BYTES
        offset = start + int.from_bytes(data[offset:start], "little")
        if offset > len(data) or start > len(data):
            raise LoadError(f"{where}: expected {count} elements with their lengths, got the end in element {index}")
        flat[index] = data[start:offset]
    if offset != len(data):
        raise LoadError(f"{where}: expected {offset} bytes for {count} elements, got {len(data)}")
    return flat.reshape(tensor.shape)
