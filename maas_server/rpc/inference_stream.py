"""One ModelStreamInfer: requests as they come, answers in their order.

Clients of Triton count on the order, and on a stream that outlives the failure of a request: that is an answer with
an `error_message`. Metadata `triton_grpc_error: true` asks for the other way: the first failure ends the stream.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError

from maas_server._core import CoreError
from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server.errors import MaasError, Unavailable
from maas_server.front import Front, Protocol, core_error
from maas_server.protocols.not_found import triton_error
from maas_server.rpc.errors import ServicerContext, abort, write

# Beyond any of these the stream is read no further until there is room again.
MAX_PENDING = 4096
MAX_PENDING_BYTES = 64 << 20
MAX_UNSENT_BYTES = 8 << 20

_MAX_ECHO = 256
_STATUS_KEY = "triton_grpc_error"


def request_error(error: CoreError, raw: bytes) -> tuple[MaasError, pb.ModelInferRequest]:
    """Return the error of a request in the words of the protocol, and the request; an empty one if it is none."""
    try:
        request = pb.ModelInferRequest.FromString(raw)
    except DecodeError:
        request = pb.ModelInferRequest()
    return triton_error(core_error(error), request.model_name, request.model_version), request


@dataclass(slots=True, eq=False)
class _Call:
    """One request of the stream, until its answer is written."""

    answer: asyncio.Future[bytes] | None = None
    """None: refused."""
    ticket: int = 0
    message: bytes | None = None
    """What to write, once it is known."""
    failure: MaasError | None = None
    """What `message` says, if that is an error."""

    def fail(self, error: CoreError, raw: bytes) -> None:
        """Make the message that tells of the error."""
        self.failure, request = request_error(error, raw)
        answer = pb.ModelStreamInferResponse(error_message=self.failure.message)
        # Longer ones are refused anyway, and an error must not be as large as what it refuses.
        for field in ("id", "model_name", "model_version"):
            if len(getattr(request, field)) <= _MAX_ECHO:
                setattr(answer.infer_response, field, getattr(request, field))
        answer.infer_response.parameters["triton_final_response"].bool_param = True
        self.message = answer.SerializeToString()


class InferStream:
    """A task reads and submits, `serve` writes. For the loop's thread."""

    def __init__(self, front: Front, context: ServicerContext, tenant: str = "") -> None:
        """Nothing is read yet. `tenant`: in whose name the caller asks."""
        self._front = front
        self._context = context
        self._tenant = tenant
        self._fails_by_status = (_STATUS_KEY, "true") in tuple(context.invocation_metadata() or ())
        self._calls: deque[_Call] = deque()
        self._pending_bytes = 0  # Requests under way.
        self._unsent_bytes = 0  # Answers that are not written, also those that wait for one before them.
        self._changed = asyncio.Event()  # Something for the writer: an answer, the end of reading, or an error.
        self._room = asyncio.Event()  # Something for the reader: less pending, or unsent.

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
            while not reader.done() or self._calls:
                if stop.done():
                    reader.cancel()
                if self._calls and (message := self._calls[0].message) is not None:
                    await self._write(message, self._calls[0].failure)
                    self._calls.popleft()
                    continue
                self._changed.clear()
                await self._changed.wait()
            if reader.cancelled():
                await abort(self._context, Unavailable("the server stops", reason="DRAINING"))
            await reader
        finally:
            reader.cancel()
            stop.cancel()
            for call in self._calls:
                if call.answer is not None and not call.answer.done():
                    call.answer.cancel()
                    self._front.cancel(call.ticket)

    async def _write(self, message: bytes, failure: MaasError | None) -> None:
        if failure is not None and self._fails_by_status:
            await abort(self._context, failure)
        await write(self._context, message)
        self._unsent_bytes -= len(message)
        self._room.set()

    async def _read(self) -> None:
        while (raw := await self._context.read()) is not grpc.aio.EOF:
            self._submit(raw)
            while (
                len(self._calls) >= MAX_PENDING
                or self._pending_bytes >= MAX_PENDING_BYTES
                or self._unsent_bytes >= MAX_UNSENT_BYTES
            ):
                self._room.clear()
                await self._room.wait()

    def _submit(self, raw: bytes) -> None:
        call = _Call()
        try:
            call.answer, call.ticket = self._front.submit(
                Protocol.MODEL_STREAM_INFER, raw, self._context.time_remaining(), self._tenant
            )
        except CoreError as error:
            call.fail(error, raw)
            self._calls.append(call)
            self._on_message(call)
            return
        self._calls.append(call)
        self._pending_bytes += len(raw)

        def on_done(answer: asyncio.Future[bytes]) -> None:
            self._pending_bytes -= len(raw)
            if answer.cancelled():
                return
            error = answer.exception()
            if isinstance(error, CoreError):
                call.fail(error, raw)
            else:
                call.message = answer.result()
            self._on_message(call)

        call.answer.add_done_callback(on_done)

    def _on_message(self, call: _Call) -> None:
        assert call.message is not None
        self._unsent_bytes += len(call.message)
        self._changed.set()
        self._room.set()
