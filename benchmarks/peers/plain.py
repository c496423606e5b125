"""What perf_analyzer measures us against: a grpc.aio handler of the Open Inference Protocol that runs each request.

    python -m benchmarks.peers.plain POLICY MODEL_NAME MODEL_FILE

No queue, no batch: the session is called on the loop. POLICY is the name of a scheduling policy in the module `os`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import numpy as np
import onnxruntime
import uvloop
from google.protobuf.message import Message

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server._stubs.inference import model_config_pb2

SERVICE = "inference.GRPCInferenceService"


def handlers(name: str, path: str) -> Mapping[str, grpc.RpcMethodHandler[Any, Any]]:
    """Return the methods that perf_analyzer calls."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (tensor,), (output,) = session.get_inputs(), session.get_outputs()
    width_in, width_out = tensor.shape[1], output.shape[1]

    async def infer(request: pb.ModelInferRequest, _: Any) -> pb.ModelInferResponse:
        row = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(tuple(request.inputs[0].shape))
        (answer,) = session.run(None, {tensor.name: row})
        return pb.ModelInferResponse(
            model_name=name,
            model_version="1",
            id=request.id,
            outputs=[pb.ModelInferResponse.InferOutputTensor(name=output.name, datatype="FP32", shape=answer.shape)],
            raw_output_contents=[answer.tobytes()],
        )

    metadata = pb.ModelMetadataResponse(
        name=name,
        versions=["1"],
        platform="onnxruntime_onnx",
        inputs=[pb.ModelMetadataResponse.TensorMetadata(name=tensor.name, datatype="FP32", shape=[-1, width_in])],
        outputs=[pb.ModelMetadataResponse.TensorMetadata(name=output.name, datatype="FP32", shape=[-1, width_out])],
    )
    config = pb.ModelConfigResponse()
    config.config.name = name
    config.config.max_batch_size = 64
    config.config.input.add(name=tensor.name, data_type=model_config_pb2.TYPE_FP32, dims=[width_in])
    config.config.output.add(name=output.name, data_type=model_config_pb2.TYPE_FP32, dims=[width_out])
    return {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(
            infer, pb.ModelInferRequest.FromString, pb.ModelInferResponse.SerializeToString
        ),
        "ServerLive": _fixed(pb.ServerLiveResponse(live=True)),
        "ServerReady": _fixed(pb.ServerReadyResponse(ready=True)),
        "ModelReady": _fixed(pb.ModelReadyResponse(ready=True)),
        "ServerMetadata": _fixed(pb.ServerMetadataResponse(name="plain", version="1")),
        "ModelMetadata": _fixed(metadata),
        "ModelConfig": _fixed(config),
    }


def _fixed(message: Message) -> grpc.RpcMethodHandler[bytes, bytes]:
    content = message.SerializeToString()

    async def answer(_: bytes, __: Any) -> bytes:
        return content

    serve: Callable[[bytes, Any], Awaitable[bytes]] = answer
    return grpc.unary_unary_rpc_method_handler(serve)


async def main(name: str, path: str) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, dict(handlers(name, path))),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"event": "ready", "grpc_port": port}), flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    os.sched_setscheduler(0, getattr(os, sys.argv[1]), os.sched_param(0))
    uvloop.run(main(*sys.argv[2:]))
