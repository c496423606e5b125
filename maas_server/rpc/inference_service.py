"""GRPCInferenceService: the Open Inference Protocol with Triton's extensions."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from maas_server._core import CoreError
from maas_server.engine import Engine
from maas_server.front import Front, Protocol, error_details
from maas_server.models.registry import Registry
from maas_server.protocols.not_found import NOT_SERVING
from maas_server.rpc.errors import ServicerContext, abort, refuse
from maas_server.rpc.handlers import UnaryHandler
from maas_server.rpc.health import Health
from maas_server.rpc.infer_handler import TenantOf, infer_handler
from maas_server.rpc.inference_models import model_methods
from maas_server.rpc.inference_repository import repository_methods
from maas_server.rpc.inference_settings import setting_methods
from maas_server.rpc.inference_shared_memory import shared_memory_methods
from maas_server.rpc.inference_stream import InferStream, request_error

SERVICE = "inference.GRPCInferenceService"


def inference_handler(
    front: Front,
    registry: Registry,
    health: Health,
    stopping: asyncio.Event,
    *,
    shared_memory: Engine | None,
    tenant_of: TenantOf | None = None,
) -> grpc.GenericRpcHandler:
    """Return the handlers of the service.

    `shared_memory`: where clients may register theirs; None: nowhere. `tenant_of`: in whose name a caller asks; None:
    callers are not told apart. Once `stopping` is set, streams are read no further: they answer what they accepted and
    end with UNAVAILABLE.
    """
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            **_infer_methods(front, stopping, tenant_of),
            **model_methods(registry, health, shared_memory=shared_memory is not None),
            **repository_methods(registry),
            **setting_methods(registry),
            **shared_memory_methods(shared_memory),
        },
    )


def _infer_methods(front: Front, stopping: asyncio.Event, tenant_of: TenantOf | None) -> dict[str, UnaryHandler]:
    async def fail(context: ServicerContext, error: CoreError, raw: bytes) -> bytes:
        if error.args[1] in NOT_SERVING:
            await abort(context, request_error(error, raw)[0])
        # Without reading the request once more: it may be large, and the server overloaded.
        return await refuse(context, *error_details(error))

    async def model_stream_infer(_: Any, context: ServicerContext) -> None:
        await InferStream(front, context, tenant_of(context) if tenant_of else "").serve(stopping)

    return {
        "ModelInfer": infer_handler(front, Protocol.MODEL_INFER, fail, tenant_of),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(model_stream_infer),
    }
