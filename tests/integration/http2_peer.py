"""A peer that speaks HTTP/2 frame by frame, well or badly as a test wants it."""

from __future__ import annotations

import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from hpack import Decoder, Encoder

from benchmarks.open_loop import frames

SECONDS = 30.0
_READ_BYTES = 1 << 16
_PREFIX = struct.Struct(">BI")
Headers = Sequence[tuple[str, str]]


@dataclass
class Answer:
    """What came on one stream so far."""

    head: dict[str, str] = field(default_factory=dict)
    """The first header block; the only one, where the answer is nothing but trailers."""
    trailers: dict[str, str] = field(default_factory=dict)
    blocks: int = 0
    body: bytearray = field(default_factory=bytearray, repr=False)
    ended: bool = False
    reset: int | None = None
    """The error code of an RST_STREAM."""

    @property
    def status(self) -> int:
        """The grpc-status; -1 where there is none."""
        return int((self.trailers or self.head).get("grpc-status", -1))

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None

    @property
    def messages(self) -> list[bytes]:
        """The messages that are there whole."""
        found, at = [], 0
        while at + _PREFIX.size <= len(self.body):
            _, size = _PREFIX.unpack_from(self.body, at)
            at += _PREFIX.size
            if at + size > len(self.body):
                break
            found.append(bytes(self.body[at : at + size]))
            at += size
        return found


@dataclass(frozen=True)
class GoAway:
    last_stream: int
    error: int
    text: bytes


class Http2Peer:
    """One connection. Settings and pings are acknowledged as they come; nothing is sent that no test asked for."""

    def __init__(
        self,
        target: str,
        *,
        settings: Mapping[int, int] | None = None,
        greet: bool = True,
        generous: bool = True,
        receive_buffer: int = 0,
    ) -> None:
        """Connect. `generous`: what comes is made up for by WINDOW_UPDATE at once."""
        host, _, port = target.rpartition(":")
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(SECONDS)
        self.socket.connect((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers: defaultdict[int, Answer] = defaultdict(Answer)
        self.goaways: list[GoAway] = []
        self.settings: dict[int, int] = {}
        self.pings: list[bytes] = []
        """What the other side asked by PING and was not answered, since `answers_pings` is not set."""
        self.answers_pings = True
        self.pings_answered = 0
        self.largest_data = 0
        self.settled = False
        self.closed = False
        self._generous = generous
        self._authority = target
        self._encoder, self._decoder = Encoder(), Decoder()
        self._next_stream = 1
        self._unread = bytearray()
        self._block: tuple[int, int, bytes] | None = None
        if greet:
            try:
                self.send(frames.PREFACE, frames.settings(settings or {}))
                self.until(lambda: self.settled and bool(self.settings), "the peer agrees on settings")
            except BaseException:
                self.socket.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(b"".join(parts))

    def try_to_send(self, *parts: bytes) -> bool:
        """The same; False: the other side has closed, or takes no more for a while."""
        try:
            self.send(*parts)
        except OSError:
            return False
        return True

    def headers(self, path: str, *more: tuple[str, str], authority: str = "") -> bytes:
        """The header block of a gRPC request."""
        return bytes(
            self._encoder.encode(
                [
                    (":method", "POST"),
                    (":scheme", "http"),
                    (":path", path),
                    (":authority", authority or self._authority),
                    ("te", "trailers"),
                    ("content-type", "application/grpc"),
                    *more,
                ]
            )
        )

    def open(self, path: str, *more: tuple[str, str], end: bool = False) -> int:
        """Begin a call, and return its stream."""
        stream = self.next_stream()
        flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
        self.send(frames.frame(frames.HEADERS, flags, stream, self.headers(path, *more)))
        return stream

    def next_stream(self) -> int:
        stream = self._next_stream
        self._next_stream += 2
        return stream

    def data(self, stream: int, content: bytes, *, end: bool = True, size: int = 16384) -> None:
        """Send DATA frames of at most `size` bytes."""
        starts = range(0, max(len(content), 1), size)
        for start in starts:
            flags = frames.END_STREAM if end and start == starts[-1] else 0
            self.send(frames.frame(frames.DATA, flags, stream, content[start : start + size]))

    def call(self, path: str, message: bytes, *more: tuple[str, str]) -> int:
        """Send a whole unary call, and return its stream."""
        stream = self.open(path, *more)
        self.data(stream, framed(message))
        return stream

    def answer(self, stream: int, seconds: float = SECONDS) -> Answer:
        """Read until the stream is over."""
        self.until(lambda: self.answers[stream].over, f"stream {stream} is over", seconds)
        return self.answers[stream]

    def ask(self, path: str, message: bytes, *more: tuple[str, str]) -> Answer:
        """Make a unary call."""
        return self.answer(self.call(path, message, *more))

    def ping(self, content: bytes = bytes(8)) -> None:
        self.send(frames.frame(frames.PING, 0, 0, content))

    def pong(self, content: bytes) -> None:
        """Answer a ping."""
        self._try(frames.frame(frames.PING, frames.ACK, 0, content))

    def until(self, holds: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Read frames until `holds()`; fail when the connection ends first, or after a while."""
        deadline = time.monotonic() + seconds
        while not holds():
            left = deadline - time.monotonic()
            assert left > 0, f"not within {seconds} s: {what}; {self.answers}, {self.goaways}"
            assert not self.closed, f"the connection ended before {what}; {self.answers}, {self.goaways}"
            self.socket.settimeout(left)
            with suppress(TimeoutError):
                self._read()
        self.socket.settimeout(SECONDS)

    def until_closed(self, seconds: float = SECONDS) -> None:
        """Read until the other side has closed."""
        self.until(lambda: self.closed, "the connection is closed", seconds)

    def read_for(self, seconds: float) -> None:
        """Read whatever comes in this time."""
        deadline = time.monotonic() + seconds
        while not self.closed and (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            with suppress(TimeoutError):
                self._read()
        self.socket.settimeout(SECONDS)

    def _read(self) -> None:
        try:
            data = self.socket.recv(_READ_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        self._unread += data
        while len(self._unread) >= frames.HEAD_BYTES:
            high, low, kind, flags, stream = frames.read_head(self._unread)
            end = frames.HEAD_BYTES + (high << 8 | low)
            if len(self._unread) < end:
                break
            payload = bytes(self._unread[frames.HEAD_BYTES : end])
            del self._unread[:end]
            self._take(kind, flags, stream & 0x7FFFFFFF, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == frames.DATA:
            self.answers[stream].body += payload
            self.largest_data = max(self.largest_data, len(payload))
            if self._generous and payload:
                self._try(frames.window_update(0, len(payload)), frames.window_update(stream, len(payload)))
        elif kind in (frames.HEADERS, frames.CONTINUATION):
            if kind == frames.HEADERS:
                self._block = stream, flags, frames.unpadded(payload, flags)
            else:
                assert self._block is not None
                self._block = stream, self._block[1], self._block[2] + payload
            if flags & frames.END_HEADERS:
                self._take_block()
        elif kind == frames.RST_STREAM:
            self.answers[stream].reset = frames.read_number(payload)
        elif kind == frames.SETTINGS:
            if flags & frames.ACK:
                self.settled = True
            else:
                # An empty one counts as well.
                self.settings |= {0: 0, **dict(frames.read_settings(payload))}
                self._try(frames.frame(frames.SETTINGS, frames.ACK, 0))
        elif kind == frames.PING:
            if flags & frames.ACK:
                self.pings_answered += 1
            elif self.answers_pings:
                self.pong(payload)
            else:
                self.pings.append(payload)
        elif kind == frames.GOAWAY:
            self.goaways.append(GoAway(frames.read_number(payload), frames.read_number(payload, 4), payload[8:]))
        if kind == frames.DATA and flags & frames.END_STREAM:
            self.answers[stream].ended = True

    def _take_block(self) -> None:
        assert self._block is not None
        stream, flags, block = self._block
        self._block = None
        fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
        answer = self.answers[stream]
        if answer.blocks:
            answer.trailers = fields
        else:
            answer.head = fields
        answer.blocks += 1
        answer.ended |= bool(flags & frames.END_STREAM)

    def _try(self, *parts: bytes) -> None:
        # The other side may have closed; what it said before that is still to be read.
        with suppress(OSError):
            self.socket.sendall(b"".join(parts))


def framed(message: bytes, compressed: int = 0) -> bytes:
    """The message as gRPC frames it."""
    return _PREFIX.pack(compressed, len(message)) + message
