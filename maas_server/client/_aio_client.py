"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Any, TypeVar, Unpack
from weakref import WeakSet

import grpc
import grpc.aio

from maas_server._stubs.maas.v1 import model_pb2
from maas_server.client._aio_stream import AsyncPredictStream
from maas_server.client._calls import (
    DEFAULT_TIMEOUT,
    LOAD_TIMEOUT,
    PREDICT_STREAM,
    WATCH,
    Call,
    Calls,
    Deadline,
    PredictOptions,
    decode_status,
    status_request,
)
from maas_server.client._channel import DEFAULT_ADDRESS, ChannelSettings, channel_options
from maas_server.client._codec import Prediction
from maas_server.client._status import from_rpc_error
from maas_server.client._tensors import TensorLike
from maas_server.errors import Cancelled, NotFound, Unavailable

T = TypeVar("T")


class AsyncClient:
    """A client of one or many equal servers, for the tasks of one event loop; arguments as for `Client`.

    async with AsyncClient("localhost:8001") as client:
        prediction = await client.predict("digits", {"image": image})
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_message_bytes: int = -1,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = ChannelSettings(address, credentials, max_message_bytes, metadata or {})
        self._calls = Calls(timeout)
        self._closed = False
        # A channel that closes lets streams under way go on; we must end them.
        self._streams: WeakSet[AsyncPredictStream] = WeakSet()
        # By whether the channel asks for the server's health; made when first used, inside the loop.
        self._channels: dict[bool, grpc.aio.Channel] = {}

    async def predict(
        self, model: str, inputs: Mapping[str, TensorLike], **options: Unpack[PredictOptions]
    ) -> Prediction:
        """Predict with `model`; `PredictOptions` lists the keyword arguments.

        Raises:
            MaasError: the class says what went wrong.
        """
        return await self._run(self._calls.predict(model, inputs, options))

    def stream(self) -> AsyncPredictStream:
        """Return a stream, to be opened by `async with`, that joins concurrent predictions into shared messages."""
        stream = AsyncPredictStream(
            self._calls,
            lambda: self._channel(health_check=True).stream_stream(PREDICT_STREAM)(metadata=self._settings.pairs),
        )
        self._streams.add(stream)
        return stream

    async def status(self, model: str | None = None, version: int | None = None) -> list[model_pb2.ModelInfo]:
        """Return what the server says about one model or all, as maas.v1.ModelInfo.

        Raises:
            MaasError: the class says what went wrong.
        """
        return await self._run(self._calls.status(model, version))

    async def watch(
        self, model: str | None = None, version: int | None = None, *, timeout: float | None = None
    ) -> AsyncGenerator[list[model_pb2.ModelInfo], None]:
        """Yield the status at once and after each change, until closed.

        Raises:
            MaasError: the class says what went wrong.
        """
        watch: Any = self._channel(health_check=False).unary_stream(WATCH)
        call = watch(status_request(model, version), timeout=timeout, metadata=self._settings.pairs)
        try:
            async for data in call:
                yield decode_status(data)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    async def load(
        self, model: str, version: int | None = None, *, timeout: float | None = LOAD_TIMEOUT
    ) -> model_pb2.ModelInfo:
        """Load a version, or what the version policy wants, and return when it serves.

        Raises:
            MaasError: the class says what went wrong.
        """
        return await self._run(self._calls.load(model, version, timeout))

    async def unload(
        self, model: str, version: int | None = None, *, timeout: float | None = LOAD_TIMEOUT
    ) -> model_pb2.ModelInfo:
        """Drain and unload a version, or all, and return when they ended.

        Raises:
            MaasError: the class says what went wrong.
        """
        return await self._run(self._calls.unload(model, version, timeout))

    async def set_label(self, model: str, label: str, version: int | None) -> model_pb2.ModelInfo:
        """Point a label at a version; None removes it.

        Raises:
            MaasError: the class says what went wrong.
        """
        return await self._run(self._calls.set_label(model, label, version))

    async def ready(self, service: str = "") -> bool:
        """Return whether the server, or a service or model by name, serves.

        Raises:
            MaasError: asking failed for another reason than that it is not there.
        """
        try:
            return await self._run(self._calls.ready(service))
        except (NotFound, Unavailable):
            return False

    async def close(self) -> None:
        """End the connections; calls under way are cancelled."""
        self._closed = True
        for stream in list(self._streams):
            await stream.cancel()
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, call: Call[T]) -> T:
        deadline = Deadline.after(call.timeout)
        send: Any = self._channel(health_check=call.to_ready_server).unary_unary(call.path)
        while True:
            try:
                answer = await send(call.request, timeout=deadline.remaining(), metadata=self._settings.pairs)
            except asyncio.CancelledError:
                # A channel that closes cancels its calls, which look as if their tasks had been.
                if self._closed and (task := asyncio.current_task()) is not None and not task.cancelling():
                    raise Cancelled("the client was closed") from None
                raise
            except grpc.RpcError as failure:
                error = from_rpc_error(failure)
                pause = call.pause_before_retry(error, deadline)
                if pause is None:
                    raise error from failure
            else:
                return call.decode(answer)
            await asyncio.sleep(pause)

    def _channel(self, *, health_check: bool) -> grpc.aio.Channel:
        if self._closed:
            raise Cancelled("the client is closed")
        channel = self._channels.get(health_check)
        if channel is None:
            settings = self._settings
            options = channel_options(settings, health_check=health_check)
            if settings.credentials is None:
                channel = grpc.aio.insecure_channel(settings.address, options)
            else:
                channel = grpc.aio.secure_channel(settings.address, settings.credentials, options)
            self._channels[health_check] = channel
        return channel
