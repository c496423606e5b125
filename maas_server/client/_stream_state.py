"""The calls of one stream: joined into messages, matched to answers, expired, retried. No input or output here.

    add -> queued -- take --> sent -- answer --> settled
             ^                 |
             +---- broke ------+        once per call, and only where another server may do better

Not thread-safe; its owner locks. Time is an argument: seconds of the monotonic clock.
"""

from __future__ import annotations

from collections import deque
from copy import copy
from dataclasses import dataclass
from typing import Generic, TypeVar

from maas_server._stubs.maas.v1 import predict_pb2
from maas_server.client._calls import StreamCall, overload_pause, parse
from maas_server.client._codec import Prediction, encode_address, join_requests, to_prediction
from maas_server.client._status import from_status
from maas_server.errors import DeadlineExceeded, InternalError, MaasError, Unavailable

S = TypeVar("S")

MAX_REQUESTS = 64
MAX_BYTES = 1 << 20
_MAX_ID_BYTES = 256


@dataclass(slots=True)
class _Entry(Generic[S]):
    number: int
    call: StreamCall
    sink: S
    deadline: float | None
    sent: bool = False
    moved: bool = False
    """It was on a stream that broke, and must not survive another."""
    resume_at: float | None = None
    """When to queue it again, after the server was overloaded."""


class StreamState(Generic[S]):
    """All calls that a stream has not answered yet; `S` is whatever their owner wants to have answered."""

    def __init__(self, *, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._entries: dict[int, _Entry[S]] = {}
        self._queue: deque[_Entry[S]] = deque()
        self._last_number = 0
        self._paused = False

    @property
    def pending(self) -> int:
        """Calls that are not settled."""
        return len(self._entries)

    @property
    def paused(self) -> bool:
        """Whether a call waits to be queued again, for which `advance` must be called in time."""
        return self._paused

    @property
    def queued(self) -> bool:
        """Whether `take` has something to give."""
        while self._queue and self._queue[0].number not in self._entries:
            self._queue.popleft()
        return bool(self._queue)

    def add(self, call: StreamCall, sink: S, now: float) -> int:
        """Queue a call and return its number."""
        self._last_number += 1
        deadline = None if call.timeout is None else now + call.timeout
        entry = _Entry(self._last_number, call, sink, deadline)
        self._entries[entry.number] = entry
        self._queue.append(entry)
        return entry.number

    def take(self, now: float) -> bytes | None:
        """Return the next message, of all that is queued up to the limits; None when nothing is."""
        requests: list[tuple[bytes, bytes]] = []
        size = 0
        while self.queued and len(requests) < self._max_requests:
            entry = self._queue[0]
            size += len(entry.call.body)
            if requests and size > self._max_bytes:
                break
            self._queue.popleft()
            entry.sent = True
            remaining = None if entry.deadline is None else entry.deadline - now
            requests.append((entry.call.body, encode_address(_wire_id(entry), remaining)))
        return join_requests(requests) if requests else None

    def answer(self, data: bytes, now: float) -> list[tuple[S, Prediction | MaasError]]:
        """Settle what a PredictStreamResponse answers; answers to calls that are gone are dropped.

        Raises:
            InternalError: it does not decode.
        """
        settled: list[tuple[S, Prediction | MaasError]] = []
        for answer in parse(predict_pb2.PredictStreamResponse, data).answers:
            entry = self._entries.get(_number(answer.id))
            if entry is None:
                continue
            outcome = _outcome(answer, entry.call.request_id)
            if isinstance(outcome, MaasError) and self._resumes(entry, outcome, now):
                continue
            del self._entries[entry.number]
            settled.append((entry.sink, outcome))
        return settled

    def broke(self, error: MaasError) -> list[tuple[S, MaasError]]:
        """Settle or queue again what was sent on a stream that ended with `error`.

        Predictions are pure, so sending one twice is safe. It helps only when the server went away: any other error
        may be the fault of one of these calls, which would end the next stream as well.
        """
        failed: list[tuple[S, MaasError]] = []
        again: list[_Entry[S]] = []
        for entry in list(self._entries.values()):
            if not entry.sent:
                continue
            if isinstance(error, Unavailable) and not entry.moved:
                entry.sent, entry.moved = False, True
                again.append(entry)
            else:
                del self._entries[entry.number]
                failed.append((entry.sink, copy(error)))
        self._queue.extendleft(reversed(again))
        return failed

    def advance(self, now: float) -> list[tuple[S, MaasError]]:
        """Settle the calls whose deadline passed, and queue again those whose pause is over."""
        expired: list[tuple[S, MaasError]] = []
        self._paused = False
        for entry in list(self._entries.values()):
            if entry.deadline is not None and entry.deadline <= now:
                del self._entries[entry.number]
                expired.append((entry.sink, DeadlineExceeded(f"no answer within {entry.call.timeout:g} s")))
            elif entry.resume_at is not None and entry.resume_at <= now:
                entry.resume_at = None
                self._queue.append(entry)
            elif entry.resume_at is not None:
                self._paused = True
        return expired

    def next_due(self) -> float | None:
        """Return when `advance` has something to do, as far as is known now; None: not at all."""
        times = (
            time for entry in self._entries.values() for time in (entry.deadline, entry.resume_at) if time is not None
        )
        return min(times, default=None)

    def drop(self, number: int) -> None:
        """Forget a call whose caller went away."""
        self._entries.pop(number, None)

    def fail_all(self, error: MaasError) -> list[tuple[S, MaasError]]:
        """Settle every call with `error`."""
        failed: list[tuple[S, MaasError]] = [(entry.sink, copy(error)) for entry in self._entries.values()]
        self._entries.clear()
        return failed

    def _resumes(self, entry: _Entry[S], error: MaasError, now: float) -> bool:
        """Whether a refused call is to be sent again; notes when."""
        if not entry.call.retry_overloaded:
            return False
        pause = overload_pause(error, None if entry.deadline is None else entry.deadline - now)
        if pause is None:
            return False
        entry.sent, entry.resume_at = False, now + pause
        self._paused = True
        return True


def _wire_id(entry: _Entry[S]) -> str:
    # Cut to what servers take: of a refused id nothing comes back, and the call would wait for ever.
    return f"{entry.number}:{entry.call.request_id}".encode()[:_MAX_ID_BYTES].decode(errors="ignore")


def _number(request_id: str) -> int:
    digits = request_id.partition(":")[0]
    return int(digits) if digits.isdecimal() else 0


def _outcome(answer: predict_pb2.PredictStreamAnswer, request_id: str) -> Prediction | MaasError:
    match answer.WhichOneof("result"):
        case "response":
            try:
                return to_prediction(answer.response, request_id)
            except InternalError as error:
                return error
        case "error":
            return from_status(answer.error)
        case _:
            return InternalError("the server's answer is empty")
