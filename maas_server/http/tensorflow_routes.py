"""The routes below /v1: TensorFlow Serving's REST interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from maas_server._core import CoreError
from maas_server._stubs.tensorflow_serving import model_pb2, model_service_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server.compat_pool import COMPAT_POOL
from maas_server.errors import MaasError, NotFound, Unavailable
from maas_server.front import Front, Protocol, core_error
from maas_server.http import tensorflow_examples, tensorflow_tensors
from maas_server.http.caller import Caller, in_time
from maas_server.http.calls import Calls
from maas_server.http.infer import infer, while_present
from maas_server.http.messages import Blob, Request, Response, invalid, json_response, whole_number
from maas_server.http.models import Models
from maas_server.http.routing import Handler, Operation, Route
from maas_server.protocols import tensorflow
from maas_server.protocols.not_found import NOT_SERVING, tensorflow_error

_PREDICTION = "/tensorflow.serving.PredictionService/"
_MODEL = "/tensorflow.serving.ModelService/"
_TAG = "TensorFlow Serving"
_MAX_VERSION = (1 << 63) - 1
_PATHS = ("/v1/models/{model}/versions/{version}", "/v1/models/{model}/labels/{label}", "/v1/models/{model}")


class TensorFlowRoutes:
    """Predict goes to the core by itself, the rest by the RPCs of TensorFlow Serving's services."""

    def __init__(self, front: Front, calls: Calls, models: Models) -> None:
        """Nothing is called yet."""
        self._front = front
        self._calls = calls
        self._models = models

    def routes(self) -> list[Route]:
        """Return the routes, those that say more first."""
        routes = [Route("/v1/models", {"GET": Operation(self._list, "The models that serve", "", "ModelList")}, _TAG)]
        for path in _PATHS:
            routes += [
                _post(f"{path}:predict", self._predict, "Run a model", "Predict"),
                _post(f"{path}:classify", self._classify, "Labels and scores of examples", "Classify"),
                _post(f"{path}:regress", self._regress, "Values for examples", "Regress"),
                Route(
                    f"{path}/metadata",
                    {"GET": Operation(self._metadata, "Its signature", response="TensorFlowMetadata")},
                    _TAG,
                ),
                Route(path, {"GET": Operation(self._status, "Its versions", response="TensorFlowStatus")}, _TAG),
            ]
        return routes

    async def _list(self, _: Request) -> Response:
        views = await self._models.status()
        return json_response({"models": [view.name for view in views if view.default_version]})

    async def _status(self, request: Request) -> Response:
        message = model_service_pb2.GetModelStatusRequest()
        _fill_spec(message.model_spec, request)
        answer = await self._calls.unary(_MODEL + "GetModelStatus", message, model_service_pb2.GetModelStatusResponse)
        told = _json(answer)
        # KServe's first protocol asks for these at the same path.
        told["name"] = request.params["model"]
        told["ready"] = any(each["state"] == "AVAILABLE" for each in told["model_version_status"])
        return json_response(told)

    async def _metadata(self, request: Request) -> Response:
        message = pb.GetModelMetadataRequest(metadata_field=["signature_def"])
        _fill_spec(message.model_spec, request)
        return json_response(
            _json(await self._calls.unary(_PREDICTION + "GetModelMetadata", message, pb.GetModelMetadataResponse))
        )

    async def _classify(self, request: Request) -> Response:
        raw = await self._call(request, "Classify")
        return await _written(request, raw, tensorflow_examples.write_classifications)

    async def _regress(self, request: Request) -> Response:
        raw = await self._call(request, "Regress")
        return await _written(request, raw, tensorflow_examples.write_regressions)

    async def _call(self, request: Request, method: str) -> bytes:
        caller = request.caller()
        raw = await _examples(request)
        return await while_present(request, in_time(caller, self._calls.unary_bytes(_PREDICTION + method, raw, caller)))

    async def _predict(self, request: Request) -> Response:
        caller = request.caller()
        body = await request.read()
        spec = model_pb2.ModelSpec()
        _fill_spec(spec, request)
        try:
            try:
                answer, rows = await self._run(request, caller, body, spec)
            except (NotFound, Unavailable) as error:
                if error.reason not in NOT_SERVING:
                    raise
                # What is known of the model here may be some moments old.
                await self._models.refresh()
                answer, rows = await self._run(request, caller, body, spec)
        except MaasError as error:
            raise tensorflow_error(error, spec, self._models.seen(spec.name)) from None
        return await _written(request, answer, tensorflow_tensors.write_predicted, rows)

    async def _run(
        self, request: Request, caller: Caller, body: bytes, spec: model_pb2.ModelSpec
    ) -> tuple[bytes, bool]:
        """Return the serialized answer, and whether it is wanted row by row."""
        tensorflow.check_spec(spec)
        view = self._models.seen(spec.name)
        if view is None:
            raise NotFound(f"no model {spec.name!r}", reason="MODEL_NOT_FOUND")
        version = tensorflow.serving_version(view, spec)
        assert version.signature is not None
        reading = request.large.read(len(body), tensorflow_tensors.read_predict, Blob(body), version.signature)
        told, rows, spec.signature_name = await while_present(request, reading)
        message = pb.PredictRequest(model_spec=spec)
        # Encoded by this version's signature, and so meant for no other.
        message.model_spec.version.value = version.version
        raw = b"".join((message.SerializeToString(), told.data))
        try:
            answer = await while_present(request, infer(self._front, caller, Protocol.TENSORFLOW_PREDICT, raw))
        except CoreError as error:
            raise core_error(error) from None
        return answer, rows


async def _examples(request: Request) -> bytes:
    """Return the serialized request of classify, which has the same fields as that of regress."""
    message = pb.ClassificationRequest()
    _fill_spec(message.model_spec, request)
    body = await request.read()
    told = await while_present(request, request.large.read(len(body), tensorflow_examples.read_examples, Blob(body)))
    return b"".join((message.SerializeToString(), told.data))


async def _written(request: Request, answer: bytes, write: Callable[..., Blob], *arguments: object) -> Response:
    writing = request.large.write(len(answer), write, Blob(answer), request.large.max_bytes, *arguments)
    return Response(bytes((await while_present(request, writing)).data))


def _fill_spec(spec: model_pb2.ModelSpec, request: Request) -> None:
    spec.name = request.params["model"]
    if "version" in request.params:
        spec.version.value = _version(request)
    elif "label" in request.params:
        spec.version_label = request.params["label"]


def _version(request: Request) -> int:
    text = request.params.get("version", "0")
    version = whole_number(text, _MAX_VERSION)
    if version is None:
        raise invalid("version", f"expected digits, got {text[:64]!r}")
    return version


def _json(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        descriptor_pool=COMPAT_POOL,
    )


def _post(path: str, handler: Handler, summary: str, schema: str) -> Route:
    operation = Operation(handler, summary, f"{schema}Request", f"{schema}Response")
    return Route(path, {"POST": operation}, _TAG)
