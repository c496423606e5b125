"""A server of maas.v1 that answers as a test says, over real gRPC with real messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from maas_server._stubs.maas.v1 import model_pb2, predict_pb2, tensor_pb2

Answer: TypeAlias = predict_pb2.PredictResponse | status_pb2.Status
Behaviour: TypeAlias = Callable[[predict_pb2.PredictRequest], Answer]

WAIT_SECONDS = 20.0


def echo(request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
    """Answer with the inputs as outputs."""
    return predict_pb2.PredictResponse(
        id=request.id,
        model=request.model,
        version=request.version or 3,
        outputs=request.inputs,
        receipt=predict_pb2.Receipt(
            queue_ns=1_500_000, run_ns=250_000, batch_size=4, batches=1, predicted_ns=2_000_000, total_ns=1_900_000
        ),
    )


def error_status(
    code: grpc.StatusCode,
    message: str,
    *,
    violations: tuple[tuple[str, str], ...] = (),
    retry_after: float | None = None,
    reason: str = "",
) -> status_pb2.Status:
    """Return a status with details."""
    status = status_pb2.Status(code=code.value[0], message=message)
    details: list[Message] = []
    if violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
            for field, description in violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    if retry_after is not None:
        seconds, nanos = divmod(round(retry_after * 1e9), 10**9)
        details.append(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos)))
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="maas"))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def digits_model() -> model_pb2.ModelInfo:
    """Return the status of a model with one input and one output."""
    return model_pb2.ModelInfo(
        name="digits",
        default_version=3,
        labels={"stable": 2},
        versions=[
            model_pb2.VersionInfo(
                version=number,
                state=model_pb2.AVAILABLE,
                runner="onnxruntime",
                signature=model_pb2.Signature(
                    inputs=[
                        model_pb2.TensorSignature(
                            name="image", datatype=tensor_pb2.FP32, shape=[-1, 4], dim_names=["batch", ""]
                        )
                    ],
                    outputs=[model_pb2.TensorSignature(name="scores", datatype=tensor_pb2.FP32, shape=[-1, 2])],
                ),
                batching=model_pb2.Batching(enabled=True, max_batch_size=32, max_queue_rows=4096, instances=1),
                curve=[model_pb2.CurvePoint(rows=8, seconds=0.002, bytes=3_000_000)],
                scheduling=model_pb2.Scheduling(
                    mode=model_pb2.Scheduling.PREDICTIVE,
                    predicted_ns=2_500_000,
                    headroom=0.25,
                    device="cpu",
                    device_idle=0.5,
                ),
                counters=model_pb2.Counters(succeeded=7, rejected=1, batches=2, run_ns=3_000_000),
            )
            for number in (3, 2)
        ],
    )


class FakeServer:
    """Serves on a free port of the loopback until stopped. Behaviour may be replaced at any time."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = echo
        self.models = {"digits": digits_model()}
        self.requests: list[predict_pb2.PredictRequest] = []
        self.metadata: list[dict[str, str | bytes]] = []
        """Of each RPC of PredictService and each ModelStatus."""
        self.predict_seconds: list[float | None] = []
        """How long the caller of each Predict waits."""
        self.messages: list[int] = []
        """Requests in each message of a stream."""
        self.control: list[Message] = []
        self.streams = 0
        self.break_streams_with: list[grpc.StatusCode] = []
        """Each ends one stream, after its first message and without an answer."""
        self.read_streams = threading.Event()
        """While clear, nothing is read from streams."""
        self.read_streams.set()
        self.changed = threading.Semaphore(0)
        """Released once per change that watchers are to be told."""
        self.health = health.HealthServicer(experimental_non_blocking=True)
        self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        self._server = grpc.server(
            ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1)]
        )
        self._server.add_generic_rpc_handlers((self._predict_handlers(), self._model_handlers()))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> FakeServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.read_streams.set()
        self.changed.release(100)
        self._server.stop(None).wait(WAIT_SECONDS)

    def _predict_handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "maas.v1.PredictService",
            {
                "Predict": grpc.unary_unary_rpc_method_handler(
                    self._predict,
                    predict_pb2.PredictRequest.FromString,
                    predict_pb2.PredictResponse.SerializeToString,
                ),
                "PredictStream": grpc.stream_stream_rpc_method_handler(
                    self._predict_stream,
                    predict_pb2.PredictStreamRequest.FromString,
                    predict_pb2.PredictStreamResponse.SerializeToString,
                ),
            },
        )

    def _model_handlers(self) -> grpc.GenericRpcHandler:
        def unary(function: Any, request: type[Message]) -> grpc.RpcMethodHandler[Any, Any]:
            return grpc.unary_unary_rpc_method_handler(function, request.FromString, _serialize)

        watch = grpc.unary_stream_rpc_method_handler(self._watch, model_pb2.ModelStatusRequest.FromString, _serialize)
        return grpc.method_handlers_generic_handler(
            "maas.v1.ModelService",
            {
                "ModelStatus": unary(self._status, model_pb2.ModelStatusRequest),
                "WatchModelStatus": watch,
                "LoadModel": unary(self._load, model_pb2.LoadModelRequest),
                "UnloadModel": unary(self._unload, model_pb2.UnloadModelRequest),
                "SetLabel": unary(self._set_label, model_pb2.SetLabelRequest),
            },
        )

    def _predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        self.requests.append(request)
        self.predict_seconds.append(context.time_remaining())
        self._note(context)
        answer = self.behaviour(request)
        if not isinstance(answer, predict_pb2.PredictResponse):
            _abort(context, answer)
        return answer

    def _predict_stream(
        self, requests: Iterator[predict_pb2.PredictStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[predict_pb2.PredictStreamResponse]:
        self.streams += 1
        self._note(context)
        self.read_streams.wait(WAIT_SECONDS)
        for message in requests:
            self.messages.append(len(message.requests))
            self.requests += message.requests
            if self.break_streams_with:
                code = self.break_streams_with.pop(0)
                context.abort(code, "this stream is over")
            response = predict_pb2.PredictStreamResponse()
            for request in message.requests:
                answer = self.behaviour(request)
                added = response.answers.add(id=request.id)
                if isinstance(answer, predict_pb2.PredictResponse):
                    added.response.CopyFrom(answer)
                else:
                    added.error.CopyFrom(answer)
            yield response

    def _status(
        self, request: model_pb2.ModelStatusRequest, context: grpc.ServicerContext
    ) -> model_pb2.ModelStatusResponse:
        self._note(context)
        return model_pb2.ModelStatusResponse(models=self._found(request.model, context))

    def _watch(
        self, request: model_pb2.ModelStatusRequest, context: grpc.ServicerContext
    ) -> Iterator[model_pb2.ModelStatusResponse]:
        while context.is_active():
            yield model_pb2.ModelStatusResponse(models=self._found(request.model, context))
            self.changed.acquire(timeout=WAIT_SECONDS)

    def _load(self, request: model_pb2.LoadModelRequest, context: grpc.ServicerContext) -> model_pb2.LoadModelResponse:
        self.control.append(request)
        return model_pb2.LoadModelResponse(model=self._found(request.model, context)[0])

    def _unload(
        self, request: model_pb2.UnloadModelRequest, context: grpc.ServicerContext
    ) -> model_pb2.UnloadModelResponse:
        self.control.append(request)
        return model_pb2.UnloadModelResponse(model=self._found(request.model, context)[0])

    def _set_label(
        self, request: model_pb2.SetLabelRequest, context: grpc.ServicerContext
    ) -> model_pb2.SetLabelResponse:
        self.control.append(request)
        return model_pb2.SetLabelResponse(model=self._found(request.model, context)[0])

    def _note(self, context: grpc.ServicerContext) -> None:
        self.metadata.append(dict(context.invocation_metadata()))

    def _found(self, model: str, context: grpc.ServicerContext) -> list[model_pb2.ModelInfo]:
        if model and model not in self.models:
            _abort(context, error_status(grpc.StatusCode.NOT_FOUND, f"model {model} is not known"))
        return [info for name, info in sorted(self.models.items()) if model in ("", name)]


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _abort(context: grpc.ServicerContext, status: status_pb2.Status) -> NoReturn:
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    context.abort(code, status.message)
