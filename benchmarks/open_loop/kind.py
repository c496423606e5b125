"""A kind of request: what is the same in all requests of it."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

# Requests without a deadline, and what a gRPC timeout can say at most in microseconds.
NEVER = math.inf
_MOST_MICROSECONDS = 99_999_999


@dataclass(frozen=True)
class Kind:
    """One request as it is sent over and over."""

    name: str
    method: str
    message: bytes
    deadline: float = NEVER
    """How long the caller waits. Unit: seconds."""
    metadata: tuple[tuple[str, str], ...] = ()
    reply_bytes: tuple[int, int] | None = None
    """Fewest and most bytes of a good answer; None: any."""

    @property
    def body(self) -> bytes:
        """The message as gRPC frames it."""
        return b"\0" + struct.pack(">I", len(self.message)) + self.message

    def headers(self, authority: str) -> list[tuple[str, str]]:
        """Return the headers of a request that leaves at its instant."""
        fixed = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", self.method),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "maas-open-loop"),
            *self.metadata,
        ]
        return fixed if self.deadline == NEVER else [*fixed, ("grpc-timeout", timeout_text(self.deadline))]


def timeout_text(seconds: float) -> str:
    """Return the value of a grpc-timeout header, of eight digits at most."""
    microseconds = max(int(seconds * 1e6), 1)
    return f"{microseconds}u" if microseconds <= _MOST_MICROSECONDS else f"{microseconds // 1000}m"
