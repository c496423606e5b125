"""Small ONNX models, each with one property that loading must get right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION, SEED = 17, 9, 11

Dims = Sequence[int | str | None]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def value(name: str, dims: Dims, datatype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, datatype, dims)


def unranked(name: str, datatype: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    """A tensor of which the file gives the datatype only."""
    info = onnx.ValueInfoProto(name=name)
    info.type.tensor_type.elem_type = datatype
    return info


def weights(name: str, *shape: int) -> onnx.TensorProto:
    random = np.random.default_rng(SEED)
    return numpy_helper.from_array((random.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32), name)


def constant(name: str, content: object, dtype: type) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(content, dtype), name)


def linear(batch: str | None = "batch", width: int = 8) -> onnx.ModelProto:
    """`y` = `x` times a matrix; FP32 [batch, width]."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return model([node], [value("x", [batch, width])], [value("y", [batch, width])], [weights("w", width, width)])


def scaled(factor: float, width: int = 4) -> onnx.ModelProto:
    """`y` = `x` times `factor`: the answer tells the version."""
    node = helper.make_node("Mul", ["x", "f"], ["y"])
    return model(
        [node], [value("x", ["batch", width])], [value("y", ["batch", width])], [constant("f", factor, np.float32)]
    )


def dynamically_quantized(width: int = 32) -> onnx.ModelProto:
    """One scale for the whole batch: a large row takes the small rows' precision."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["q", "w", "zero"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "scale"], ["y"]),
    ]
    matrix = np.random.default_rng(SEED).integers(-100, 100, (width, 4), np.int8)
    return model(nodes, [value("x", ["N", width])], [value("y", ["N", 4])], [numpy_helper.from_array(matrix, "w")])


def batch_mean() -> onnx.ModelProto:
    """Subtracts the mean over the batch: rows depend on their neighbours, shapes do not show it."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0]),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    return model(nodes, [value("x", ["batch", 4])], [value("y", ["batch", 4])])


def recurrent() -> onnx.ModelProto:
    """Like silero-vad: no dimension is named, the state's rows come second, a rate is shared by the rows."""
    nodes = [
        helper.make_node("Gather", ["state", "zero"], ["s"], axis=0),
        helper.make_node("Cast", ["rate"], ["r"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "r"], ["sr"]),
        helper.make_node("Add", ["input", "sr"], ["output"]),
        helper.make_node("Add", ["state", "state"], ["stateN"]),
    ]
    return model(
        nodes,
        [value("input", [None, 6]), value("state", [2, None, 6]), value("rate", [], TensorProto.INT64)],
        [value("output", [None, 6]), value("stateN", [2, None, 6])],
        [constant("zero", 0, np.int64)],
    )


def embedding(*, masked: bool, vocabulary: int = 50, width: int = 4) -> onnx.ModelProto:
    """The mean of the ids' vectors, over the masked-in ones or over all."""
    ids = value("ids", ["batch", "sequence"], TensorProto.INT64)
    mask = value("mask", ["batch", "sequence"], TensorProto.INT64)
    gather = helper.make_node("Gather", ["table", "ids"], ["vectors"])
    table = weights("table", vocabulary, width)
    if not masked:
        mean = helper.make_node("ReduceMean", ["vectors"], ["y"], axes=[1], keepdims=0)
        return model([gather, mean], [ids], [value("y", ["batch", width])], [table])
    nodes = [
        gather,
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "two"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["real"]),
        helper.make_node("ReduceSum", ["real", "one"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["m", "one"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["y"]),
    ]
    axes = [constant("one", [1], np.int64), constant("two", [2], np.int64)]
    return model(nodes, [ids, mask], [value("y", ["batch", width])], [table, *axes])


def tokens(width: int = 4) -> onnx.ModelProto:
    """One vector per id: the output is as long as the input, and a mask is asked for but not used."""
    nodes = [helper.make_node("Gather", ["table", "ids"], ["y"])]
    return model(
        nodes,
        [value("ids", ["batch", "sequence"], TensorProto.INT64)],
        [value("y", ["batch", "sequence", width])],
        [weights("table", 50, width)],
    )


def strings() -> onnx.ModelProto:
    node = helper.make_node("Identity", ["x"], ["y"])
    return model([node], [value("x", ["batch"], TensorProto.STRING)], [value("y", ["batch"], TensorProto.STRING)])


def fixed() -> onnx.ModelProto:
    return model([helper.make_node("Relu", ["x"], ["y"])], [value("x", [1, 4])], [value("y", [1, 4])])


def summed() -> onnx.ModelProto:
    """One answer for all rows."""
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    return model([node], [value("x", ["batch", 4])], [value("y", [])])


def nonzero() -> onnx.ModelProto:
    """The size of the output depends on values."""
    node = helper.make_node("NonZero", ["x"], ["y"])
    return model([node], [value("x", ["batch", 4])], [value("y", [2, "count"], TensorProto.INT64)])


def bfloat16() -> onnx.ModelProto:
    """`y` = `x` plus `x`, both BF16."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["f", "f"], ["g"]),
        helper.make_node("Cast", ["g"], ["y"], to=TensorProto.BFLOAT16),
    ]
    return model(
        nodes, [value("x", ["batch", 3], TensorProto.BFLOAT16)], [value("y", ["batch", 3], TensorProto.BFLOAT16)]
    )


def save(proto: onnx.ModelProto, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())
    return path
