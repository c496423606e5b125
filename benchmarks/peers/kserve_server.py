"""KServe's Python server with one ONNX model: python kserve_server.py MODEL_NAME MODEL_FILE GRPC_PORT HTTP_PORT.

Runs in an environment of its own (environments.py). Written as KServe's documentation writes a custom predictor, with
raw tensors in the answer, which is its cheapest form.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class OnnxModel(Model):
    def __init__(self, name: str, path: str) -> None:
        super().__init__(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.ready = True

    def predict(
        self,
        payload: InferRequest,
        headers: Any = None,  # noqa: ARG002 - the signature is the library's
        response_headers: Any = None,  # noqa: ARG002
    ) -> InferResponse:
        tensor = payload.inputs[0]
        (answer,) = self._session.run(None, {tensor.name: tensor.as_numpy()})
        output = InferOutput("y", list(answer.shape), "FP32")
        output.set_data_from_numpy(answer, binary_data=True)
        return InferResponse(payload.id, self.name, [output])


if __name__ == "__main__":
    model_name, model_file, grpc_port, http_port = sys.argv[1:]
    # A line per request is its default, and no fair price for serving one.
    logging.getLogger("kserve").setLevel(logging.WARNING)
    server = ModelServer(grpc_port=int(grpc_port), http_port=int(http_port), enable_grpc=True, workers=1)
    server.start([OnnxModel(model_name, model_file)])
