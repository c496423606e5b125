"""Requests, and what ONNX Runtime answers to them, for tests in environments that have no ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DTYPES = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "object"}


@dataclass(frozen=True)
class Case:
    model: str
    datatypes: Mapping[str, str]
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


def read_case(described: Mapping[str, Any]) -> Case:
    """Read a case whose tensors are in the form of the Open Inference Protocol's JSON."""
    tensors = [*described["inputs"], *described["outputs"]]
    return Case(
        described["model"],
        {tensor["name"]: tensor["datatype"] for tensor in tensors},
        {tensor["name"]: _array(tensor) for tensor in described["inputs"]},
        {tensor["name"]: _array(tensor) for tensor in described["outputs"]},
    )


def _array(tensor: Mapping[str, Any]) -> Array:
    datatype = tensor["datatype"]
    data = [text.encode() for text in tensor["data"]] if datatype == "BYTES" else tensor["data"]
    return np.array(data, DTYPES.get(datatype, datatype.lower())).reshape(tensor["shape"])


def check_outputs(read: Callable[[str], Array | None], expected: Mapping[str, Array]) -> None:
    """Compare what a client gives for every output with what it should be."""
    for name, value in expected.items():
        given = read(name)
        assert given is not None, f"no output {name}"
        assert given.shape == value.shape, name
        if value.dtype.kind == "f":
            np.testing.assert_allclose(given, value, rtol=1e-5, atol=1e-7, err_msg=name)
        else:
            np.testing.assert_array_equal(_as_bytes(given), value, err_msg=name)


def _as_bytes(values: Array) -> Array:
    """Strings as they are; what came as JSON is text."""
    if values.dtype != np.object_:
        return values
    encoded = [each.encode() if isinstance(each, str) else each for each in values.ravel()]
    return np.array(encoded, np.object_).reshape(values.shape)
