"""Handlers of inference, for the services of all protocols: bytes in, bytes out, and in whose name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import grpc

from maas_server._core import CoreError
from maas_server.front import Front, Protocol
from maas_server.rpc.errors import ServicerContext
from maas_server.rpc.handlers import UnaryHandler

TenantOf: TypeAlias = Callable[[ServicerContext], str]


def tenant_reader(key: str) -> TenantOf | None:
    """Return what reads the tenant from a call's metadata; None for an empty key: callers are not told apart."""
    if not key:
        return None

    def tenant(context: ServicerContext) -> str:
        metadata = context.invocation_metadata() or ()
        # As with HTTP's headers, several of one name are one.
        return ", ".join([_text(value) for name, value in metadata if name == key])

    return tenant


def _text(value: str | bytes) -> str:
    text = value if isinstance(value, str) else value.decode("latin-1")
    return text if text.isascii() else text.encode("ascii", "backslashreplace").decode("ascii")


def infer_handler(
    front: Front,
    protocol: Protocol,
    fail: Callable[[ServicerContext, CoreError, bytes], Awaitable[bytes]],
    tenant_of: TenantOf | None,
) -> UnaryHandler:
    """Return the handler of a unary RPC of `protocol`; `fail` ends a call with the core's error, and returns
    what the handler is to return then.

    Metadata takes microseconds to read, so without tenants it is not looked at.
    """

    async def infer(raw: bytes, context: ServicerContext) -> bytes:
        answer = await front.answer(protocol, raw, context.time_remaining())
        return answer if type(answer) is bytes else await fail(context, CoreError(*answer), raw)

    async def infer_for_tenant(raw: bytes, context: ServicerContext) -> bytes:
        assert tenant_of is not None
        answer = await front.answer(protocol, raw, context.time_remaining(), tenant_of(context))
        return answer if type(answer) is bytes else await fail(context, CoreError(*answer), raw)

    return grpc.unary_unary_rpc_method_handler(infer if tenant_of is None else infer_for_tenant)
