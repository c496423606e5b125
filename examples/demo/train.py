"""Train a small classifier of handwritten digits and lay it out as a model repository.

    python examples/demo/train.py [FOLDER]

Writes FOLDER/models/digits/1/model.onnx (input `image` FP32 [batch, 64], pixels 0 to 16; outputs `label` INT64
[batch] and `probabilities` FP32 [batch, 10]) and FOLDER/held_out.npz, the digits that training never saw. The data
set ships inside scikit-learn, so nothing is downloaded. Default FOLDER: build/demo. Nothing is done when the files
are newer than this script.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = Path("models/digits/1/model.onnx")
HELD_OUT = Path("held_out.npz")
REQUIRED_ACCURACY = 0.95
OPSET, IR_VERSION = 17, 8
SEED = 7

Array = npt.NDArray[Any]


def train() -> tuple[Pipeline, Array, Array]:
    """Return the fitted classifier, and the images and labels of the quarter of the data that it never saw."""
    images, labels = load_digits(return_X_y=True)
    seen, held_out, seen_labels, held_out_labels = train_test_split(
        images.astype(np.float32), labels.astype(np.int64), test_size=0.25, stratify=labels, random_state=SEED
    )
    classifier = make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=300, tol=1e-3, random_state=SEED))
    classifier.fit(seen, seen_labels)
    return classifier, held_out, held_out_labels


def export(classifier: Pipeline) -> ModelProto:
    """Return the fitted classifier as an ONNX graph: two dense layers, the scaling folded into the first."""
    scaler, mlp = classifier[0], classifier[1]
    (hidden, output), (hidden_bias, output_bias) = mlp.coefs_, mlp.intercepts_
    weights = {
        "hidden_weight": hidden / scaler.scale_[:, None],
        "hidden_bias": hidden_bias - (scaler.mean_ / scaler.scale_) @ hidden,
        "output_weight": output,
        "output_bias": output_bias,
    }
    nodes = [
        helper.make_node("Gemm", ["image", "hidden_weight", "hidden_bias"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["activated"]),
        helper.make_node("Gemm", ["activated", "output_weight", "output_bias"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 64])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10]),
        ],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="digits demo")
    checker.check_model(model, full_check=True)
    return model


def is_up_to_date(folder: Path) -> bool:
    """Say whether a training run would only repeat what `folder` already holds."""
    script = Path(__file__).stat().st_mtime
    return all((folder / file).is_file() and (folder / file).stat().st_mtime >= script for file in (MODEL, HELD_OUT))


def main() -> int:
    """Train, check, export."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/demo"))
    folder: Path = parser.parse_args().folder
    if is_up_to_date(folder):
        print(f"{folder / MODEL} is up to date")
        return 0

    classifier, images, labels = train()
    accuracy = classifier.score(images, labels)
    if accuracy < REQUIRED_ACCURACY:
        print(f"accuracy {accuracy:.3f} on held-out digits; at least {REQUIRED_ACCURACY} expected", file=sys.stderr)
        return 1

    serialized = export(classifier).SerializeToString()
    (folder / MODEL).parent.mkdir(parents=True, exist_ok=True)
    np.savez(folder / HELD_OUT, images=images, labels=labels)
    # Renamed into place, so that a server that watches the folder never sees half a file.
    unfinished = (folder / MODEL).with_suffix(".tmp")
    unfinished.write_bytes(serialized)
    unfinished.replace(folder / MODEL)
    print(f"{folder / MODEL}: {len(serialized) / 1000:.0f} kB, {accuracy:.1%} of {len(labels)} held-out digits right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
