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
from maas_server.rpc.errors import ServicerContext, abort, abort_with_status
from maas_server.rpc.handlers import UnaryHandler
from maas_server.rpc.health import Health
from maas_server.rpc.inference_models import model_methods
from maas_server.rpc.inference_repository import repository_methods
from maas_server.rpc.inference_settings import setting_methods
from maas_server.rpc.inference_shared_memory import shared_memory_methods
from maas_server.rpc.inference_stream import InferStream, request_error

SERVICE = "inference.GRPCInferenceService"


def inference_handler(
    front: Front, registry: Registry, health: Health, stopping: asyncio.Event, *, shared_memory: Engine | None
) -> grpc.GenericRpcHandler:
    """Return the handlers of the service.

    `shared_memory`: where clients may register theirs; None: nowhere. Once `stopping` is set, streams are read no
    further: they answer what they accepted and end with UNAVAILABLE.
    """
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            **_infer_methods(front, stopping),
            **model_methods(registry, health, shared_memory=shared_memory is not None),
            **repository_methods(registry),
            **setting_methods(registry),
            **shared_memory_methods(shared_memory),
        },
    )


def _infer_methods(front: Front, stopping: asyncio.Event) -> dict[str, UnaryHandler]:
    async def model_infer(raw: bytes, context: ServicerContext) -> bytes:
        try:
            return await front.infer(Protocol.MODEL_INFER, raw, context.time_remaining())
        except CoreError as error:
            if error.args[1] in NOT_SERVING:
                await abort(context, request_error(error, raw)[0])
            # Without reading the request once more: it may be large, and the server overloaded.
            await abort_with_status(context, *error_details(error))

    async def model_stream_infer(_: Any, context: ServicerContext) -> None:
        await InferStream(front, context).serve(stopping)

    return {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(model_infer),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(model_stream_infer),
    }
