"""A grpcio server with handlers that answer in all the ways in which a server can."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc

ECHO, REFUSE, STALL, EXPLAIN, LARGE = "/t/Echo", "/t/Refuse", "/t/Stall", "/t/Explain", "/t/Large"
LARGE_BYTES = 3 << 20

Context = grpc.aio.ServicerContext[bytes, bytes]


class EchoServer:
    """Use as an asynchronous context manager.

    `seen` and `remaining` hold the metadata and the deadline of each echoed call; `stalled` and `cancelled` are
    released as often as calls began to stall and were cancelled.
    """

    def __init__(self, options: Mapping[str, int] | None = None) -> None:
        self._server = grpc.aio.server(options=list((options or {}).items()))
        self.target = ""
        self.seen: list[dict[str, str | bytes]] = []
        self.remaining: list[float | None] = []
        self.stalled = asyncio.Semaphore(0)
        self.cancelled = asyncio.Semaphore(0)
        self._answers: dict[str, Callable[[bytes, Context], Awaitable[bytes]]] = {
            ECHO: self._echo,
            REFUSE: self._refuse,
            STALL: self._stall,
            EXPLAIN: self._explain,
            LARGE: self._large,
        }

    async def __aenter__(self) -> EchoServer:
        self._server.add_generic_rpc_handlers((_Handler(self._answers),))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(None)

    async def _echo(self, request: bytes, context: Context) -> bytes:
        self.seen.append({str(key): value for key, value in context.invocation_metadata() or ()})
        self.remaining.append(context.time_remaining())
        return request

    async def _refuse(self, request: bytes, context: Context) -> bytes:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", (("x-more-bin", request),))
        raise AssertionError

    async def _explain(self, request: bytes, context: Context) -> bytes:
        # Headers, a message and then a status that is not OK.
        context.set_code(grpc.StatusCode.UNAVAILABLE)
        context.set_details("later")
        return request

    async def _stall(self, request: bytes, context: Context) -> bytes:
        self.stalled.release()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.release()
        return request

    async def _large(self, request: bytes, context: Context) -> bytes:
        return bytes(LARGE_BYTES)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, answers: Mapping[str, Callable[[bytes, Context], Awaitable[bytes]]]) -> None:
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            method: grpc.unary_unary_rpc_method_handler(answer) for method, answer in answers.items()
        }

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(call.method)
