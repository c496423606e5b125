"""What GRPCInferenceService does with the repository."""

from __future__ import annotations

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import InvalidRequest, MaasError, NotFound, Unimplemented, Violation
from maas_server.models.registry import LoadOverrides, Registry
from maas_server.protocols import open_inference
from maas_server.protocols.not_found import with_phrase
from maas_server.rpc.handlers import UnaryHandler, unary

_FILE = "file:"


def repository_methods(registry: Registry) -> dict[str, UnaryHandler]:
    """Return the handlers."""

    async def index(request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        _check_repository(request.repository_name)
        return open_inference.repository_index(registry.status(), ready=request.ready)

    async def load(request: pb.RepositoryModelLoadRequest) -> pb.RepositoryModelLoadResponse:
        _check_repository(request.repository_name)
        open_inference.check_name(request.model_name, field="model_name")
        await registry.load(request.model_name, overrides=_overrides(request))
        return pb.RepositoryModelLoadResponse()

    async def unload(request: pb.RepositoryModelUnloadRequest) -> pb.RepositoryModelUnloadResponse:
        _check_repository(request.repository_name)
        open_inference.check_name(request.model_name, field="model_name")
        _check_unload(request)
        try:
            await registry.unload(request.model_name)
        except NotFound as error:
            # As in Triton: afterwards it is not loaded, and so it is.
            if error.reason != "MODEL_NOT_FOUND":
                raise
        return pb.RepositoryModelUnloadResponse()

    return {
        "RepositoryIndex": unary(index, pb.RepositoryIndexRequest),
        "RepositoryModelLoad": unary(load, pb.RepositoryModelLoadRequest, _explain_load, most_bytes=None),
        "RepositoryModelUnload": unary(unload, pb.RepositoryModelUnloadRequest),
    }


def _explain_load(error: MaasError, request: pb.RepositoryModelLoadRequest) -> MaasError:
    phrase = f"failed to load '{request.model_name}'"
    if error.reason == "MODEL_NOT_FOUND":
        phrase += ", failed to poll from model repository"
    return with_phrase(error, phrase)


def _check_repository(name: str) -> None:
    if name:
        raise Unimplemented("repository_name: this server has one repository, which is named by none")


def _overrides(request: pb.RepositoryModelLoadRequest) -> LoadOverrides | None:
    config: str | None = None
    files: dict[str, bytes] = {}
    for name, parameter in request.parameters.items():
        if name == "config":
            _check_type(name, parameter, "string_param")
            config = parameter.string_param
        elif name.startswith(_FILE):
            _check_type(name, parameter, "bytes_param")
            files[name.removeprefix(_FILE)] = parameter.bytes_param
        else:
            raise _unknown(name)
    return LoadOverrides(config=config, files=files) if request.parameters else None


def _check_unload(request: pb.RepositoryModelUnloadRequest) -> None:
    for name, parameter in request.parameters.items():
        if name != "unload_dependents":
            raise _unknown(name)
        # Either value will do: no model here depends on another.
        _check_type(name, parameter, "bool_param")


def _check_type(name: str, parameter: pb.ModelRepositoryParameter, wanted: str) -> None:
    if (got := parameter.WhichOneof("parameter_choice")) != wanted:
        text = f"expected {wanted}, got {got or 'none'}"
        name = name[:64]
        raise InvalidRequest(f"parameter {name!r}: {text}", violations=[Violation(f"parameters[{name!r}]", text)])


def _unknown(name: str) -> InvalidRequest:
    name = name[:64]
    text = "no such parameter"
    return InvalidRequest(f"{text}: {name!r}", violations=[Violation(f"parameters[{name!r}]", text)])
