"""The header blocks of requests, encoded once per connection."""

from __future__ import annotations

from collections.abc import Sequence

from hpack import Encoder

from benchmarks.open_loop import frames
from benchmarks.open_loop.kind import NEVER, Kind, timeout_text

# A literal that enters no table, with a name of its own.
_TIMEOUT = b"\x00\x0cgrpc-timeout"


class RequestHeaders:
    """Short blocks, as those of a client that has sent such requests before: all that repeats is in the table."""

    def __init__(self, kinds: Sequence[Kind], authority: str, table_bytes: int) -> None:
        """Encode; the server must see `introductions` first, in their order.

        Raises:
            ValueError: the headers of so many kinds do not fit into the server's table.
        """
        encoder = Encoder()
        encoder.header_table_size = table_bytes
        whole = [kind.headers(authority) for kind in kinds]
        self.introductions = [encoder.encode(headers) for headers in whole]
        """Blocks that fill the table."""
        blocks = [encoder.encode(headers) for headers in whole]
        self._untimed = [encoder.encode([each for each in headers if each[0] != "grpc-timeout"]) for headers in whole]
        if blocks != [encoder.encode(headers) for headers in whole]:
            raise ValueError(f"the headers of {len(kinds)} kinds of requests exceed a table of {table_bytes} bytes")
        self._deadlines = [kind.deadline for kind in kinds]
        self.punctual = [_framed(block) for block in blocks]
        """By kind: a HEADERS frame up to its stream, and the block, of a request that leaves at its instant."""

    def late(self, kind: int, late: float) -> tuple[bytes, bytes]:
        """Return the same for one that leaves `late` seconds after it: what is left of its time is less."""
        if self._deadlines[kind] == NEVER:
            return self.punctual[kind]
        left = timeout_text(self._deadlines[kind] - late).encode()
        return _framed(self._untimed[kind] + _TIMEOUT + bytes([len(left)]) + left)


def _framed(block: bytes) -> tuple[bytes, bytes]:
    return frames.frame_start(len(block), frames.HEADERS, frames.END_HEADERS), block
