"""One HTTP/2 connection with many gRPC calls on it, driven by a loop that never waits."""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from contextlib import suppress

from benchmarks.open_loop import frames
from benchmarks.open_loop.ledger import Ledger
from benchmarks.open_loop.request_headers import RequestHeaders
from benchmarks.open_loop.trailers import INTERNAL, UNAVAILABLE, HeaderReader

# What may be on its way to us: more than all answers that a test asks for at once.
WINDOW = (1 << 31) - 1
_READ_BYTES = 1 << 18
_DEFAULT_WINDOW = 65_535
_DEFAULT_FRAME = 16_384
_HANDSHAKE_SECONDS = 10.0
# Requests that leave later than this tell the server what is left of their time.
_PUNCTUAL_SECONDS = 1e-3
_STATUS_OF_RESET = {
    frames.REFUSED_STREAM: UNAVAILABLE,
    frames.CANCEL: 1,
    frames.ENHANCE_YOUR_CALM: 8,
}


class _Body:
    """What of a message is not sent yet."""

    __slots__ = ("content", "number", "offset", "window")

    def __init__(self, number: int, content: bytes, window: int) -> None:
        self.number = number
        self.content = content
        self.offset = 0
        self.window = window


class Connection:
    """Use from one thread. `start` and `cancel` only collect what `flush` then writes at once."""

    def __init__(self, address: tuple[str, int], ledger: Ledger) -> None:
        """Connect, and agree on settings.

        Raises:
            OSError: nobody listens, or no answer came in time.
        """
        self._ledger = ledger
        self._reader = HeaderReader()
        self._out: list[bytes] = []
        self._unwritten = b""
        self._unread = b""
        self._streams: dict[int, int] = {}
        self._stream_of: dict[int, int] = {}
        self._next_stream = 1
        self._waiting: deque[int] = deque()  # For the peer to allow more streams.
        self._sending: dict[int, _Body] = {}  # Streams whose messages the peer's windows hold back.
        self._received = 0  # Since the last WINDOW_UPDATE.
        self._window = _DEFAULT_WINDOW
        self._initial_window = _DEFAULT_WINDOW
        self._frame_bytes = _DEFAULT_FRAME
        self._most_streams = 1 << 31
        self._table_bytes = 4096
        self._peer_settled = False  # Its SETTINGS came.
        self._settled = False  # Ours are acknowledged.
        self._block = b""  # Of a header block that goes on in CONTINUATION.
        self._last = False  # Whether that block ends its stream.
        self._gone = False
        self._socket = socket.create_connection(address, _HANDSHAKE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._bodies = [kind.body for kind in ledger.kinds]
        self._greet()
        self._headers = RequestHeaders(ledger.kinds, f"{address[0]}:{address[1]}", self._table_bytes)
        for block in self._headers.introductions:
            # Requests that are taken back at once: only their headers are to be remembered.
            stream = self._next_stream
            self._next_stream += 2
            self._out.append(frames.frame(frames.HEADERS, frames.END_HEADERS, stream, block))
            self._out.append(frames.rst_stream(stream, frames.CANCEL))
        self.flush()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Say so, and go."""
        self._socket.setblocking(True)
        with suppress(OSError):  # The peer went first.
            self._socket.sendall(frames.frame(frames.GOAWAY, 0, 0, bytes(8)))
        self._socket.close()

    def start(self, number: int, now: float) -> None:
        """Begin a request, or have it wait until the peer takes it."""
        if self._gone:
            self._ledger.end(number, UNAVAILABLE, now)
        elif self._waiting or len(self._streams) >= self._most_streams:
            self._waiting.append(number)
        else:
            self._open(number, now)

    def cancel(self, number: int) -> None:
        """Tell the server that nobody waits for the answer any more."""
        stream = self._stream_of.pop(number, None)
        if stream is not None:  # Else it was not begun.
            del self._streams[stream]
            self._sending.pop(stream, None)
            self._out.append(frames.rst_stream(stream, frames.CANCEL))

    def flush(self) -> None:
        """Write what was collected, as far as the socket takes it."""
        if self._out:
            self._unwritten += b"".join(self._out)
            self._out.clear()
        if not self._unwritten:
            return
        try:
            written = self._socket.send(self._unwritten)
        except BlockingIOError:
            return
        except OSError:
            self._lose(time.monotonic())
            return
        self._unwritten = self._unwritten[written:]

    def receive(self, now: float) -> None:
        """Read what came, and answer what the protocol wants answered.

        Raises:
            RuntimeError: the peer does not speak gRPC.
        """
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(now)
            return
        self._parse(self._unread + data if self._unread else data, now)
        if self._received >= WINDOW // 2:
            self._out.append(frames.window_update(0, self._received))
            self._received = 0
        while self._waiting and len(self._streams) < self._most_streams:
            number = self._waiting.popleft()
            if self._ledger.is_open(number):
                self._open(number, now)

    def _greet(self) -> None:
        # Without a table each header block of the server stands alone, and equal ones are read once.
        values = {frames.HEADER_TABLE_SIZE: 0, frames.ENABLE_PUSH: 0, frames.INITIAL_WINDOW_SIZE: WINDOW}
        wider = frames.window_update(0, WINDOW - _DEFAULT_WINDOW)
        self._out += (frames.PREFACE, frames.settings(values), wider)
        until = time.monotonic() + _HANDSHAKE_SECONDS
        # Not select(), which knows a thousand descriptors.
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not (self._settled and self._peer_settled):
            self.flush()
            left = until - time.monotonic()
            if left <= 0 or self._gone:
                self._socket.close()
                raise OSError("the peer does not speak HTTP/2")
            poll.poll(left * 1e3)
            self.receive(time.monotonic())

    def _parse(self, data: bytes, now: float) -> None:
        position, end = 0, len(data)
        streams, received = self._streams, self._ledger.received
        while end - position >= frames.HEAD_BYTES:
            high, low, kind, flags, stream = frames.read_head(data, position)
            size = high << 8 | low
            start = position + frames.HEAD_BYTES
            if start + size > end:
                break
            position = start + size
            if kind == frames.DATA:
                self._received += size
                number = streams.get(stream)
                if number is not None:
                    received[number] += size
                    if flags & frames.END_STREAM:
                        self._finish(stream, INTERNAL, now)
            elif kind == frames.HEADERS or kind == frames.CONTINUATION:
                self._take_headers(kind, flags, stream, data[start:position], now)
            else:
                self._control(kind, flags, stream, data[start:position], now)
        self._unread = data[position:]

    def _take_headers(self, kind: int, flags: int, stream: int, block: bytes, now: float) -> None:
        if kind == frames.HEADERS:
            if flags & (frames.PADDED | frames.PRIORITY):
                block = frames.unpadded(block, flags)
            self._last = bool(flags & frames.END_STREAM)
        else:
            block = self._block + block
        if not flags & frames.END_HEADERS:
            self._block = block
            return
        if not self._last:
            self._reader.check_head(block)
        elif stream in self._streams:
            status = self._reader.status(block)
            if status not in self._ledger.samples:
                self._ledger.samples[status] = self._reader.headers(block)
            self._finish(stream, status, now)

    def _control(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        if kind == frames.WINDOW_UPDATE:
            self._widen(stream, frames.read_number(payload))
            self._continue(now)
        elif kind == frames.PING and not flags & frames.ACK:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.SETTINGS:
            self._take_settings(flags, payload)
            self._continue(now)
        elif kind == frames.RST_STREAM and stream in self._streams:
            error = frames.read_number(payload)
            if error == frames.REFUSED_STREAM and not self._gone:
                self._retry(stream)
            else:
                self._finish(stream, _STATUS_OF_RESET.get(error, INTERNAL), now)
        elif kind == frames.GOAWAY:
            self._gone = True
            last = frames.read_number(payload)
            for each in [each for each in self._streams if each > last]:
                self._finish(each, UNAVAILABLE, now)
            self._drop_waiting(now)

    def _take_settings(self, flags: int, payload: bytes) -> None:
        if flags & frames.ACK:
            self._settled = True
            return
        self._peer_settled = True
        for setting, value in frames.read_settings(payload):
            if setting == frames.MAX_CONCURRENT_STREAMS:
                self._most_streams = value
            elif setting == frames.MAX_FRAME_SIZE:
                self._frame_bytes = value
            elif setting == frames.HEADER_TABLE_SIZE:
                self._table_bytes = min(value, self._table_bytes)
            elif setting == frames.INITIAL_WINDOW_SIZE:
                for body in self._sending.values():
                    body.window += value - self._initial_window
                self._initial_window = value
        self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _widen(self, stream: int, size: int) -> None:
        if stream == 0:
            self._window += size
        elif stream in self._sending:
            self._sending[stream].window += size

    def _open(self, number: int, now: float) -> None:
        stream = self._next_stream
        self._next_stream += 2
        self._streams[stream] = number
        self._stream_of[number] = stream
        ledger = self._ledger
        kind = ledger.kind_of[number]
        late = now - ledger.due[number]
        encoded = stream.to_bytes(4)
        if late < _PUNCTUAL_SECONDS:
            start, block = self._headers.punctual[kind]
        else:
            start, block = self._headers.late(kind, late)
        body = self._bodies[kind]
        size = len(body)
        if not self._sending and size <= self._window and size <= self._initial_window and size <= self._frame_bytes:
            data = frames.frame_start(size, frames.DATA, frames.END_STREAM)
            self._out += (start, encoded, block, data, encoded, body)
            self._window -= size
            ledger.sent[number] = now
        else:
            self._out += (start, encoded, block)
            self._sending[stream] = _Body(number, body, self._initial_window)
            self._continue(now)

    def _continue(self, now: float) -> None:
        done = []
        for stream, body in self._sending.items():
            left = len(body.content) - body.offset
            while left:
                size = min(left, self._window, body.window, self._frame_bytes)
                if size <= 0:
                    break
                left -= size
                flags = 0 if left else frames.END_STREAM
                chunk = body.content[body.offset : body.offset + size]
                self._out.append(frames.frame(frames.DATA, flags, stream, chunk))
                body.offset += size
                body.window -= size
                self._window -= size
            if not left:
                done.append(stream)
                self._ledger.sent[body.number] = now
            elif self._window <= 0:
                break
        for stream in done:
            del self._sending[stream]

    def _finish(self, stream: int, status: int, now: float) -> None:
        number = self._streams.pop(stream)
        del self._stream_of[number]
        self._ledger.end(number, status, now)
        if self._sending.pop(stream, None) is not None:
            # Answered before it was wholly asked.
            self._out.append(frames.rst_stream(stream, frames.NO_ERROR))

    def _retry(self, stream: int) -> None:
        # The server has not looked at it: to its count an answered stream may last a little longer than to ours.
        number = self._streams.pop(stream)
        del self._stream_of[number]
        self._sending.pop(stream, None)
        self._waiting.append(number)

    def _lose(self, now: float) -> None:
        self._gone = True
        self._out.clear()
        self._unwritten = b""
        for stream in list(self._streams):
            self._finish(stream, UNAVAILABLE, now)
        self._drop_waiting(now)

    def _drop_waiting(self, now: float) -> None:
        for number in self._waiting:
            if self._ledger.is_open(number):
                self._ledger.end(number, UNAVAILABLE, now)
        self._waiting.clear()
