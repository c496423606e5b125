"""ONNX Runtime called directly: which cases it passes, and what it answers."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from maas_server.models.onnx_tensors import ELEMENT_TYPES
from tests.onnx_backend.cases import Array, Case, DataSet, LeftOutError, Tensor, strings

NOT_LOADED = "ONNX Runtime does not load the model: it has no such operator, version or form of it on the CPU."
NOT_RUN = "ONNX Runtime loads the model, but refuses the inputs."
OTHER_ANSWER = "ONNX Runtime's answer is not the one that ONNX expects."
# Of the machine, not of the case.
NO_LOCALE = "ONNX Runtime wants the locale en_US.UTF-8 for the model, and the system has none."

_EXACT = frozenset(ELEMENT_TYPES) - {"FP16", "BF16", "FP32", "FP64"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and the answer of ONNX Runtime."""

    case: Case
    data_set: DataSet
    answer: dict[str, Tensor]


def ask(case: Case) -> list[Asked]:
    """Run all requests of a case.

    Raises:
        LeftOutError: ONNX Runtime does not pass it, or no protocol can carry it.
    """
    data_sets = case.data_sets()
    # A runner may raise anything; what it was does not matter here.
    try:
        session = _session(case.model)
    except Exception as error:
        raise LeftOutError(NO_LOCALE if "locale" in str(error) else NOT_LOADED) from error
    asked = []
    for data_set in data_sets:
        try:
            answer = _run(session, data_set)
        except Exception as error:
            raise LeftOutError(NOT_RUN) from error
        if not _is_expected(case, data_set, answer):
            raise LeftOutError(OTHER_ANSWER)
        asked.append(Asked(case, data_set, answer))
    return asked


def _session(model: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, data_set: DataSet) -> dict[str, Tensor]:
    names = [output.name for output in session.get_outputs()]
    types = [output.type for output in session.get_outputs()]
    if any(tensor.datatype == "BYTES" for tensor in data_set.inputs.values()) or "tensor(string)" in types:
        feeds = {
            name: _texts(tensor.array) if tensor.datatype == "BYTES" else tensor.array
            for name, tensor in data_set.inputs.items()
        }
        arrays = session.run(names, feeds)
    else:
        values = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
                np.require(tensor.array, requirements="C"), ELEMENT_TYPES[tensor.datatype]
            )
            for name, tensor in data_set.inputs.items()
        }
        arrays = [_to_array(value) for value in session.run_with_ort_values(names, values)]
    return {
        name: _typed(np.asarray(array), data_set.expected[name].datatype)
        for name, array in zip(names, arrays, strict=True)
    }


def _texts(array: Array) -> Array:
    flat = np.empty(array.size, object)
    flat[:] = [each.decode() for each in array.ravel()]
    return flat.reshape(array.shape)


def _to_array(value: onnxruntime.OrtValue) -> Array:
    if value.element_type() != ELEMENT_TYPES["BF16"]:
        plain: Array = value.numpy()
        return plain
    array = np.empty(value.shape(), np.uint16)
    ctypes.memmove(array.ctypes.data, value.data_ptr(), array.nbytes)
    return array


def _typed(array: Array, datatype: str) -> Tensor:
    return Tensor(datatype, strings(array) if datatype == "BYTES" else array)


def _is_expected(case: Case, data_set: DataSet, answer: dict[str, Tensor]) -> bool:
    """Whether the answer passes as the ONNX project's own runner has it."""
    for name, expected in data_set.expected.items():
        got = answer[name]
        if got.array.shape != expected.array.shape or got.array.dtype != expected.array.dtype:
            return False
        if expected.datatype in ("BYTES", "BOOL"):
            if not np.array_equal(got.array, expected.array):
                return False
        elif not np.allclose(_wide(got), _wide(expected), rtol=case.rtol, atol=case.atol, equal_nan=True):
            return False
    return True


def _wide(tensor: Tensor) -> Array:
    if tensor.datatype == "BF16":
        return (tensor.array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return tensor.array if tensor.datatype in _EXACT else tensor.array.astype(np.float64)
