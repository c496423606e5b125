"""Inputs of a prediction from the command line: .npy files, JSON files and JSON text, cast as the model wants them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from maas_server._stubs.maas.v1 import model_pb2, tensor_pb2
from maas_server.client import BFloat16, TensorLike
from maas_server.client._tensors import as_array, dtype_of
from maas_server.errors import NotAvailable, NotFound


def signature_of(models: Iterable[model_pb2.ModelInfo], version: int | None, label: str | None) -> model_pb2.Signature:
    """Return the signature of the version that will answer, from the status of one model.

    Raises:
        NotFound: there is no such version or label.
        NotAvailable: no version answers requests that name none.
    """
    (model,) = models
    if label is not None and label not in model.labels:
        raise NotFound(f"{model.name} has no label {label}")
    number = version or (model.labels[label] if label is not None else model.default_version)
    if not number:
        raise NotAvailable(f"no version of {model.name} is AVAILABLE")
    for each in model.versions:
        if each.version == number:
            return each.signature
    raise NotFound(f"{model.name} has no version {number}")


def read_inputs(
    texts: Iterable[str], documents: Mapping[str, Any], signature: model_pb2.Signature
) -> dict[str, TensorLike]:
    """Return the inputs given as NAME=VALUE and those of a JSON document.

    Raises:
        click.UsageError: a value cannot be read, or does not fit the model's datatype.
    """
    wanted = {tensor.name: tensor for tensor in signature.inputs}
    values = dict(documents)
    for text in texts:
        name, value = _split(text, wanted)
        values[name] = _read(name, value)
    return {name: _cast(name, value, wanted.get(name)) for name, value in values.items()}


def read_document(path: str) -> dict[str, Any]:
    """Return the JSON object in a file, or on standard input for "-".

    Raises:
        click.UsageError: there is none.
    """
    try:
        with click.open_file(path, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise click.UsageError(f"{path}: expected a JSON object of inputs by name, got {type(document).__name__}")
    return document


def _split(text: str, wanted: Mapping[str, model_pb2.TensorSignature]) -> tuple[str, str]:
    """Split NAME=VALUE; the name may be left out for a model with one input."""
    name, equals, value = text.partition("=")
    if equals and (name in wanted or not name.startswith(("[", '"', "@"))):
        return name, value
    required = [tensor.name for tensor in wanted.values() if not tensor.optional]
    if len(required) == 1:
        return required[0], text
    raise click.UsageError(f"expected NAME=VALUE, got {text}; the model's inputs: {', '.join(wanted)}")


def _read(name: str, value: str) -> Any:
    try:
        if value.endswith(".npy"):
            return np.load(value, allow_pickle=False)
        return json.loads(Path(value[1:]).read_text(encoding="utf-8") if value.startswith("@") else value)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"input {name}: {error}; expected FILE.npy, @FILE.json or JSON") from error


def _cast(name: str, value: Any, tensor: model_pb2.TensorSignature | None) -> TensorLike:
    """Return `value` as the model's datatype where nothing but precision is lost, else as it is."""
    try:
        array = as_array(value)
        dtype = None if tensor is None else dtype_of(tensor.datatype)
        if tensor is None or dtype is None or dtype.kind == "O" or array.dtype == dtype:
            return array
        if tensor.datatype == tensor_pb2.BF16:
            return BFloat16.from_float(array)
        if isinstance(value, np.ndarray):
            return array.astype(dtype) if np.can_cast(array.dtype, dtype, "same_kind") else array
        if dtype.kind in "biu" and array.dtype.kind == "f" and array.size:
            raise ValueError(f"expected {tensor_pb2.DataType.Name(tensor.datatype)}, got fractions")
        # From the value, not the array: only this way numpy refuses what does not fit.
        return np.asarray(value, dtype=dtype)
    except (ValueError, OverflowError, TypeError) as error:
        raise click.UsageError(f"input {name}: {error}") from error
