"""Open Inference Protocol, with Triton's extensions: what is said of the server, its models and its repository."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maas_server import __version__
from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import InvalidRequest, NotFound, Unavailable, Violation
from maas_server.models.registry import NOT_LOADED, ModelView, State, VersionView
from maas_server.models.runner import TensorInfo

SERVER_NAME = "maas_server"

# Triton's "sequence", "cuda_shared_memory" and "trace" are missing: nothing here would honour them.
_EXTENSIONS = (
    "classification",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "logging",
)
_SHARED_MEMORY = "system_shared_memory"
_MAX_VERSION = (1 << 63) - 1
_STATES = {
    State.START: "LOADING",
    State.LOADING: "LOADING",
    State.AVAILABLE: "READY",
    State.UNLOADING: "UNLOADING",
    State.END: "UNAVAILABLE",
}


def server_metadata(*, shared_memory: bool) -> pb.ServerMetadataResponse:
    """Return name, version and the extensions that work here; `shared_memory`: whether clients may use it."""
    extensions = (*_EXTENSIONS, _SHARED_MEMORY) if shared_memory else _EXTENSIONS
    return pb.ServerMetadataResponse(name=SERVER_NAME, version=__version__, extensions=extensions)


def check_name(name: str, field: str = "name") -> None:
    """Check that a request names a model.

    Raises:
        InvalidRequest: it does not.
    """
    if not name:
        raise InvalidRequest(f"{field} is required", violations=[Violation(field, "required, got none")])


def available(view: ModelView) -> list[VersionView]:
    """Return the versions of a model that serve, the newest first."""
    return [each for each in view.versions if each.state == State.AVAILABLE]


def serving_versions(view: ModelView, version: str = "") -> list[VersionView]:
    """Return the versions of a model that serve, the newest first, or the one that a number or label names.

    Raises:
        InvalidRequest: the number can be none of a version.
        NotFound: there is no such version or label.
        Unavailable: no version serves, or the one that is named does not.
    """
    serving = available(view)
    if not version:
        if not serving:
            raise Unavailable(f"model {view.name!r} has no version that serves", reason="NO_VERSION_AVAILABLE")
        return serving
    number = _number(view, version)
    for each in view.versions:
        if each.version == number:
            if each not in serving:
                raise Unavailable(f"{view.name}:{number} is {each.state.name}", reason="VERSION_NOT_AVAILABLE")
            return [each]
    raise NotFound(f"model {view.name!r} has no version {number}", reason="VERSION_NOT_FOUND")


def _number(view: ModelView, version: str) -> int:
    if not (version.isascii() and version.isdecimal()):
        # As in requests: what is no number is a label, which are our own addition.
        if version not in (view.labels or {}):
            raise NotFound(f"model {view.name!r} has no label {version[:128]!r}", reason="LABEL_NOT_FOUND")
        return (view.labels or {})[version]
    number = int(version[: len(str(_MAX_VERSION)) + 1])
    if not 1 <= number <= _MAX_VERSION:
        text = f"expected a number from 1 to {_MAX_VERSION}, a label or none, got {version[:64]}"
        raise InvalidRequest(f"version: {text}", violations=[Violation("version", text)])
    return number


def is_ready(views: Sequence[ModelView], version: str) -> bool:
    """Whether the version, or any if none is named, of the only model in `views` serves.

    Raises:
        InvalidRequest: the number can be none of a version.
    """
    try:
        return any(serving_versions(view, version) for view in views)
    except (NotFound, Unavailable):
        return False


def model_metadata(view: ModelView, version: str) -> pb.ModelMetadataResponse:
    """Return a model's versions, inputs and outputs; of several versions those of the newest.

    Raises:
        InvalidRequest: the number can be none of a version.
        NotFound: there is no such version or label.
        Unavailable: no version serves, or the one that is named does not.
    """
    serving = serving_versions(view, version)
    newest = serving[0]
    response = pb.ModelMetadataResponse(
        name=view.name, versions=[str(each.version) for each in reversed(serving)], platform=newest.platform
    )
    if newest.signature is not None:
        response.inputs.extend(map(_tensor, newest.signature.inputs))
        response.outputs.extend(map(_tensor, newest.signature.outputs))
    return response


def _tensor(info: TensorInfo) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=info.name, datatype=info.datatype, shape=info.shape)


def repository_index(views: Sequence[ModelView], *, ready: bool) -> pb.RepositoryIndexResponse:
    """Return every model and version with its state; `ready`: only those that serve."""
    entries = (entry for view in views for entry in _index(view))
    return pb.RepositoryIndexResponse(models=(entry for entry in entries if not ready or entry.state == "READY"))


def _index(view: ModelView) -> Iterator[pb.RepositoryIndexResponse.ModelIndex]:
    if not view.versions:
        yield pb.RepositoryIndexResponse.ModelIndex(name=view.name, state="UNAVAILABLE", reason=view.reason)
        return
    known = [each for each in view.versions if each.state != State.END or each.reason != NOT_LOADED]
    if not known:
        # What nobody ever loaded has no state in Triton; what cannot be loaded has one, and a reason.
        state = "UNAVAILABLE" if view.reason else ""
        yield pb.RepositoryIndexResponse.ModelIndex(name=view.name, state=state, reason=view.reason)
    for each in reversed(known):
        yield pb.RepositoryIndexResponse.ModelIndex(
            name=view.name, version=str(each.version), state=_STATES[each.state], reason=each.reason
        )
