"""Checks that the onnxruntime of this environment runs a model on a GPU, and gives what the CPU gives."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

WANTED = "CUDAExecutionProvider"


def main() -> int:
    # Where it is missing the libraries are found by the environment alone.
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 64])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["product"]), helper.make_node("Relu", ["product"], ["y"])]
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    initializer = helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True)
    graph = helper.make_graph(nodes, "check", [x], [y], [initializer])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()

    # TF32 would round the products.
    session = onnxruntime.InferenceSession(model, providers=[(WANTED, {"use_tf32": "0"}), "CPUExecutionProvider"])
    # A session that lacks a library runs on the CPU, and says so here alone.
    if session.get_providers()[0] != WANTED:
        print(f"the session got {session.get_providers()}: a library of CUDA's or cuDNN's is missing", file=sys.stderr)
        return 1
    rows = np.random.default_rng(1).standard_normal((8, 64)).astype(np.float32)
    found = session.run(None, {"x": rows})[0]
    if not np.allclose(found, np.maximum(rows @ weights, 0), rtol=1e-4, atol=1e-4):
        print("the GPU and the CPU do not agree", file=sys.stderr)
        return 1
    print(f"onnxruntime {onnxruntime.__version__} with {session.get_providers()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
