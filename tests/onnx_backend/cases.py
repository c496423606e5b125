"""The ONNX project's backend tests, as the files that its package carries: models, inputs and expected outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from maas_server.models.onnx_tensors import ELEMENT_TYPES

Array = npt.NDArray[Any]

# The Open Inference Protocol's names by element type of onnx.TensorProto.
DATATYPES = {number: name for name, number in ELEMENT_TYPES.items()}

_NODE_KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
# What the backend tests compare with where a case says nothing else.
_RTOL, _ATOL = 1e-3, 1e-7

NOT_TENSORS = "An input or output is no tensor but a sequence, an optional or a map."
NO_DATATYPE = "An input or output has a datatype that the Open Inference Protocol does not have."


class LeftOutError(Exception):
    """The case is not served; the message is one of the reasons."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One value. BF16 has its bits in uint16, BYTES has `bytes` objects."""

    datatype: str
    array: Array


@dataclass(frozen=True, slots=True)
class DataSet:
    """One request, and the answer that ONNX expects. Both by the model's names."""

    inputs: dict[str, Tensor]
    expected: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Case:
    """One test: a model and what to ask it."""

    kind: str
    name: str
    model: Path
    folder: Path
    rtol: float
    atol: float

    def data_sets(self) -> list[DataSet]:
        """Read all requests.

        Raises:
            LeftOutError: no protocol can carry them.
        """
        graph = onnx.load_model(self.model, load_external_data=False).graph
        _check_types((*graph.input, *graph.output))
        if self.kind == "real":
            return [self._dummy_data_set(graph)]
        return [
            DataSet(_read(folder, "input", graph.input), _read(folder, "output", graph.output))
            for folder in sorted(self.folder.glob("test_data_set_*"))
        ]

    def _dummy_data_set(self, graph: onnx.GraphProto) -> DataSet:
        """Return the inputs that the backend tests of real models make up; only their answer is in a file."""
        weights = {initializer.name for initializer in graph.initializer}
        inputs = {}
        for info in graph.input:
            if info.name not in weights:
                shape = tuple(dim.dim_value or 1 for dim in info.type.tensor_type.shape.dim)
                size = int(np.prod(shape))
                inputs[info.name] = Tensor("FP32", (np.arange(size).reshape(shape) / size).astype(np.float32))
        answer = self.model.with_name(f"{self.model.stem}_output_0.pb")
        return DataSet(inputs, {graph.output[0].name: _tensor(answer)})


def find_cases(data: Path) -> Iterator[Case]:
    """Yield all cases below `data`, which is the package's folder onnx/backend/test/data."""
    for kind in _NODE_KINDS:
        for folder in sorted((data / kind).iterdir()):
            yield Case(kind, folder.name, folder / "model.onnx", folder, *_tolerances(folder))
    for folder in sorted((data / "real").iterdir()):
        name = folder.name.removeprefix("test_")
        # Their weights are constants made when they are loaded: the files with the trained ones are elsewhere.
        yield Case("real", folder.name, data / "light" / f"light_{name}.onnx", folder, *_tolerances(folder))


def _tolerances(folder: Path) -> tuple[float, float]:
    file = folder / "data.json"
    said = json.loads(file.read_text()) if file.exists() else {}
    return float(said.get("rtol", _RTOL)), float(said.get("atol", _ATOL))


def _check_types(infos: Sequence[onnx.ValueInfoProto]) -> None:
    if any(info.type.WhichOneof("value") != "tensor_type" for info in infos):
        raise LeftOutError(NOT_TENSORS)
    if any(info.type.tensor_type.elem_type not in DATATYPES for info in infos):
        raise LeftOutError(NO_DATATYPE)


def _read(folder: Path, role: str, infos: Sequence[onnx.ValueInfoProto]) -> dict[str, Tensor]:
    """Return the tensors that the folder has files of; inputs without one are optional."""
    files = ((info.name, folder / f"{role}_{index}.pb") for index, info in enumerate(infos))
    return {name: _tensor(file) for name, file in files if file.exists()}


def _tensor(file: Path) -> Tensor:
    proto = onnx.TensorProto.FromString(file.read_bytes())
    datatype = DATATYPES[proto.data_type]
    array = numpy_helper.to_array(proto)
    if datatype == "BF16":
        array = array.view(np.uint16)
    elif datatype == "BYTES":
        array = strings(array)
    return Tensor(datatype, array)


def strings(array: Array) -> Array:
    """Return an array of `str` or `bytes` as one of `bytes`."""
    flat = np.empty(array.size, object)
    flat[:] = [each if isinstance(each, bytes) else str(each).encode() for each in array.ravel()]
    return flat.reshape(array.shape)
