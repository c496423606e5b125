"""The routes below /v1: TensorFlow Serving's REST interface."""

from __future__ import annotations

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
from maas_server.http.apart import apart
from maas_server.http.calls import Calls
from maas_server.http.infer import while_present
from maas_server.http.messages import Request, Response, invalid, json_response, parse_object, whole_number, wrong
from maas_server.http.models import Models
from maas_server.http.routing import Handler, Operation, Route
from maas_server.models.runner import Signature
from maas_server.protocols import tensorflow
from maas_server.protocols.not_found import tensorflow_error

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
        message = pb.ClassificationRequest()
        await _fill_examples(message, request)
        answer = await self._calls.unary(_PREDICTION + "Classify", message, pb.ClassificationResponse)
        return json_response({"results": tensorflow_examples.classifications(answer.result)})

    async def _regress(self, request: Request) -> Response:
        message = pb.RegressionRequest()
        await _fill_examples(message, request)
        answer = await self._calls.unary(_PREDICTION + "Regress", message, pb.RegressionResponse)
        return json_response({"results": tensorflow_examples.regressions(answer.result)})

    async def _predict(self, request: Request) -> Response:
        text = await request.read()
        body = await apart(len(text), lambda: parse_object(text))
        spec = model_pb2.ModelSpec(signature_name=_signature_name(body))
        _fill_spec(spec, request)
        try:
            try:
                return await self._run(request, len(text), body, spec)
            except (NotFound, Unavailable):
                # What is known of the model here may be some moments old.
                await self._models.refresh()
                return await self._run(request, len(text), body, spec)
        except MaasError as error:
            raise tensorflow_error(error, spec, self._models.seen(spec.name)) from None

    async def _run(self, request: Request, size: int, body: dict[str, Any], spec: model_pb2.ModelSpec) -> Response:
        """Answer what a text of `size` bytes asked for."""
        tensorflow.check_spec(spec)
        view = self._models.seen(spec.name)
        if view is None:
            raise NotFound(f"no model {spec.name!r}", reason="MODEL_NOT_FOUND")
        version = tensorflow.serving_version(view, spec)
        signature = version.signature
        assert signature is not None
        message = pb.PredictRequest(model_spec=spec)
        # Encoded by this version's signature, and so meant for no other.
        message.model_spec.version.value = version.version
        rows = await apart(size, lambda: _fill_inputs(message, body, signature))
        raw = await apart(size, message.SerializeToString)
        try:
            answer = await while_present(request, self._front.infer(Protocol.TENSORFLOW_PREDICT, raw, None))
        except CoreError as error:
            raise core_error(error) from None
        return await apart(len(answer), lambda: _predicted(answer, rows=rows))


def _predicted(raw: bytes, *, rows: bool) -> Response:
    answer = pb.PredictResponse.FromString(raw)
    if rows:
        return json_response({"predictions": tensorflow_tensors.predictions(answer.outputs)})
    values = {name: tensorflow_tensors.decode(name, proto) for name, proto in sorted(answer.outputs.items())}
    return json_response({"outputs": next(iter(values.values())) if len(values) == 1 else values})


def _fill_inputs(message: pb.PredictRequest, body: dict[str, Any], signature: Signature) -> bool:
    columns, rows = tensorflow_tensors.columns(body, signature)
    infos = {info.name: info for info in signature.inputs}
    for name, values in columns.items():
        path = f"inputs[{name!r}]"
        if name not in infos:
            raise invalid(path, f"the model has no such input; it has {', '.join(infos)}")
        tensorflow_tensors.encode(values, infos[name], path, message.inputs[name])
    return rows


async def _fill_examples(message: pb.ClassificationRequest | pb.RegressionRequest, request: Request) -> None:
    text = await request.read()
    body = await apart(len(text), lambda: parse_object(text))
    _fill_spec(message.model_spec, request)
    message.model_spec.signature_name = _signature_name(body)
    await apart(len(text), lambda: tensorflow_examples.fill_input(message.input, body))


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


def _signature_name(body: dict[str, Any]) -> str:
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise wrong("signature_name", "a string", name)
    return name


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
