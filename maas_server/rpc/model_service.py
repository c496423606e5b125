"""ModelService: the state of models, and explicit control over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
from google.protobuf.message import Message

from maas_server._stubs.maas.v1 import model_pb2
from maas_server.errors import InvalidRequest, MaasError, Unavailable, Violation
from maas_server.models.host import Counters, Scheduling
from maas_server.models.plan import VersionPlan
from maas_server.models.registry import ModelView, Registry, VersionView
from maas_server.models.runner import Signature, TensorInfo
from maas_server.rpc.errors import ServicerContext, abort
from maas_server.rpc.handlers import unary

SERVICE = "maas.v1.ModelService"

_MAX_NAME_BYTES = 256
_MOST_CURVES = 64


def model_handler(registry: Registry, stopping: asyncio.Event) -> grpc.GenericRpcHandler:
    """Return the handlers of ModelService over `registry`; once `stopping` is set, watches end with UNAVAILABLE."""

    async def model_status(request: model_pb2.ModelStatusRequest) -> model_pb2.ModelStatusResponse:
        _check(request.model, request.version, required=False)
        return _response(registry, request)

    async def load_model(request: model_pb2.LoadModelRequest) -> model_pb2.LoadModelResponse:
        _check(request.model, request.version)
        view = await registry.load(request.model, request.version)
        return model_pb2.LoadModelResponse(model=model_info(view))

    async def unload_model(request: model_pb2.UnloadModelRequest) -> model_pb2.UnloadModelResponse:
        _check(request.model, request.version)
        view = await registry.unload(request.model, request.version)
        return model_pb2.UnloadModelResponse(model=model_info(view))

    async def set_label(request: model_pb2.SetLabelRequest) -> model_pb2.SetLabelResponse:
        _check(request.model, request.version)
        view = await registry.set_label(request.model, request.label, request.version)
        return model_pb2.SetLabelResponse(model=model_info(view))

    async def watch(
        request: model_pb2.ModelStatusRequest, context: ServicerContext
    ) -> AsyncIterator[model_pb2.ModelStatusResponse]:
        try:
            _check(request.model, request.version, required=False)
            # A change of another model wakes this up as well; only what differs in more than what moves with every
            # request is sent.
            sent: object = None
            async for _ in _until(registry.watch(), stopping):
                views = registry.status(request.model, request.version)
                seen = tuple(_lasting(view) for view in views)
                if seen != sent:
                    sent = seen
                    yield model_pb2.ModelStatusResponse(models=[model_info(view) for view in views])
            raise Unavailable("the server stops", reason="DRAINING")
        except MaasError as error:
            await abort(context, error)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "ModelStatus": unary(model_status, model_pb2.ModelStatusRequest),
            "LoadModel": unary(load_model, model_pb2.LoadModelRequest),
            "UnloadModel": unary(unload_model, model_pb2.UnloadModelRequest),
            "SetLabel": unary(set_label, model_pb2.SetLabelRequest),
            "WatchModelStatus": grpc.unary_stream_rpc_method_handler(
                watch, model_pb2.ModelStatusRequest.FromString, _serialize
            ),
        },
    )


def model_info(view: ModelView) -> model_pb2.ModelInfo:
    """Return the message for a model's view."""
    return model_pb2.ModelInfo(
        name=view.name,
        versions=[_version_info(version) for version in view.versions],
        labels=view.labels,
        default_version=view.default_version,
        reason=view.reason,
    )


async def _until(changes: AsyncIterator[None], stopping: asyncio.Event) -> AsyncIterator[None]:
    stop = asyncio.ensure_future(stopping.wait())
    try:
        while True:
            change = asyncio.ensure_future(anext(changes))
            await asyncio.wait({change, stop}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                change.cancel()
                return
            yield change.result()
    finally:
        stop.cancel()


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _check(model: str, version: int, *, required: bool = True) -> None:
    """Check what every request has.

    Raises:
        InvalidRequest: the name is missing or too long, or the version negative.
    """
    if required and not model:
        raise InvalidRequest("model is required", violations=[Violation("model", "required, got none")])
    size = len(model.encode())
    if size > _MAX_NAME_BYTES:
        text = f"expected at most {_MAX_NAME_BYTES} bytes, got {size}"
        raise InvalidRequest(f"model: {text}", violations=[Violation("model", text)])
    if version < 0:
        text = f"expected 0 or a version, got {version}"
        raise InvalidRequest(f"version: {text}", violations=[Violation("version", text)])


def _response(registry: Registry, request: model_pb2.ModelStatusRequest) -> model_pb2.ModelStatusResponse:
    views = registry.status(request.model, request.version)
    return model_pb2.ModelStatusResponse(models=[model_info(view) for view in views])


def _lasting(view: ModelView) -> ModelView:
    versions = tuple(replace(version, counters=Counters(), scheduling=None) for version in view.versions)
    return replace(view, versions=versions)


def _version_info(view: VersionView) -> model_pb2.VersionInfo:
    info = model_pb2.VersionInfo(
        version=view.version,
        state=view.state.name,
        reason=view.reason,
        digest=view.digest,
        runner=view.runner,
        since_unix_ms=view.since_unix_ms,
        counters=_counters(view.counters),
    )
    if view.signature is not None:
        info.signature.CopyFrom(_signature(view.signature))
    if view.plan is not None:
        info.batching.CopyFrom(_batching(view.plan))
        info.curve.extend(
            model_pb2.CurvePoint(rows=point.rows, seconds=point.seconds, bytes=point.bytes) for point in view.plan.curve
        )
    if view.scheduling is not None:
        info.scheduling.CopyFrom(_scheduling(view.scheduling))
    return info


def _scheduling(scheduling: Scheduling) -> model_pb2.Scheduling:
    predictive = scheduling.mode == "predictive"
    return model_pb2.Scheduling(
        mode=model_pb2.Scheduling.PREDICTIVE if predictive else model_pb2.Scheduling.WORK_CONSERVING,
        predicted_ns=scheduling.predicted_ns,
        headroom=scheduling.headroom,
        margin_ns=scheduling.margin_ns,
        curves=[
            model_pb2.BucketCurve(
                bucket=curve.bucket,
                points=[
                    model_pb2.TimePoint(
                        rows=point.rows, typical_seconds=point.typical_ns / 1e9, high_seconds=point.high_ns / 1e9
                    )
                    for point in curve.points
                ],
            )
            for curve in scheduling.curves[:_MOST_CURVES]
        ],
        device=scheduling.device,
        device_idle=scheduling.device_idle,
    )


def _counters(counters: Counters) -> model_pb2.Counters:
    names = model_pb2.Counters.DESCRIPTOR.fields_by_name
    return model_pb2.Counters(**{name: getattr(counters, name) for name in names})


def _signature(signature: Signature) -> model_pb2.Signature:
    return model_pb2.Signature(
        inputs=[_tensor(info) for info in signature.inputs], outputs=[_tensor(info) for info in signature.outputs]
    )


def _tensor(info: TensorInfo) -> model_pb2.TensorSignature:
    return model_pb2.TensorSignature(
        name=info.name,
        datatype=info.datatype,
        shape=info.shape,
        dim_names=info.dim_names,
        optional=info.optional,
    )


def _batching(plan: VersionPlan) -> model_pb2.Batching:
    return model_pb2.Batching(
        enabled=plan.batching,
        reason=plan.batching_reason,
        max_batch_size=plan.max_batch_size,
        max_queue_delay_us=plan.max_queue_delay_us,
        max_queue_rows=plan.max_queue_rows,
        max_request_rows=plan.max_request_rows,
        instances=plan.instances,
        pad_buckets=sorted({size for group in plan.pad_groups for size in group}),
        row_difference=plan.row_difference,
    )
