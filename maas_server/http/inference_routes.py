"""The routes below /v2: Open Inference Protocol, and Triton's extensions of it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import NotFound, Unavailable
from maas_server.front import Front
from maas_server.http.calls import Calls
from maas_server.http.infer import model_infer
from maas_server.http.messages import Request, Response, invalid, json_response, kind, wrong
from maas_server.http.models import Models
from maas_server.http.protobuf_json import to_json
from maas_server.http.routing import Handler, Operation, Route
from maas_server.http.shared_memory_routes import SharedMemoryRoutes

_SERVICE = "/inference.GRPCInferenceService/"
_FILE = "file:"
_MODEL = "/v2/models/{model}"
_VERSION = _MODEL + "/versions/{version}"


class InferenceRoutes:
    """Handlers over the RPCs of GRPCInferenceService."""

    def __init__(self, front: Front, calls: Calls, models: Models, ready: Callable[[], bool]) -> None:
        """`ready`: whether the server takes requests."""
        self._front = front
        self._calls = calls
        self._models = models
        self._ready = ready

    def routes(self) -> list[Route]:
        """Return the routes, those that say more first."""
        return [
            *self._server_routes(),
            *self._repository_routes(),
            *SharedMemoryRoutes(self._calls, "System").routes(),
            *SharedMemoryRoutes(self._calls, "Cuda").routes(),
            *(route for path in (_VERSION, _MODEL) for route in self._model_routes(path)),
        ]

    def _server_routes(self) -> list[Route]:
        settings = Operation(self._logging, "The log settings", response="LogSettings")
        trace = Operation(self._trace, "The trace settings", response="TraceSettings")
        return [
            _get("/v2", self._metadata, "Name, version and extensions of the server", "ServerMetadata"),
            _get("/v2/health/live", _live, "Whether the process lives", "Live", tag="Health"),
            _get("/v2/health/ready", self._server_ready, "Whether requests are taken", "Ready", tag="Health"),
            _get("/v2/models", self._list, "The names of the models that serve", "ModelList"),
            Route(
                "/v2/logging",
                {"GET": settings, "POST": Operation(self._logging, "Change them", "LogSettings", "LogSettings")},
                "Open Inference Protocol",
            ),
            Route(
                "/v2/trace/setting",
                {"GET": trace, "POST": Operation(self._trace, "Change them", "TraceSettings", "TraceSettings")},
                "Open Inference Protocol",
            ),
            _get("/v2/models/stats", self._statistics, "What all versions that serve did so far", "Statistics"),
        ]

    def _model_routes(self, path: str) -> list[Route]:
        trace = Operation(self._trace, "The trace settings", response="TraceSettings")
        return [
            Route(
                path + "/infer",
                {"POST": Operation(self._infer, "Run a model", "InferenceRequest", "InferenceResponse")},
                "Open Inference Protocol",
            ),
            _get(path + "/ready", self._model_ready, "Whether it serves", "ModelReady", tag="Health"),
            _get(path + "/config", self._config, "Its configuration, as Triton has it", "ModelConfig"),
            _get(path + "/stats", self._statistics, "What it did so far", "Statistics"),
            Route(
                path + "/trace/setting",
                {"GET": trace, "POST": Operation(self._trace, "Change them", "TraceSettings", "TraceSettings")},
                "Open Inference Protocol",
            ),
            _get(path, self._model_metadata, "Its versions, inputs and outputs", "ModelMetadata"),
        ]

    def _repository_routes(self) -> list[Route]:
        return [
            _post("/v2/repository/index", self._index, "All models and versions", "IndexRequest", "RepositoryIndex"),
            _post("/v2/repository/models/{model}/load", self._load, "Load a model", "LoadRequest"),
            _post("/v2/repository/models/{model}/unload", self._unload, "Unload a model", "UnloadRequest"),
        ]

    async def _call(self, method: str, request: Message, answer: type[Any]) -> Any:
        return await self._calls.unary(_SERVICE + method, request, answer)

    async def _infer(self, request: Request) -> Response:
        return await model_infer(self._front, self._models, request)

    async def _metadata(self, _: Request) -> Response:
        return json_response(
            to_json(await self._call("ServerMetadata", pb.ServerMetadataRequest(), pb.ServerMetadataResponse))
        )

    async def _server_ready(self, _: Request) -> Response:
        ready = self._ready()
        return json_response({"ready": ready}, 200 if ready else 503)

    async def _list(self, _: Request) -> Response:
        views = await self._models.status()
        return json_response({"models": [view.name for view in views if view.default_version]})

    async def _model_ready(self, request: Request) -> Response:
        name, version = _named(request)
        answer = await self._call("ModelReady", pb.ModelReadyRequest(name=name, version=version), pb.ModelReadyResponse)
        if not answer.ready:
            if self._models.seen(name) is None:
                raise NotFound(f"Request for unknown model: '{name}' is not found", reason="MODEL_NOT_FOUND")
            raise Unavailable(f"{_shown(name, version)} does not serve", reason="VERSION_NOT_AVAILABLE")
        return json_response({"name": name, "ready": True})

    async def _model_metadata(self, request: Request) -> Response:
        name, version = _named(request)
        message = pb.ModelMetadataRequest(name=name, version=version)
        return json_response(to_json(await self._call("ModelMetadata", message, pb.ModelMetadataResponse)))

    async def _config(self, request: Request) -> Response:
        name, version = _named(request)
        message = pb.ModelConfigRequest(name=name, version=version)
        return json_response(to_json((await self._call("ModelConfig", message, pb.ModelConfigResponse)).config))

    async def _statistics(self, request: Request) -> Response:
        name, version = _named(request)
        message = pb.ModelStatisticsRequest(name=name, version=version)
        return json_response(to_json(await self._call("ModelStatistics", message, pb.ModelStatisticsResponse)))

    async def _index(self, request: Request) -> Response:
        given = await request.json()
        ready = given.get("ready", False)
        if not isinstance(ready, bool):
            raise wrong("ready", "true or false", ready)
        answer = await self._call("RepositoryIndex", pb.RepositoryIndexRequest(ready=ready), pb.RepositoryIndexResponse)
        return json_response(
            [{key: value for key, value in to_json(entry).items() if value} for entry in answer.models]
        )

    async def _load(self, request: Request) -> Response:
        message = pb.RepositoryModelLoadRequest(model_name=request.params["model"])
        for name, value in (await _parameters(request)).items():
            _set(message.parameters[name], name, value)
        await self._call("RepositoryModelLoad", message, pb.RepositoryModelLoadResponse)
        return Response()

    async def _unload(self, request: Request) -> Response:
        message = pb.RepositoryModelUnloadRequest(model_name=request.params["model"])
        for name, value in (await _parameters(request)).items():
            _set(message.parameters[name], name, value)
        await self._call("RepositoryModelUnload", message, pb.RepositoryModelUnloadResponse)
        return Response()

    async def _trace(self, request: Request) -> Response:
        message = pb.TraceSettingRequest(model_name=request.params.get("model", ""))
        if request.method == "POST":
            for name, value in (await request.json()).items():
                values = value if isinstance(value, list) else [] if value is None else [value]
                for each in values:
                    if isinstance(each, bool) or not isinstance(each, str | int):
                        raise wrong(f"[{name!r}]", "strings or whole numbers", each)
                message.settings[name].value.extend(map(str, values))
        answer = await self._call("TraceSetting", message, pb.TraceSettingResponse)
        # The level is the only one that can have several.
        return json_response(
            {
                name: list(setting.value) if name == "trace_level" else "".join(setting.value)
                for name, setting in sorted(answer.settings.items())
            }
        )

    async def _logging(self, request: Request) -> Response:
        message = pb.LogSettingsRequest()
        if request.method == "POST":
            for name, value in (await request.json()).items():
                setting = message.settings[name]
                match value:
                    case bool():
                        setting.bool_param = value
                    case int() if 0 <= value < 1 << 32:
                        setting.uint32_param = value
                    case str():
                        setting.string_param = value
                    case _:
                        raise wrong(f"[{name!r}]", "a boolean, a number or a string", value)
        answer = await self._call("LogSettings", message, pb.LogSettingsResponse)
        return json_response(
            {
                name: getattr(setting, setting.WhichOneof("parameter_choice"))
                for name, setting in sorted(answer.settings.items())
            }
        )


async def _live(_: Request) -> Response:
    return json_response({"live": True})


def _get(path: str, handler: Handler, summary: str, response: str, *, tag: str = "Open Inference Protocol") -> Route:
    return Route(path, {"GET": Operation(handler, summary, response=response)}, tag)


def _post(path: str, handler: Handler, summary: str, request: str = "", response: str = "") -> Route:
    return Route(path, {"POST": Operation(handler, summary, request, response)}, "Open Inference Protocol")


def _named(request: Request) -> tuple[str, str]:
    return request.params.get("model", ""), request.params.get("version", "")


def _shown(name: str, version: str) -> str:
    return f"model {name!r}" + (f" version {version}" if version else "")


async def _parameters(request: Request) -> Mapping[str, Any]:
    parameters = (await request.json()).get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise wrong("parameters", "an object", parameters)
    return parameters


def _set(parameter: pb.ModelRepositoryParameter, name: str, value: object) -> None:
    path = f"parameters[{name!r}]"
    if name.startswith(_FILE):
        if not isinstance(value, str):
            raise wrong(path, "a file's bytes as base64", value)
        try:
            parameter.bytes_param = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(path, f"not base64: {error}") from None
        return
    match value:
        case bool():
            parameter.bool_param = value
        case int() if -(1 << 63) <= value < 1 << 63:
            parameter.int64_param = value
        case str():
            parameter.string_param = value
        case _:
            raise invalid(path, f"expected a boolean, a whole number or a string, got {kind(value)}")
