"""The models that foreign clients ask, and what ONNX Runtime answers when it is called directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from examples.demo import train as digits

Array = npt.NDArray[Any]

OPSET, IR_VERSION, SEED = 17, 8, 7

# What the Open Inference Protocol, numpy and ONNX call the same. BF16 is left out: numpy has no such type.
DATATYPES: dict[str, tuple[str, int]] = {
    "BOOL": ("bool", TensorProto.BOOL),
    "UINT8": ("uint8", TensorProto.UINT8),
    "UINT16": ("uint16", TensorProto.UINT16),
    "UINT32": ("uint32", TensorProto.UINT32),
    "UINT64": ("uint64", TensorProto.UINT64),
    "INT8": ("int8", TensorProto.INT8),
    "INT16": ("int16", TensorProto.INT16),
    "INT32": ("int32", TensorProto.INT32),
    "INT64": ("int64", TensorProto.INT64),
    "FP16": ("float16", TensorProto.FLOAT16),
    "FP32": ("float32", TensorProto.FLOAT),
    "FP64": ("float64", TensorProto.DOUBLE),
    "BYTES": ("object", TensorProto.STRING),
}

# A repository of Triton's as it stands.
WINE_CONFIG = """
name: "wine"
platform: "onnxruntime_onnx"
max_batch_size: 32
input [ { name: "features" data_type: TYPE_FP32 dims: [ 13 ] } ]
output [
  { name: "label" data_type: TYPE_INT64 dims: [ 1 ] reshape: { shape: [ ] } },
  { name: "probabilities" data_type: TYPE_FP32 dims: [ 3 ] label_filename: "cultivars.txt" }
]
dynamic_batching { max_queue_delay_microseconds: 1000 }
"""
WINE_LABELS = ("barolo", "grignolino", "barbera")


@dataclass(frozen=True)
class Case:
    """A request, and its answer by ONNX Runtime."""

    model: str
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "inputs": [as_json(name, value) for name, value in self.inputs.items()],
            "outputs": [as_json(name, value) for name, value in self.outputs.items()],
        }


def as_json(name: str, value: Array) -> dict[str, Any]:
    """A tensor in the form of the Open Inference Protocol's JSON."""
    datatype = next(each for each, (dtype, _) in DATATYPES.items() if np.dtype(dtype) == value.dtype)
    # A float of 16 or 32 bits is a float of 64 bits: its digits are those of the nearest.
    return {"name": name, "datatype": datatype, "shape": list(value.shape), "data": value.ravel().tolist()}


def lay_out(repository: Path) -> dict[str, Case]:
    """Write a repository of models below a folder, and return a case for each model."""
    pipeline, images, _ = digits.train()
    wine, labels = load_wine(return_X_y=True)
    patients, progress = load_diabetes(return_X_y=True)
    models = {
        "digits": digits.export(pipeline),
        "wine": _trees(RandomForestClassifier(n_estimators=20, random_state=SEED), wine, labels),
        "diabetes": _trees(RandomForestRegressor(n_estimators=20, max_depth=6, random_state=SEED), patients, progress),
        "mirror": _mirror(),
    }
    for name, model in models.items():
        folder = repository / name / "1"
        folder.mkdir(parents=True)
        onnx.save(model, folder / "model.onnx")
    (repository / "wine/config.pbtxt").write_text(WINE_CONFIG)
    (repository / "wine/cultivars.txt").write_text("\n".join(WINE_LABELS) + "\n")
    requests = {
        "digits": {"image": images[:4]},
        # One of each cultivar.
        "wine": {"features": wine[[0, 60, 140]].astype(np.float32)},
        "diabetes": {"features": patients[:5].astype(np.float32)},
        "mirror": {datatype: _values(datatype) for datatype in DATATYPES},
    }
    return {name: Case(name, inputs, _run(repository, name, inputs)) for name, inputs in requests.items()}


def _run(repository: Path, model: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
    file = repository / model / "1/model.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _trees(forest: BaseEstimator, features: Array, targets: Array) -> onnx.ModelProto:
    forest.fit(features.astype(np.float32), targets)
    inputs = [("features", FloatTensorType([None, features.shape[1]]))]
    options = {"zipmap": False} if isinstance(forest, RandomForestClassifier) else None
    opset = {"": OPSET, "ai.onnx.ml": 3}
    model: onnx.ModelProto = to_onnx(forest, initial_types=inputs, options=options, target_opset=opset)
    return model


def _mirror() -> onnx.ModelProto:
    """Gives back a matrix of every datatype, so that it shows how clients write and read each."""
    shape: list[str | int | None] = ["batch", 3]
    graph = helper.make_graph(
        [helper.make_node("Identity", [datatype], [f"{datatype}_back"]) for datatype in DATATYPES],
        "mirror",
        [helper.make_tensor_value_info(name, number, shape) for name, (_, number) in DATATYPES.items()],
        [helper.make_tensor_value_info(f"{name}_back", number, shape) for name, (_, number) in DATATYPES.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _values(datatype: str) -> Array:
    """Two rows, with the smallest and the largest of what the datatype can hold."""
    dtype = np.dtype(DATATYPES[datatype][0])
    if datatype == "BYTES":
        return np.array([["", "one", "zwölf"], ["ten\nlines", "\t", "a" * 300]], dtype)
    if datatype == "BOOL":
        return np.array([[True, False, True], [False, False, True]])
    if datatype.startswith("FP"):
        floats = np.finfo(dtype)
        return np.array([[0, -1.5, floats.eps], [floats.max, floats.min, floats.tiny]], dtype)
    integers = np.iinfo(dtype)
    return np.array([[0, 1, 2], [integers.max, integers.min, 100]], dtype)
