"""What GRPCInferenceService tells of the server and its models."""

from __future__ import annotations

from typing import TypeVar

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import MaasError, NotFound
from maas_server.models.registry import ModelView, Registry
from maas_server.protocols import open_inference
from maas_server.protocols.not_found import triton_error
from maas_server.protocols.open_inference_config import model_config
from maas_server.protocols.open_inference_statistics import model_statistics
from maas_server.rpc.handlers import UnaryHandler, unary
from maas_server.rpc.health import Health

_Named = TypeVar(
    "_Named", pb.ModelReadyRequest, pb.ModelMetadataRequest, pb.ModelConfigRequest, pb.ModelStatisticsRequest
)


def model_methods(registry: Registry, health: Health, *, shared_memory: bool) -> dict[str, UnaryHandler]:
    """Return the handlers; `shared_memory`: whether the server takes it from clients."""

    async def server_live(_: pb.ServerLiveRequest) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def server_ready(_: pb.ServerReadyRequest) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=health.ready)

    async def server_metadata(_: pb.ServerMetadataRequest) -> pb.ServerMetadataResponse:
        return open_inference.server_metadata(shared_memory=shared_memory)

    async def model_ready(request: pb.ModelReadyRequest) -> pb.ModelReadyResponse:
        try:
            views = registry.status(request.name) if request.name else ()
        # Who waits for a model asks before it is there: that is an answer, not a failure.
        except NotFound:
            views = ()
        return pb.ModelReadyResponse(ready=open_inference.is_ready(views, request.version))

    async def model_metadata(request: pb.ModelMetadataRequest) -> pb.ModelMetadataResponse:
        return open_inference.model_metadata(_view(registry, request.name), request.version)

    async def configuration(request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        newest, *_ = open_inference.serving_versions(_view(registry, request.name), request.version)
        return pb.ModelConfigResponse(config=model_config(request.name, newest))

    async def statistics(request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        if request.name:
            view = _view(registry, request.name)
            chosen = [(view, open_inference.serving_versions(view, request.version))]
        else:
            chosen = [(view, open_inference.available(view)) for view in registry.status()]
        return pb.ModelStatisticsResponse(
            model_stats=(
                model_statistics(view.name, each) for view, newest_first in chosen for each in newest_first[::-1]
            )
        )

    return {
        "ServerLive": unary(server_live, pb.ServerLiveRequest),
        "ServerReady": unary(server_ready, pb.ServerReadyRequest),
        "ServerMetadata": unary(server_metadata, pb.ServerMetadataRequest),
        "ModelReady": unary(model_ready, pb.ModelReadyRequest, _explain),
        "ModelMetadata": unary(model_metadata, pb.ModelMetadataRequest, _explain),
        "ModelConfig": unary(configuration, pb.ModelConfigRequest, _explain),
        "ModelStatistics": unary(statistics, pb.ModelStatisticsRequest, _explain),
    }


def _view(registry: Registry, name: str) -> ModelView:
    open_inference.check_name(name)
    (view,) = registry.status(name)
    return view


def _explain(error: MaasError, request: _Named) -> MaasError:
    return triton_error(error, request.name, request.version)
