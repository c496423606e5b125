"""Mosec with one ONNX model: env MODEL=MODEL_FILE MAX_BATCH=ROWS python mosec_server.py, and Mosec's own options.

Runs in an environment of its own (environments.py). Written as Mosec's documentation writes a worker that overrides
what it reads and writes: the values as they are, without JSON, which is its cheapest form. Mosec itself starts one
process for the model, besides those that take requests and watch over the others.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime
from mosec import Server, Worker


class OnnxModel(Worker):
    resp_mime_type = "application/octet-stream"

    def __init__(self) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])

    def deserialize(self, data: bytes) -> Any:
        return np.frombuffer(data, np.float32)

    def forward(self, data: list[Any]) -> list[Any]:
        (answers,) = self._session.run(None, {"x": np.stack(data)})
        return list(answers)

    def serialize(self, data: Any) -> bytes:
        content: bytes = data.tobytes()
        return content


if __name__ == "__main__":
    server = Server()
    # A millisecond for others to come, as our server takes under load.
    server.append_worker(OnnxModel, num=1, max_batch_size=int(os.environ["MAX_BATCH"]), max_wait_time=1)
    server.run()
