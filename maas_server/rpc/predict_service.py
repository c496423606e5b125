"""PredictService: bytes in, bytes out. What the bytes mean is the core's business."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NoReturn

import grpc

from maas_server._core import CoreError
from maas_server.errors import Unavailable
from maas_server.front import Front, Protocol, error_details
from maas_server.rpc.errors import ServicerContext, abort, abort_with_status, refuse, write
from maas_server.rpc.infer_handler import TenantOf, infer_handler

SERVICE = "maas.v1.PredictService"

# A stream with so many requests under way is not read further until some are answered: a caller who sends faster than
# the model runs is held back by flow control instead of filling our memory.
MAX_STREAM_PENDING = 4096
# The same for answers that the caller does not read.
MAX_STREAM_UNSENT_BYTES = 8 << 20
# Answers that are ready together leave as one message of about this size, far below what callers take by default.
_JOINED_BYTES = 1 << 20


def predict_handler(front: Front, stopping: asyncio.Event, tenant_of: TenantOf | None = None) -> grpc.GenericRpcHandler:
    """Return the handlers of PredictService, registered without (de)serializers.

    `tenant_of`: in whose name a caller asks; None: callers are not told apart. Once `stopping` is set, streams are read
    no further: they answer what they accepted and end with UNAVAILABLE.
    """

    async def fail(context: ServicerContext, error: CoreError, _: bytes) -> bytes:
        return await refuse(context, *error_details(error))

    async def predict_stream(_: Any, context: ServicerContext) -> None:
        await _Stream(front, context, tenant_of(context) if tenant_of else "").serve(stopping)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "Predict": infer_handler(front, Protocol.PREDICT, fail, tenant_of),
            "PredictStream": grpc.stream_stream_rpc_method_handler(predict_stream),
        },
    )


async def _abort(context: ServicerContext, error: CoreError) -> NoReturn:
    await abort_with_status(context, *error_details(error))


class _Stream:
    """One PredictStream: a task reads and submits, this writes what the core answers."""

    def __init__(self, front: Front, context: ServicerContext, tenant: str) -> None:
        self._front = front
        self._context = context
        self._tenant = tenant
        self._group = front.new_group()
        self._pending = 0
        self._chunks: deque[bytes] = deque()
        self._unsent = 0  # Bytes in the chunks and in the message that is being written.
        self._changed = asyncio.Event()  # Something for the writer: chunks, the end of reading, or an error.
        self._room = asyncio.Event()  # Something for the reader: fewer pending, or unsent.

    def on_answers(self, answers: int, chunks: list[bytes]) -> None:
        """Called by the engine on the loop."""
        self._pending -= answers
        self._room.set()
        self._enqueue(chunks)

    def _enqueue(self, chunks: list[bytes]) -> None:
        self._chunks += chunks
        self._unsent += sum(map(len, chunks))
        self._changed.set()

    def _next_message(self) -> bytes:
        # Messages are repeated fields only, so several joined are one.
        chunks = [self._chunks.popleft()]
        size = len(chunks[0])
        while self._chunks and size + len(self._chunks[0]) <= _JOINED_BYTES:
            chunks.append(self._chunks.popleft())
            size += len(chunks[-1])
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def serve(self, stopping: asyncio.Event) -> None:
        """Answer until the caller is done, or the server stops.

        Raises:
            AbortError: grpc's own, once the RPC has been ended with an error.
        """
        reader = asyncio.create_task(self._read())
        stop = asyncio.create_task(stopping.wait())
        for task in (reader, stop):
            task.add_done_callback(lambda _: self._changed.set())
        try:
            while not reader.done() or self._pending or self._chunks:
                if self._chunks:
                    message = self._next_message()
                    await write(self._context, message)
                    self._unsent -= len(message)
                    self._room.set()
                    continue
                if stop.done() and not reader.done():
                    reader.cancel()
                self._changed.clear()
                await self._changed.wait()
            if reader.cancelled():
                await abort(self._context, Unavailable("the server stops", reason="DRAINING"))
            await reader
        except CoreError as error:
            await _abort(self._context, error)
        finally:
            reader.cancel()
            stop.cancel()
            if self._pending:
                self._front.cancel_stream(self)

    async def _read(self) -> None:
        while (raw := await self._context.read()) is not grpc.aio.EOF:
            accepted, errors = self._front.submit_stream(
                raw, self._context.time_remaining(), self, self._group, self._tenant
            )
            self._pending += accepted
            if errors:
                self._enqueue(errors)
            while self._pending >= MAX_STREAM_PENDING or self._unsent >= MAX_STREAM_UNSENT_BYTES:
                self._room.clear()
                await self._room.wait()
