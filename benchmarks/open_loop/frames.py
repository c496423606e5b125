"""HTTP/2 as far as a gRPC client speaks it (RFC 9113): frames to send, and their numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 3, 4, 5
NO_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 7, 8, 11

HEAD_BYTES = 9
# Length in two parts, type, flags, stream. The stream's highest bit is reserved and sent as 0.
read_head = struct.Struct(">HBBBI").unpack_from
_ONE = struct.Struct(">I")
_SETTING = struct.Struct(">HI")
_STREAM_MASK = 0x7FFFFFFF


def frame_start(size: int, kind: int, flags: int) -> bytes:
    """Return a frame's head up to its stream."""
    return struct.pack(">HBBB", size >> 8, size & 0xFF, kind, flags)


def stream_id(number: int) -> bytes:
    """Return the rest of the head."""
    return _ONE.pack(number)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a whole frame."""
    return frame_start(len(payload), kind, flags) + stream_id(stream) + payload


def settings(values: Mapping[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*each) for each in values.items()))


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """Yield what a SETTINGS frame says."""
    yield from _SETTING.iter_unpack(payload)


def window_update(stream: int, size: int) -> bytes:
    """Return a frame that lets the peer send so many more bytes."""
    return frame(WINDOW_UPDATE, 0, stream, _ONE.pack(size))


def rst_stream(stream: int, error: int) -> bytes:
    """Return a frame that ends a stream."""
    return frame(RST_STREAM, 0, stream, _ONE.pack(error))


def read_number(payload: bytes, offset: int = 0) -> int:
    """Return the number of a WINDOW_UPDATE, an RST_STREAM, or (of two) a GOAWAY."""
    (number,) = _ONE.unpack_from(payload, offset)
    return int(number) & _STREAM_MASK


def unpadded(payload: bytes, flags: int) -> bytes:
    """Return the header block fragment of a HEADERS frame."""
    start, stop = 0, len(payload)
    if flags & PADDED:
        start, stop = 1, stop - payload[0]
    if flags & PRIORITY:
        start += 5
    return payload[start:stop]
