"""The asyncio face of the core: requests go in as bytes, answers come out as bytes, or as errors."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from typing import Protocol as Interface
from typing import TypeAlias

import grpc

from maas_server import _core
from maas_server._core import Protocol
from maas_server.engine import Engine
from maas_server.errors import MaasError, Violation, error_class

__all__ = ["AnswerStream", "Failure", "Front", "Protocol", "core_error", "error_details"]

# Longer than anybody waits; grpc passes on what would not fit the core's clock.
_MOST_SECONDS = 366 * 86_400.0
_CODES = {code.value[0]: code for code in grpc.StatusCode}
# What the core says of a failure: see csrc/bindings/failure.h.
Failure: TypeAlias = tuple[int, str, str, tuple[tuple[str, str], ...], int, bytes]


class AnswerStream(Interface):
    """Whom the core tells about the answers of a stream."""

    def on_answers(self, answers: int, chunks: list[bytes]) -> None:
        """Take some answers: their number, and `PredictStreamResponse` bytes to send, one after the other."""


class Front:
    """Where one event loop meets the engine. All methods belong to the loop that `attach` was called with."""

    def __init__(self, engine: Engine, *, max_answer_bytes: int = sys.maxsize) -> None:
        """Prepare; `attach` makes it work. Requests whose answers would be larger than `max_answer_bytes` fail."""
        self._engine = engine
        self._core = _core.Front(engine.core, max_answer_bytes)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._groups = itertools.count(1)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver answers on `loop` from now on."""
        self._loop = loop
        loop.add_reader(self._core.fileno(), self._deliver)

    def detach(self) -> None:
        """Stop delivering. Nothing may be under way."""
        if self._loop is not None:
            self._loop.remove_reader(self._core.fileno())
            self._loop = None

    async def infer(self, protocol: Protocol, raw: bytes, seconds: float | None, tenant: str = "") -> bytes:
        """Run one serialized request of `protocol` and return its serialized answer.

        `seconds`: how long the caller waits, None for ever. `tenant`: in whose name it asks. `raw` is only borrowed by
        the core, which lets go of it before this returns, or soon after a cancellation.

        Raises:
            CoreError: refused or failed; `core_error` translates it.
        """
        answer = await self.answer(protocol, raw, seconds, tenant)
        if type(answer) is not bytes:
            raise _core.CoreError(*answer)
        return answer

    async def answer(self, protocol: Protocol, raw: bytes, seconds: float | None, tenant: str = "") -> bytes | Failure:
        """Do what `infer` does, but return a failure instead of raising it.

        Under overload most requests are refused, and an exception costs several times what refusing does otherwise.
        """
        assert self._loop is not None
        future: asyncio.Future[bytes] = self._loop.create_future()
        ticket = self._core.try_submit(protocol, raw, _deadline(seconds), future, tenant)
        if not isinstance(ticket, int):
            return ticket
        try:
            return await future
        except _core.CoreError as error:
            return error.args
        except asyncio.CancelledError:
            self.cancel(ticket)
            raise
        finally:
            # Its exception holds this frame: a cycle that only the collector would find.
            del future

    def submit(
        self, protocol: Protocol, raw: bytes, seconds: float | None, tenant: str = ""
    ) -> tuple[asyncio.Future[bytes], int]:
        """Begin what `infer` does; return the answer's future, which fails with CoreError, and a ticket for `cancel`.

        Raises:
            CoreError: refused.
        """
        assert self._loop is not None
        future: asyncio.Future[bytes] = self._loop.create_future()
        return future, self._core.submit(protocol, raw, _deadline(seconds), future, tenant)

    def close(self) -> None:
        """Refuse with UNAVAILABLE whatever `submit` is given from now on; what was accepted goes on."""
        self._core.close()

    @property
    def refused(self) -> int:
        """How many requests came after `close`."""
        return self._core.refused

    def cancel(self, ticket: int) -> None:
        """The caller of a request went away; one that is over is ignored. Its future is the caller's to cancel.

        A run whose callers have all gone is ended.
        """
        self._engine.end_runs(self._core.cancel(ticket))

    def new_group(self) -> int:
        """Return a number that no other stream has."""
        return next(self._groups)

    def submit_stream(
        self, raw: bytes, seconds: float | None, stream: AnswerStream, group: int, tenant: str = ""
    ) -> tuple[int, list[bytes]]:
        """Submit one serialized PredictStreamRequest; the answers go to `stream`.

        Returns how many requests were accepted, and the answers to those refused: PredictStreamResponse bytes to
        send, one after the other.

        Raises:
            CoreError: the message does not decode.
        """
        return self._core.submit_stream(raw, _deadline(seconds), stream, group, tenant)

    def cancel_stream(self, stream: AnswerStream) -> None:
        """Drop the stream's requests, and end the runs in which there are no others."""
        self._engine.end_runs(self._core.cancel_stream(stream))

    def _deliver(self) -> None:
        unary, streams, timed = self._core.drain()
        pairs = iter(unary)
        for future, result in zip(pairs, pairs, strict=True):
            if future.done():  # Cancelled meanwhile.
                continue
            if type(result) is bytes:
                future.set_result(result)
            else:
                future.set_exception(_core.CoreError(*result))
        for stream, answers, chunks in streams:
            stream.on_answers(answers, chunks)
        if timed and self._loop is not None:
            # After the handlers that were just woken: how long all of this takes is kept free before deadlines.
            self._loop.call_soon(self._core.delivered)


def core_error(error: _core.CoreError) -> MaasError:
    """Return the error of our tree that the core's stands for."""
    failure: Failure = error.args
    code, reason, message, violations, retry_after_ns, _ = failure
    cls: type[MaasError] = error_class(_CODES[code])
    return cls(
        message,
        reason=reason,
        violations=[Violation(*each) for each in violations],
        retry_after=retry_after_ns / 1e9 or None,
    )


def error_details(error: _core.CoreError) -> tuple[grpc.StatusCode, str, bytes]:
    """Return code, message and serialized google.rpc.Status of a failure in the core."""
    failure: Failure = error.args
    return _CODES[failure[0]], failure[2], failure[5]


def _deadline(seconds: float | None) -> int:
    if seconds is None or seconds > _MOST_SECONDS:
        return _core.NEVER
    return time.monotonic_ns() + int(seconds * 1e9)
