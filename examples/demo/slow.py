"""Give the digits classifier the weight of a large model, so that one CPU can be asked for more than it can do.

    python examples/demo/slow.py [FOLDER]

Reads FOLDER/models/digits/1/model.onnx, as train.py wrote it, and writes FOLDER/slow/digits/1/model.onnx: the same
answers, and beside them a stack of wide layers whose result is added with weights of zero. Default FOLDER: build/demo.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, checker, helper, numpy_helper

FAST = Path("models/digits/1/model.onnx")
SLOW = Path("slow/digits/1/model.onnx")
PIXELS, DIGITS = 64, 10
WIDTH, LAYERS = 1024, 400
SEED = 7


def slowed(model: ModelProto) -> ModelProto:
    """Return a model that answers the same after a billion operations a row."""
    generator = np.random.default_rng(SEED)
    weights = {
        "ballast_in": generator.standard_normal((PIXELS, WIDTH)) / PIXELS,
        "ballast_layer": generator.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH),
        "ballast_out": np.zeros((WIDTH, DIGITS)),
    }
    nodes = [helper.make_node("MatMul", ["image", "ballast_in"], ["ballast_0"])]
    for layer in range(LAYERS):
        nodes.append(helper.make_node("MatMul", [f"ballast_{layer}", "ballast_layer"], [f"ballast_{layer}_sum"]))
        nodes.append(helper.make_node("Tanh", [f"ballast_{layer}_sum"], [f"ballast_{layer + 1}"]))
    nodes.append(helper.make_node("MatMul", [f"ballast_{LAYERS}", "ballast_out"], ["ballast_nothing"]))
    nodes.append(helper.make_node("Add", ["scores", "ballast_nothing"], ["slow_scores"]))

    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for node in graph.node:
        node.input[:] = ["slow_scores" if name == "scores" else name for name in node.input]
    first_of_scores = next(index for index, node in enumerate(graph.node) if "slow_scores" in node.input)
    ordered = [*graph.node[:first_of_scores], *nodes, *graph.node[first_of_scores:]]
    del graph.node[:]
    graph.node.extend(ordered)
    graph.initializer.extend(numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items())
    checker.check_model(result, full_check=True)
    return result


def main() -> None:
    """Read, slow down, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/demo"))
    folder: Path = parser.parse_args().folder
    serialized = slowed(onnx.load(folder / FAST)).SerializeToString()
    (folder / SLOW).parent.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that a server that watches the folder never sees half a file.
    unfinished = (folder / SLOW).with_suffix(".tmp")
    unfinished.write_bytes(serialized)
    unfinished.replace(folder / SLOW)
    print(f"{folder / SLOW}: {len(serialized) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
