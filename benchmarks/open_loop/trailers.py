"""What a header block from the server says, for less than decoding it costs."""

from __future__ import annotations

from hpack import Decoder

# A literal name that is not Huffman-coded, behind its length.
_GRPC_STATUS = b"\x0bgrpc-status"
# Blocks that are remembered: trailers with figures in their messages are all different.
_MOST_REMEMBERED = 1024

UNKNOWN, INTERNAL, UNAVAILABLE = 2, 13, 14


class HeaderReader:
    """Reads the header blocks of one connection, whose server was told to keep no table: each stands alone."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        # A reference to a table that should not be there is an error, not another header.
        self._decoder.max_allowed_table_size = 0
        self._decoder.header_table_size = 0
        self._statuses: dict[bytes, int] = {}
        self._good_heads: set[bytes] = set()

    def headers(self, block: bytes) -> dict[str, str | bytes]:
        """Decode all of a block; what is not UTF-8 stays bytes."""
        decoded: dict[str, str | bytes] = {}
        for name, value in self._decoder.decode(block, raw=True):
            key, content = bytes(name).decode("latin-1"), bytes(value)
            try:
                decoded[key] = content.decode()
            except UnicodeDecodeError:
                decoded[key] = content
        return decoded

    def check_head(self, block: bytes) -> None:
        """Look at the headers before an answer.

        Raises:
            RuntimeError: this is no gRPC.
        """
        if block not in self._good_heads:
            headers = self.headers(block)
            if headers.get(":status") != "200":
                raise RuntimeError(f"the peer does not speak gRPC: {headers}")
            if len(self._good_heads) < _MOST_REMEMBERED:
                self._good_heads.add(block)

    def status(self, block: bytes) -> int:
        """Return the grpc-status in trailers; UNKNOWN when there is none."""
        # Only one literal is looked for: in a refusal's trailers the rest is Huffman code, a tenth of a millisecond.
        at = block.find(_GRPC_STATUS) + len(_GRPC_STATUS)
        if at >= len(_GRPC_STATUS) and at + 1 < len(block) and block[at] in (1, 2):
            digits = block[at + 1 : at + 1 + block[at]]
            if digits.isdigit():
                return int(digits)
        status = self._statuses.get(block)
        if status is None:
            text = self.headers(block).get("grpc-status")
            status = int(text) if isinstance(text, str) and text.isdigit() else UNKNOWN
            if len(self._statuses) < _MOST_REMEMBERED:
                self._statuses[block] = status
        return status
