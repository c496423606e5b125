"""The MiniLM sentence encoder as an ONNX graph, written from its published weights without a training framework.

A BERT encoder (6 layers, 12 heads, width 384), then the mean over the tokens that the mask keeps, then unit length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, HEADS, WIDTH = 6, 12, 384
EPSILON = 1e-12
OPSET, IR_VERSION = 17, 8

Array = npt.NDArray[Any]


class _Graph:
    """Collects nodes and constants; every method adds one operation and returns its output's name."""

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: Array | np.floating[Any]) -> str:
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name: str) -> str:
        return self.constant(name, self._weights[name])

    def dense(self, value: str, prefix: str) -> str:
        # The weights are stored [out, in].
        kernel = self.constant(f"{prefix}.weight", self._weights[f"{prefix}.weight"].T)
        return self.op("Add", [self.op("MatMul", [value, kernel]), self.weight(f"{prefix}.bias")])

    def layer_norm(self, value: str, prefix: str) -> str:
        scale, bias = self.weight(f"{prefix}.weight"), self.weight(f"{prefix}.bias")
        return self.op("LayerNormalization", [value, scale, bias], axis=-1, epsilon=EPSILON)

    def gelu(self, value: str) -> str:
        root_two = self.constant("root_two", np.float32(math.sqrt(2)))
        erf = self.op("Erf", [self.op("Div", [value, root_two])])
        one_plus_erf = self.op("Add", [erf, self.constant("one", np.float32(1))])
        return self.op("Mul", [self.op("Mul", [value, self.constant("half", np.float32(0.5))]), one_plus_erf])

    def attention(self, value: str, mask_bias: str, prefix: str) -> str:
        split = self.constant("split_heads", np.array([0, 0, HEADS, WIDTH // HEADS]))
        heads = {
            part: self.op("Reshape", [self.dense(value, f"{prefix}.self.{part}"), split])
            for part in ("query", "key", "value")
        }
        query = self.op("Transpose", [heads["query"]], perm=[0, 2, 1, 3])
        key = self.op("Transpose", [heads["key"]], perm=[0, 2, 3, 1])
        root = self.constant("root_head_width", np.float32(math.sqrt(WIDTH // HEADS)))
        scores = self.op("Add", [self.op("Div", [self.op("MatMul", [query, key]), root]), mask_bias])
        weighted = self.op(
            "MatMul",
            [self.op("Softmax", [scores], axis=-1), self.op("Transpose", [heads["value"]], perm=[0, 2, 1, 3])],
        )
        joined = self.op("Transpose", [weighted], perm=[0, 2, 1, 3])
        return self.op("Reshape", [joined, self.constant("join_heads", np.array([0, 0, WIDTH]))])


def _embed(graph: _Graph) -> str:
    length = graph.op("Shape", ["input_ids"], start=1, end=2)
    positions = graph.op(
        "Slice",
        [graph.weight("embeddings.position_embeddings.weight"), graph.constant("zero", np.array([0])), length],
    )
    words = graph.op("Gather", [graph.weight("embeddings.word_embeddings.weight"), "input_ids"])
    types = graph.op("Gather", [graph.weight("embeddings.token_type_embeddings.weight"), "token_type_ids"])
    return graph.layer_norm(graph.op("Add", [graph.op("Add", [words, types]), positions]), "embeddings.LayerNorm")


def _pool(graph: _Graph, value: str, mask: str) -> str:
    """Mean over the kept tokens, scaled to unit length."""
    tokens = graph.constant("token_axis", np.array([1]))
    column = graph.op("Unsqueeze", [mask, graph.constant("last_axis", np.array([2]))])
    total = graph.op("ReduceSum", [graph.op("Mul", [value, column]), tokens], keepdims=0)
    count = graph.op("ReduceSum", [mask, tokens], keepdims=1)
    mean = graph.op("Div", [total, graph.op("Max", [count, graph.constant("tiny", np.float32(1e-9))])])
    norm = graph.op("ReduceL2", [mean], axes=[1], keepdims=1)
    return graph.op("Div", [mean, norm], output="embedding")


def build(weights: Mapping[str, Array]) -> onnx.ModelProto:
    """Return the encoder: three INT64 [batch, tokens] inputs, one FP32 [batch, 384] output named `embedding`."""
    graph = _Graph(weights)
    mask = graph.op("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    dropped = graph.op("Sub", [graph.constant("one", np.float32(1)), mask])
    bias = graph.op("Mul", [dropped, graph.constant("far_below", np.float32(-1e9))])
    mask_bias = graph.op("Unsqueeze", [bias, graph.constant("head_axes", np.array([1, 2]))])

    value = _embed(graph)
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}"
        attended = graph.dense(
            graph.attention(value, mask_bias, f"{prefix}.attention"), f"{prefix}.attention.output.dense"
        )
        value = graph.layer_norm(graph.op("Add", [attended, value]), f"{prefix}.attention.output.LayerNorm")
        widened = graph.gelu(graph.dense(value, f"{prefix}.intermediate.dense"))
        narrowed = graph.dense(widened, f"{prefix}.output.dense")
        value = graph.layer_norm(graph.op("Add", [narrowed, value]), f"{prefix}.output.LayerNorm")
    _pool(graph, value, mask)

    names = ("input_ids", "attention_mask", "token_type_ids")
    onnx_graph = helper.make_graph(
        graph.nodes,
        "minilm",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH])],
        list(graph.initializers.values()),
    )
    return helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def tokenize(sentence: str, vocabulary: Path) -> list[int]:
    """Return the token ids of a lower-case sentence, every word of which is in the vocabulary as a whole."""
    ids = {word: index for index, word in enumerate(vocabulary.read_text(encoding="utf-8").splitlines())}
    return [ids["[CLS]"], *(ids[word] for word in sentence.split()), ids["[SEP]"]]
