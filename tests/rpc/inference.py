"""Calls GRPCInferenceService of a server in the present loop, by its descriptor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.rpc.inference_service import SERVICE
from tests.models import onnx_models
from tests.server.in_process import SECONDS, InProcessServer, Refused

METHODS = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
STREAM = f"/{SERVICE}/ModelStreamInfer"


async def call(channel: grpc.aio.Channel, method: str, request: Message | None = None) -> Any:
    """One unary RPC with a message, an empty one if none is given."""
    kinds = METHODS[method]
    message = GetMessageClass(kinds.input_type)() if request is None else request
    unary: Any = channel.unary_unary(
        f"/{SERVICE}/{method}", type(message).SerializeToString, GetMessageClass(kinds.output_type).FromString
    )
    return await unary(message, timeout=SECONDS)


class Inference:
    """One method per RPC would be the stubs again; this takes the name of any."""

    def __init__(self, server: InProcessServer) -> None:
        self.server = server

    async def __call__(self, method: str, **fields: Any) -> Any:
        """One unary RPC.

        Raises:
            Refused: it failed.
        """
        return await self.send(method, GetMessageClass(METHODS[method].input_type)(**fields))

    async def send(self, method: str, request: Message) -> Any:
        """The same with a message."""
        try:
            return await call(self.server.channel, method, request)
        except grpc.aio.AioRpcError as error:
            raise Refused(error) from error

    async def infer(self, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        response: pb.ModelInferResponse = await self.send("ModelInfer", request)
        return response

    def open_stream(self, metadata: Sequence[tuple[str, str]] = (), timeout: float = SECONDS, **options: Any) -> Any:
        """A ModelStreamInfer of messages, to write to and read from."""
        stream: Any = self.server.channel.stream_stream(
            STREAM, pb.ModelInferRequest.SerializeToString, pb.ModelStreamInferResponse.FromString
        )
        return stream(metadata=tuple(metadata), timeout=timeout, **options)


def request(model: str, array: np.ndarray[Any, Any], *, name: str = "x", **fields: Any) -> pb.ModelInferRequest:
    """A request with one raw FP32 input."""
    message = pb.ModelInferRequest(model_name=model, **fields)
    message.inputs.add(name=name, datatype="FP32", shape=array.shape)
    message.raw_input_contents.append(array.astype("<f4").tobytes())
    return message


def save_model(root: Path, name: str, model: onnx.ModelProto, version: int = 1, **files: str) -> None:
    """Write one version, and files of the model's folder, as if they had lain there for long."""
    onnx_models.save(model, root / name / str(version) / "model.onnx")
    for file, text in files.items():
        (root / name / file.replace("_", ".")).write_text(text)
    for path in [root / name, *(root / name).rglob("*")]:
        os.utime(path, (1, 1))
