"""Runs `maas_server.server.Server` in the present loop, and speaks to it in raw messages."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server.server import Server
from maas_server.settings import Settings

PREDICT = "/maas.v1.PredictService/Predict"
STREAM = "/maas.v1.PredictService/PredictStream"
SECONDS = 30.0

DATATYPES = {
    np.dtype(np.float32): tensor_pb2.FP32,
    np.dtype(np.float64): tensor_pb2.FP64,
    np.dtype(np.int8): tensor_pb2.INT8,
    np.dtype(np.uint8): tensor_pb2.UINT8,
    np.dtype(np.int64): tensor_pb2.INT64,
}


def tensor(name: str, array: Any, **fields: Any) -> tensor_pb2.Tensor:
    """The message for an array; `fields` replace what follows from it."""
    array = np.asarray(array)
    given = {"datatype": DATATYPES[array.dtype], "shape": array.shape, "data": array.tobytes(), **fields}
    return tensor_pb2.Tensor(name=name, **given)


def request(model: str, *inputs: tensor_pb2.Tensor, **fields: Any) -> predict_pb2.PredictRequest:
    return predict_pb2.PredictRequest(model=model, inputs=inputs, **fields)


class Refused(Exception):
    """An RPC ended with an error; everything that came with it."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__(f"{error.code().name}: {error.details()}")
        self.code = error.code()
        self.message = error.details() or ""
        self.status = status_pb2.Status()
        metadata = dict(error.trailing_metadata() or ())
        if details := metadata.get("grpc-status-details-bin"):
            self.status.ParseFromString(details)

    def detail(self, kind: type[Any]) -> Any:
        """The detail message of this type; None if there is none."""
        for packed in self.status.details:
            message = kind()
            if packed.Unpack(message):
                return message
        return None

    @property
    def fields(self) -> dict[str, str]:
        """Field to description, of the BadRequest detail."""
        bad = self.detail(error_details_pb2.BadRequest)
        return {each.field: each.description for each in bad.field_violations} if bad else {}

    @property
    def reason(self) -> str:
        info = self.detail(error_details_pb2.ErrorInfo)
        return info.reason if info else ""


class InProcessServer:
    """Use as an asynchronous context; `port` and `channel` are there inside. `credentials`: those of the channel."""

    def __init__(self, settings: Settings, credentials: grpc.ChannelCredentials | None = None) -> None:
        self._settings = settings
        self._credentials = credentials

    async def __aenter__(self) -> InProcessServer:
        self.server = Server(self._settings)
        self._running = asyncio.create_task(self.server.run())
        async with asyncio.timeout(SECONDS):
            await self.server.listening.wait()
        address = f"127.0.0.1:{self.server.port}"
        if self._credentials is None:
            self.channel = grpc.aio.insecure_channel(address)
        else:
            self.channel = grpc.aio.secure_channel(address, self._credentials)
        async with asyncio.timeout(SECONDS):
            await self._until_serving()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.channel.close()
        self.server.stop()
        async with asyncio.timeout(SECONDS):
            assert await self._running == 0

    async def _until_serving(self) -> None:
        watch: Any = self.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        call = watch(health_pb2.HealthCheckRequest(service=""))
        async for response in call:
            if response.status == health_pb2.HealthCheckResponse.SERVING:
                break
        call.cancel()

    async def health(self, service: str) -> int:
        """The status of a service; raises what the RPC raises."""
        check = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        response = await check(health_pb2.HealthCheckRequest(service=service), timeout=SECONDS)
        return int(response.status)

    async def call(self, method: str, raw: bytes, timeout: float = SECONDS) -> bytes:
        """One unary RPC on bytes.

        Raises:
            Refused: it failed.
        """
        try:
            unary: Any = self.channel.unary_unary(method)
            return bytes(await unary(raw, timeout=timeout))
        except grpc.aio.AioRpcError as error:
            raise Refused(error) from error

    async def predict(
        self, message: predict_pb2.PredictRequest, timeout: float = SECONDS
    ) -> predict_pb2.PredictResponse:
        """One Predict."""
        raw = await self.call(PREDICT, message.SerializeToString(), timeout)
        return predict_pb2.PredictResponse.FromString(raw)

    def open_stream(self) -> Any:
        """A PredictStream to write to and read from."""
        open_stream: Any = self.channel.stream_stream(STREAM)
        return open_stream()

    async def stream(self, *messages: bytes) -> list[predict_pb2.PredictStreamAnswer]:
        """Send messages over one PredictStream and return all answers.

        Raises:
            Refused: the stream failed.
        """
        open_stream: Any = self.channel.stream_stream(STREAM)
        call = open_stream(iter(messages), timeout=SECONDS)
        answers: list[predict_pb2.PredictStreamAnswer] = []
        try:
            async for raw in call:
                answers += predict_pb2.PredictStreamResponse.FromString(raw).answers
        except grpc.aio.AioRpcError as error:
            raise Refused(error) from error
        return answers
