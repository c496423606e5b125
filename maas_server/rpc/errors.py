"""How errors leave: status, message and google.rpc.Status details in the trailers."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from maas_server.errors import InternalError, MaasError

log = structlog.get_logger(__name__)

_DETAILS_KEY = "grpc-status-details-bin"
_DOMAIN = "maas"

ServicerContext = grpc.aio.ServicerContext[Any, Any]


def error_status(error: MaasError) -> bytes:
    """Return the serialized google.rpc.Status of an error: ErrorInfo, and BadRequest and RetryInfo where they apply."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=_DOMAIN)]
    if error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=each.field, description=each.description)
            for each in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for each in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(each)
    status = status_pb2.Status(code=error.code.value[0], message=error.message, details=packed)
    return bytes(status.SerializeToString())


async def write(context: ServicerContext, message: bytes) -> None:
    """Write a message of a stream.

    Raises:
        CancelledError: the caller went away. Left to grpc, each of these would be a traceback in the log.
    """
    try:
        await context.write(message)
    except grpc.aio.InternalError as error:
        raise asyncio.CancelledError from error


async def abort(context: ServicerContext, error: MaasError) -> NoReturn:
    """End the RPC with the error."""
    await abort_with_status(context, error.code, error.message, error_status(error))


async def refuse(context: ServicerContext, code: grpc.StatusCode, message: str, status: bytes) -> bytes:
    """End the RPC as `abort_with_status` does, and return what its handler is to return then; grpc ignores it.

    What grpc raises to end the handler holds the frames that it passes, and they hold the call: left to the collector,
    the requests that a server refused would be what its memory is full of.
    """
    try:
        await context.abort(code, message, ((_DETAILS_KEY, status),))
    except grpc.aio.AbortError as error:
        error.__traceback__ = None
    return b""


async def abort_with_status(context: ServicerContext, code: grpc.StatusCode, message: str, status: bytes) -> NoReturn:
    """End the RPC with a serialized google.rpc.Status, whose code and message are given beside it."""
    await context.abort(code, message, ((_DETAILS_KEY, status),))
    raise AssertionError("abort returns")  # It raises; its signature does not say so.


async def abort_unknown(context: ServicerContext, error: Exception) -> NoReturn:
    """End the RPC with INTERNAL: the log gets the error, the caller only that there was one."""
    log.error("handler_failed", exc_info=error)
    await abort(context, InternalError("the server failed; its log says why"))
