"""What happened to each request, while it happens."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benchmarks.open_loop.kind import Kind

UNANSWERED = -1


class Ledger:
    """A line for each request, by its number. Lists, since numpy's arrays are slow one item at a time."""

    def __init__(self, kinds: Sequence[Kind], kind_of: Sequence[int], due: Sequence[float]) -> None:
        count = len(due)
        self.kinds = kinds
        self.kind_of = kind_of
        self.due = due
        self.started = [math.nan] * count
        """When the generator handed it to the connection and the socket had its turn."""
        self.sent = [math.nan] * count
        """When its last byte was free to go: later than `started` where the peer's windows held it back."""
        self.ended = [math.nan] * count
        self.status = [UNANSWERED] * count
        self.expired = [False] * count
        """Whether the caller gave up first."""
        self.received = [0] * count
        """Bytes in DATA frames."""
        self.open = count
        self.samples: dict[int, dict[str, str | bytes]] = {}
        """The first trailers with each status."""

    def end(self, number: int, status: int, now: float) -> None:
        """Write down how a request ended."""
        self.status[number] = status
        self.ended[number] = now
        self.open -= 1

    def is_open(self, number: int) -> bool:
        """Whether it has not ended."""
        return self.ended[number] != self.ended[number]
