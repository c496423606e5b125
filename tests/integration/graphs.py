"""Small ONNX graphs made on the spot."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION, SEED = 17, 8, 7


def dense(widths: Sequence[int]) -> onnx.ModelProto:
    """A multilayer perceptron from `x` FP32 [batch, first width] to `y` FP32 [batch, last width]."""
    random = np.random.default_rng(SEED)
    nodes, weights, value = [], [], "x"
    for index, (rows, columns) in enumerate(itertools.pairwise(widths)):
        weight = (random.standard_normal((rows, columns)) / rows**0.5).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"weight{index}"))
        activated = "y" if index == len(widths) - 2 else f"activated{index}"
        nodes.append(helper.make_node("MatMul", [value, f"weight{index}"], [f"product{index}"]))
        nodes.append(helper.make_node("Relu", [f"product{index}"], [activated]))
        value = activated
    return _model(nodes, widths[0], widths[-1], weights)


def multiply(factor: float, width: int = 4) -> onnx.ModelProto:
    """`y` is `x` times `factor`: an answer tells which version gave it."""
    weights = [numpy_helper.from_array(np.array(factor, np.float32), "factor")]
    return _model([helper.make_node("Mul", ["x", "factor"], ["y"])], width, width, weights)


def slow(width: int = 512, layers: int = 20) -> onnx.ModelProto:
    """Tens of milliseconds a row, so that requests are still under way when something happens."""
    weight = numpy_helper.from_array(np.eye(width, dtype=np.float32), "weight")
    square = helper.make_node("MatMul", ["row", "column"], ["value0"])
    names = [f"value{index}" for index in range(layers)]
    chain = [helper.make_node("MatMul", [one, "weight"], [two]) for one, two in itertools.pairwise(names)]
    last = helper.make_node("ReduceMean", [names[-1]], ["y"], axes=[2], keepdims=0)
    split = [
        helper.make_node("Unsqueeze", ["x", "axis2"], ["row"]),
        helper.make_node("Unsqueeze", ["x", "axis1"], ["column"]),
    ]
    axes = [numpy_helper.from_array(np.array([axis]), f"axis{axis}") for axis in (1, 2)]
    return _model([*split, square, *chain, last], width, width, [weight, *axes])


def place(repository: Path, name: str, version: int, model: onnx.ModelProto) -> Path:
    """Put a version into a repository in one step, as a deployment would; return its folder."""
    folder = repository / name / str(version)
    unfinished = repository / f".{name}-{version}"
    unfinished.mkdir(parents=True)
    onnx.save(model, unfinished / "model.onnx")
    folder.parent.mkdir(exist_ok=True)
    return unfinished.rename(folder)


def _model(
    nodes: Sequence[onnx.NodeProto], width_in: int, width_out: int, weights: Sequence[onnx.TensorProto]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width_in])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width_out])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
