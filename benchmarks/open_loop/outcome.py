"""What became of a schedule of requests, and how well the generator kept it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.open_loop.arrivals import Arrivals
from benchmarks.open_loop.kind import Kind
from benchmarks.open_loop.ledger import UNANSWERED, Ledger

OK, RESOURCE_EXHAUSTED = 0, 8
LATE_SECONDS = 1e-3
# A generator that sends more of its requests late than this did not offer what it was asked to.
MOST_LATE = 0.01

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Lateness:
    """How long after their instants the generator sent its requests. Unit: seconds."""

    p50: float
    p99: float
    most: float
    late: int
    """Requests sent more than a millisecond late."""
    held: int
    """Requests that the server's windows or limits held back for more than a millisecond: its doing, not ours."""
    share: float
    """Share of the requests that were sent late."""

    @property
    def kept(self) -> bool:
        """Whether the rate was kept."""
        return self.share <= MOST_LATE

    def warn(self, what: str) -> None:
        """Say on stderr that the rate was not kept, if it was not."""
        if not self.kept:
            text = f"{self.share:.1%} of the requests left more than 1 ms late, p99 {self.p99 * 1e3:.1f} ms"
            print(f"... {what}: the generator did not keep its rate: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Outcome:
    """One line per request, in the order in which they came. Instants are in seconds since the start; NaN: never."""

    kinds: Sequence[Kind]
    kind: Array
    due: Array
    deadline: Array
    started: Array
    sent: Array
    ended: Array
    status: Array
    """Of gRPC; UNANSWERED when no answer came, DEADLINE_EXCEEDED also when the caller gave up."""
    expired: Array
    """Whether the caller gave up."""
    received: Array
    """Bytes of DATA frames."""
    seconds: float
    samples: Mapping[int, Mapping[str, str | bytes]]
    """By status: the first trailers that came with it."""

    @classmethod
    def of(cls, ledger: Ledger, arrivals: Arrivals) -> Outcome:
        """Freeze a ledger.

        Raises:
            RuntimeError: an answer is no good one, by its size.
        """
        outcome = cls(
            ledger.kinds,
            arrivals.kinds,
            arrivals.times,
            np.array([kind.deadline for kind in ledger.kinds])[arrivals.kinds],
            np.array(ledger.started),
            np.array(ledger.sent),
            np.array(ledger.ended),
            np.array(ledger.status),
            np.array(ledger.expired, bool),
            np.array(ledger.received),
            arrivals.seconds,
            ledger.samples,
        )
        outcome._check_replies()
        return outcome

    def good(self, kind: int | None = None) -> Array:
        """Return which requests were answered well, by the deadline that counts from when they were due."""
        return np.asarray(self._of(kind) & (self.status == OK) & (self.ended - self.due <= self.deadline))

    def share_good(self, kind: int | None = None) -> float:
        """Return the share of good answers."""
        return float(self.good(kind).sum() / max(self._of(kind).sum(), 1))

    def refused(self, kind: int | None = None) -> Array:
        """Return which requests the server refused."""
        return np.asarray(self._of(kind) & (self.status == RESOURCE_EXHAUSTED))

    def latency(self, among: Array, quantile: float) -> float:
        """Return how long such a share of the chosen requests took at most, from when they were due; 0 for none.

        Unit: seconds.
        """
        return _quantile((self.ended - self.due)[among], quantile)

    def waited(self, among: Array, quantile: float) -> float:
        """Return the same of requests that have deadlines, where one without a good answer took until its deadline."""
        return _quantile(np.where(self.good(), self.ended - self.due, self.deadline)[among], quantile)

    def since_sent(self, among: Array, quantile: float) -> float:
        """Return `latency` from when they were sent, so that it says nothing about the generator."""
        return _quantile((self.ended - self.started)[among], quantile)

    def lateness(self) -> Lateness:
        """Return how well the schedule was kept."""
        # A request that was given up before it could be sent is late by all of its time.
        started = np.where(np.isnan(self.started), self.ended, self.started)
        behind = started - self.due
        late = int((behind > LATE_SECONDS).sum())
        held = int(((self.sent - self.started > LATE_SECONDS) | (np.isnan(self.sent) & ~np.isnan(self.started))).sum())
        most = float(behind.max(initial=0.0))
        return Lateness(_quantile(behind, 0.5), _quantile(behind, 0.99), most, late, held, late / max(len(behind), 1))

    def by_status(self) -> dict[int, int]:
        """Return how many requests ended with each status."""
        values, counts = np.unique(self.status, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))

    @property
    def unanswered(self) -> int:
        """Requests without a deadline that nobody answered."""
        return int((self.status == UNANSWERED).sum())

    def _of(self, kind: int | None) -> Array:
        return np.ones(len(self.kind), bool) if kind is None else np.asarray(self.kind == kind)

    def _check_replies(self) -> None:
        for number, kind in enumerate(self.kinds):
            if kind.reply_bytes is None:
                continue
            fewest, most = kind.reply_bytes
            sizes = self.received[self._of(number) & (self.status == OK)]
            if len(sizes) and not (fewest <= sizes.min() and sizes.max() <= most):
                found = f"{sizes.min()} to {sizes.max()}"
                raise RuntimeError(f"answers to {kind.name}: expected {fewest} to {most} bytes, got {found}")


def _quantile(values: Array, quantile: float) -> float:
    return float(np.quantile(values, quantile)) if len(values) else 0.0
