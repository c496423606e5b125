"""The client for threads."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, Unpack

import grpc

from maas_server._stubs.maas.v1 import model_pb2
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
from maas_server.client._stream import PredictStream
from maas_server.client._tensors import TensorLike
from maas_server.errors import Cancelled, NotFound, Unavailable

T = TypeVar("T")


class Client:
    """A client of one or many equal servers; any thread may use it.

    `address` is a gRPC target: "host:port", "dns:///name:port", "unix:/path". `timeout` is the seconds that a call
    waits when it says nothing itself; None: for ever. `metadata` goes with every call, text by lower-case keys: it may
    name the tenant, where a server tells tenants apart.

        with Client("localhost:8001") as client:
            print(client.predict("digits", {"image": image})["probabilities"])
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
        self._closed = threading.Event()
        self._lock = threading.Lock()
        # By whether the channel asks for the server's health; made when first used, guarded by the lock.
        self._channels: dict[bool, grpc.Channel] = {}

    def predict(self, model: str, inputs: Mapping[str, TensorLike], **options: Unpack[PredictOptions]) -> Prediction:
        """Predict with `model`; `PredictOptions` lists the keyword arguments.

        Raises:
            MaasError: the class says what went wrong.
        """
        return self._run(self._calls.predict(model, inputs, options))

    def stream(self) -> PredictStream:
        """Return a stream, to be opened by `with`, that joins concurrent predictions into shared messages."""
        open_stream: Any = self._channel(health_check=True).stream_stream(PREDICT_STREAM)
        return PredictStream(self._calls, partial(open_stream, metadata=self._settings.pairs))

    def status(self, model: str | None = None, version: int | None = None) -> list[model_pb2.ModelInfo]:
        """Return what the server says about one model or all, as maas.v1.ModelInfo.

        Raises:
            MaasError: the class says what went wrong.
        """
        return self._run(self._calls.status(model, version))

    def watch(
        self, model: str | None = None, version: int | None = None, *, timeout: float | None = None
    ) -> Generator[list[model_pb2.ModelInfo], None, None]:
        """Yield the status at once and after each change, until closed.

        Raises:
            MaasError: the class says what went wrong.
        """
        watch: Any = self._channel(health_check=False).unary_stream(WATCH)
        call = watch(status_request(model, version), timeout=timeout, metadata=self._settings.pairs)
        try:
            for data in call:
                yield decode_status(data)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    def load(
        self, model: str, version: int | None = None, *, timeout: float | None = LOAD_TIMEOUT
    ) -> model_pb2.ModelInfo:
        """Load a version, or what the version policy wants, and return when it serves.

        Raises:
            MaasError: the class says what went wrong.
        """
        return self._run(self._calls.load(model, version, timeout))

    def unload(
        self, model: str, version: int | None = None, *, timeout: float | None = LOAD_TIMEOUT
    ) -> model_pb2.ModelInfo:
        """Drain and unload a version, or all, and return when they ended.

        Raises:
            MaasError: the class says what went wrong.
        """
        return self._run(self._calls.unload(model, version, timeout))

    def set_label(self, model: str, label: str, version: int | None) -> model_pb2.ModelInfo:
        """Point a label at a version; None removes it.

        Raises:
            MaasError: the class says what went wrong.
        """
        return self._run(self._calls.set_label(model, label, version))

    def ready(self, service: str = "") -> bool:
        """Return whether the server, or a service or model by name, serves.

        Raises:
            MaasError: asking failed for another reason than that it is not there.
        """
        try:
            return self._run(self._calls.ready(service))
        except (NotFound, Unavailable):
            return False

    def close(self) -> None:
        """End the connections; calls under way are cancelled."""
        with self._lock:
            self._closed.set()
            channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, call: Call[T]) -> T:
        deadline = Deadline.after(call.timeout)
        send: Any = self._channel(health_check=call.to_ready_server).unary_unary(call.path)
        while True:
            try:
                answer = send(call.request, timeout=deadline.remaining(), metadata=self._settings.pairs)
            except grpc.RpcError as failure:
                error = from_rpc_error(failure)
                pause = call.pause_before_retry(error, deadline)
                if pause is None:
                    raise error from failure
            else:
                return call.decode(answer)
            if self._closed.wait(pause):
                raise Cancelled("the client was closed")

    def _channel(self, *, health_check: bool) -> grpc.Channel:
        with self._lock:
            if self._closed.is_set():
                raise Cancelled("the client is closed")
            channel = self._channels.get(health_check)
            if channel is None:
                settings = self._settings
                options = channel_options(settings, health_check=health_check)
                if settings.credentials is None:
                    channel = grpc.insecure_channel(settings.address, options)
                else:
                    channel = grpc.secure_channel(settings.address, settings.credentials, options)
                self._channels[health_check] = channel
            return channel
