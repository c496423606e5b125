"""What both clients call, as values: path, bytes, how to read the answer, how long to wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar

from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from maas_server._stubs.maas.v1 import model_pb2
from maas_server.client._codec import (
    Prediction,
    QuantizeChoice,
    decode_response,
    encode_address,
    encode_request,
)
from maas_server.client._tensors import TensorLike
from maas_server.errors import InternalError, MaasError, Overloaded

T = TypeVar("T")
M = TypeVar("M", bound=Message)

DEFAULT_TIMEOUT = 30.0
# Loading measures the model, and unloading answers what was accepted.
LOAD_TIMEOUT = 600.0
PREDICT_STREAM = "/maas.v1.PredictService/PredictStream"
WATCH = "/maas.v1.ModelService/WatchModelStatus"


class PredictOptions(TypedDict, total=False):
    """The keyword arguments of `predict` and `submit`, all of them optional."""

    version: int | None
    """Which version answers. Default: the newest that is AVAILABLE."""
    label: str | None
    """Which version answers, by label."""
    outputs: Sequence[str] | None
    """The outputs wanted. Default: all."""
    timeout: float | None
    """Seconds to wait. Default: the client's; None: for ever."""
    quantize: QuantizeChoice
    """Send float inputs quantized: "int8", "uint8" or a `Quantize` for all of them, or a mapping by input."""
    quantize_outputs: QuantizeChoice
    """Have outputs sent quantized: those of `outputs`, or by a mapping, which without `outputs` also says which are
    wanted. They arrive as float32 nevertheless; `Prediction.quantized` has them as they came."""
    priority: int
    """Level, 1 is the highest. Default: 0, the model's default level."""
    request_id: str
    """Comes back in the answer, as `Prediction.request_id`."""
    retry_overloaded: bool
    """Wait and try again, within the timeout, when the server is overloaded and says when to come back."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant of the monotonic clock at which the caller stops waiting; None: never."""

    at: float | None

    @classmethod
    def after(cls, timeout: float | None) -> Deadline:
        """Return the deadline `timeout` seconds from now."""
        return cls(None if timeout is None else time.monotonic() + timeout)

    def remaining(self) -> float | None:
        """Return the seconds left, not below 0; None without a deadline."""
        return None if self.at is None else max(0.0, self.at - time.monotonic())


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One unary call."""

    path: str
    request: bytes
    decode: Callable[[bytes], T]
    timeout: float | None
    to_ready_server: bool = False
    """Whether only a server whose health is SERVING may get it."""
    retry_overloaded: bool = False

    def pause_before_retry(self, error: MaasError, deadline: Deadline) -> float | None:
        """Return how long to wait before trying again after `error`; None: do not."""
        return overload_pause(error, deadline.remaining()) if self.retry_overloaded else None


def overload_pause(error: MaasError, remaining: float | None) -> float | None:
    """Return the seconds after which a refused call may be sent again; None when it may not, or not in time."""
    if not isinstance(error, Overloaded) or error.retry_after is None:
        return None
    return error.retry_after if remaining is None or error.retry_after < remaining else None


@dataclass(frozen=True, slots=True)
class StreamCall:
    """One prediction for a stream."""

    body: bytes
    request_id: str
    timeout: float | None
    retry_overloaded: bool


@dataclass(frozen=True, slots=True)
class Calls:
    """Makes the calls; `timeout` stands where the caller says none."""

    timeout: float | None = DEFAULT_TIMEOUT

    def predict(self, model: str, inputs: Mapping[str, TensorLike], options: PredictOptions) -> Call[Prediction]:
        """Return the call of Predict.

        Raises:
            InvalidRequest: the request cannot be put into bytes.
        """
        one = self.stream_predict(model, inputs, options)
        return Call(
            "/maas.v1.PredictService/Predict",
            one.body + encode_address(one.request_id) if one.request_id else one.body,
            decode_response,
            one.timeout,
            to_ready_server=True,
            retry_overloaded=one.retry_overloaded,
        )

    def stream_predict(self, model: str, inputs: Mapping[str, TensorLike], options: PredictOptions) -> StreamCall:
        """Return one prediction for a stream.

        Raises:
            InvalidRequest: the request cannot be put into bytes.
        """
        body = encode_request(
            model,
            inputs,
            version=options.get("version"),
            label=options.get("label"),
            outputs=options.get("outputs"),
            quantize=options.get("quantize"),
            quantize_outputs=options.get("quantize_outputs"),
            priority=options.get("priority", 0),
        )
        return StreamCall(
            body,
            options.get("request_id", ""),
            options.get("timeout", self.timeout),
            options.get("retry_overloaded", False),
        )

    def status(self, model: str | None, version: int | None) -> Call[list[model_pb2.ModelInfo]]:
        """Return the call of ModelStatus."""
        request = status_request(model, version)
        return Call("/maas.v1.ModelService/ModelStatus", request, decode_status, self.timeout)

    def load(self, model: str, version: int | None, timeout: float | None) -> Call[model_pb2.ModelInfo]:
        """Return the call of LoadModel."""
        request = model_pb2.LoadModelRequest(model=model, version=version or 0).SerializeToString()

        def decode(data: bytes) -> model_pb2.ModelInfo:
            return parse(model_pb2.LoadModelResponse, data).model

        return Call("/maas.v1.ModelService/LoadModel", request, decode, timeout)

    def unload(self, model: str, version: int | None, timeout: float | None) -> Call[model_pb2.ModelInfo]:
        """Return the call of UnloadModel."""
        request = model_pb2.UnloadModelRequest(model=model, version=version or 0).SerializeToString()

        def decode(data: bytes) -> model_pb2.ModelInfo:
            return parse(model_pb2.UnloadModelResponse, data).model

        return Call("/maas.v1.ModelService/UnloadModel", request, decode, timeout)

    def set_label(self, model: str, label: str, version: int | None) -> Call[model_pb2.ModelInfo]:
        """Return the call of SetLabel."""
        request = model_pb2.SetLabelRequest(model=model, label=label, version=version or 0).SerializeToString()

        def decode(data: bytes) -> model_pb2.ModelInfo:
            return parse(model_pb2.SetLabelResponse, data).model

        return Call("/maas.v1.ModelService/SetLabel", request, decode, self.timeout)

    def ready(self, service: str) -> Call[bool]:
        """Return the call of Health.Check."""
        request = health_pb2.HealthCheckRequest(service=service).SerializeToString()

        def decode(data: bytes) -> bool:
            response = parse(health_pb2.HealthCheckResponse, data)
            return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

        return Call("/grpc.health.v1.Health/Check", request, decode, self.timeout)


def status_request(model: str | None, version: int | None) -> bytes:
    """Return a serialized ModelStatusRequest."""
    return model_pb2.ModelStatusRequest(model=model or "", version=version or 0).SerializeToString()


def decode_status(data: bytes) -> list[model_pb2.ModelInfo]:
    """Return the models in a serialized ModelStatusResponse.

    Raises:
        InternalError: the server answered something that does not decode.
    """
    return list(parse(model_pb2.ModelStatusResponse, data).models)


def parse(cls: type[M], data: bytes) -> M:
    """Return the message in `data`.

    Raises:
        InternalError: it does not decode.
    """
    try:
        return cls.FromString(data)
    except DecodeError as error:
        raise InternalError("the server's answer does not decode") from error
