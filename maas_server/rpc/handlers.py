"""Handlers of unary RPCs over messages: what goes wrong in them becomes a status with details."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from maas_server._core import CoreError
from maas_server.errors import InvalidRequest, MaasError
from maas_server.front import core_error
from maas_server.rpc.errors import ServicerContext, abort, abort_unknown

Request = TypeVar("Request", bound=Message)

# These requests are read on the event loop, as a whole: a millisecond per 100 KB of small fields. Tensors go elsewhere.
MOST_BYTES = 4 << 20

UnaryHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who waits for an answer."""

    seconds: float | None
    """How long from now; None: for ever."""
    tenant: str
    """In whose name it asks."""


def unary(
    serve: Callable[[Request], Awaitable[Message]],
    request_type: type[Request],
    explain: Callable[[MaasError, Request], MaasError] | None = None,
    *,
    most_bytes: int | None = MOST_BYTES,
) -> UnaryHandler:
    """Return a handler of bytes that answers `serve`'s message.

    `explain` gives an error that `serve` raised the words of its protocol. Larger requests than `most_bytes` are
    refused; None: they are bounded by the server's message limit alone.
    """
    return caller_unary(lambda request, _: serve(request), request_type, explain, most_bytes=most_bytes)


def caller_unary(
    serve: Callable[[Request, Caller], Awaitable[Message]],
    request_type: type[Request],
    explain: Callable[[MaasError, Request], MaasError] | None = None,
    *,
    most_bytes: int | None = MOST_BYTES,
    tenant_of: Callable[[ServicerContext], str] | None = None,
) -> UnaryHandler:
    """Return the same for a `serve` that is also told of its caller; `tenant_of`: in whose name one asks."""

    async def handler(raw: bytes, context: ServicerContext) -> bytes:
        if most_bytes is not None and len(raw) > most_bytes:
            name = request_type.DESCRIPTOR.name
            text = f"expected a {name} of at most {most_bytes} bytes, got {len(raw)}"
            await abort(context, InvalidRequest(text))
        try:
            request = request_type.FromString(raw)
        except DecodeError:
            await abort(context, InvalidRequest(f"the message is no {request_type.DESCRIPTOR.full_name}"))
        try:
            caller = Caller(context.time_remaining(), tenant_of(context) if tenant_of else "")
            response = await serve(request, caller)
        except CoreError as error:
            await fail(context, core_error(error), request)
        except MaasError as error:
            await fail(context, error, request)
        except Exception as error:
            await abort_unknown(context, error)
        return response.SerializeToString()

    async def fail(context: ServicerContext, error: MaasError, request: Request) -> NoReturn:
        await abort(context, explain(error, request) if explain else error)

    return grpc.unary_unary_rpc_method_handler(handler)
