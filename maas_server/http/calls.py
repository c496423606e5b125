"""Unary RPCs without a network: REST's control routes are answered by the very handlers that gRPC has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from maas_server.errors import InternalError, MaasError, Unimplemented, Violation, error_class
from maas_server.http.caller import Caller

Answer = TypeVar("Answer", bound=Message)

_DETAILS_KEY = "grpc-status-details-bin"


class Calls:
    """Calls handlers on the loop that they belong to. For the HTTP thread."""

    def __init__(
        self, handlers: Sequence[grpc.GenericRpcHandler], loop: asyncio.AbstractEventLoop, tenant_key: str = ""
    ) -> None:
        """`handlers` take and return bytes; they find the tenant under `tenant_key`."""
        self._tenant_key = tenant_key
        self._handlers = handlers
        self._loop = loop

    async def unary(self, method: str, request: Message, answer: type[Answer]) -> Answer:
        """Call `/package.Service/Method`.

        Raises:
            MaasError: what the RPC would have ended with.
        """
        return answer.FromString(await self.unary_bytes(method, request.SerializeToString()))

    async def unary_bytes(self, method: str, raw: bytes, caller: Caller | None = None) -> bytes:
        """Call `/package.Service/Method` with a serialized request; return the serialized answer.

        `caller`: for whom; None: for one without name who waits for ever.

        Raises:
            MaasError: what the RPC would have ended with.
        """
        serve = self._find(method).unary_unary
        context = _Context(caller or Caller(), self._tenant_key)

        async def call() -> bytes:
            return bytes(await serve(raw, context))

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self._loop))

    def _find(self, method: str) -> Any:
        details = _Details(method)
        for handler in self._handlers:
            if (found := handler.service(details)) is not None:
                return found
        raise Unimplemented(f"this server has no {method}")


@dataclass(frozen=True, slots=True)
class _Details(grpc.HandlerCallDetails):
    method: str
    invocation_metadata: tuple[()] = ()


class _Context:
    """What handlers ask of a ServicerContext."""

    def __init__(self, caller: Caller, tenant_key: str) -> None:
        self._caller = caller
        self._tenant_key = tenant_key

    def time_remaining(self) -> float | None:
        """Return how many seconds the caller still waits; None: for ever."""
        return self._caller.seconds()

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        """Return the tenant, if there is one."""
        return [(self._tenant_key, self._caller.tenant)] if self._caller.tenant else []

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[tuple[str, str | bytes]] = ()
    ) -> NoReturn:
        """End the call with an error."""
        raise _rebuilt(code, details, dict(trailing_metadata))


def _rebuilt(code: grpc.StatusCode, message: str, trailers: Mapping[str, str | bytes]) -> MaasError:
    """Return the error that was packed into these trailers."""
    if code in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN):
        return InternalError(message)
    packed = trailers.get(_DETAILS_KEY, b"")
    status = status_pb2.Status.FromString(packed if isinstance(packed, bytes) else b"")
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for detail in status.details:
        for kind in (info, bad, retry):
            detail.Unpack(kind)
    delay = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return error_class(code)(
        message,
        reason=info.reason or None,
        violations=[Violation(each.field, each.description) for each in bad.field_violations],
        retry_after=delay or None,
    )
