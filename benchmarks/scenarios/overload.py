"""What the scenarios under open-loop load share: the capacity, one step of load, and what the server counted of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.load import Call, burst
from benchmarks.methods import PREDICT
from benchmarks.models import Model
from benchmarks.open_loop.arrivals import Arrivals
from benchmarks.open_loop.generator import offer
from benchmarks.open_loop.kind import Kind
from benchmarks.open_loop.outcome import Outcome
from benchmarks.processes import Server, counters

DEADLINE = 0.2
# What the generator can offer; a load above it is offered at this rate, and the details say so.
MOST_PER_SECOND = 15_000.0
_PROBE_REQUESTS = 256
_SETTLE_SECONDS = 10.0


def kind_of(model: Model, deadline: float, *, name: str = "", metadata: tuple[tuple[str, str], ...] = ()) -> Kind:
    """Return requests of one row for the model."""
    request = model.request()
    fewest, most = model.reply_bytes(request)
    framed = (fewest + 5, most + 5)
    return Kind(name or model.name, PREDICT, request.SerializeToString(), deadline, metadata, framed)


@dataclass(frozen=True)
class Capacity:
    """Measures how many rows of a model a server answers per second when 64 are always under way."""

    server: Server
    model: Model
    call: Call
    count: int

    @classmethod
    def of(cls, bench: Bench, server: Server, model: Model) -> Capacity:
        """Prepare, so that each measurement takes a second or two."""
        call = Call.predict(bench.folder, model)
        burst(server, call, _PROBE_REQUESTS, model=model.name)
        rate = burst(server, call, _PROBE_REQUESTS, model=model.name).per_second
        return cls(server, model, call, max(int(rate * (0.5 if bench.quick else 2.0)), _PROBE_REQUESTS))

    def measure(self) -> float:
        """Return rows per second now."""
        return burst(self.server, self.call, self.count, model=self.model.name).per_second


@dataclass(frozen=True)
class Step:
    """One load, between two measurements of the capacity."""

    outcome: Outcome
    capacity: tuple[float, float]
    """Before and after. Unit: rows per second."""
    succeeded: int
    """Requests that the server ran and answered."""
    resident: tuple[int, int]
    """Before and after. Unit: bytes."""

    @property
    def offered(self) -> float:
        """Requests per second."""
        return len(self.outcome.due) / self.outcome.seconds

    @property
    def good(self) -> float:
        """Good answers per second."""
        return float(self.outcome.good().sum()) / self.outcome.seconds

    @property
    def mean_capacity(self) -> float:
        """Rows per second."""
        return sum(self.capacity) / 2

    @property
    def possible(self) -> float:
        """The smaller of what was offered and the capacity."""
        return min(self.offered, self.mean_capacity)

    @property
    def late_work(self) -> float:
        """Share of the server's answers that nobody had any use for."""
        return max(self.succeeded - float(self.outcome.good().sum()), 0.0) / max(self.succeeded, 1)

    def details(self) -> dict[str, float]:
        """Return what belongs to the numbers."""
        outcome, lateness = self.outcome, self.outcome.lateness()
        good, refused = outcome.good(), outcome.refused()
        statuses = {f"status_{status}": float(count) for status, count in outcome.by_status().items()}
        return {
            "offered": self.offered,
            "load": self.offered / self.mean_capacity,
            "capacity_before": self.capacity[0],
            "capacity_after": self.capacity[1],
            "late_work": self.late_work,
            "good_p50_ms": outcome.latency(good, 0.5) * 1e3,
            "good_p99_ms": outcome.latency(good, 0.99) * 1e3,
            "refused": float(refused.sum()),
            "refused_p50_ms": outcome.since_sent(refused, 0.5) * 1e3,
            "refused_p99_ms": outcome.since_sent(refused, 0.99) * 1e3,
            "given_up": float(outcome.expired.sum()),
            "rss_before_mb": self.resident[0] / 1e6,
            "rss_after_mb": self.resident[1] / 1e6,
            "generator_p50_ms": lateness.p50 * 1e3,
            "generator_p99_ms": lateness.p99 * 1e3,
            "generator_max_ms": lateness.most * 1e3,
            "generator_late": float(lateness.late),
            "generator_held": float(lateness.held),
            **statuses,
        }


def step(what: str, capacity: Capacity, kinds: Sequence[Kind], arrivals: Arrivals, before: float) -> Step:
    """Offer a load of requests for the model of `capacity`, which was `before` just now."""
    server, model = capacity.server, capacity.model
    resident = server.resident_bytes()
    succeeded = counters(server, model.name).succeeded
    outcome = offer(server.target, kinds, arrivals)
    outcome.lateness().warn(what)
    succeeded = _settled(server, model.name) - succeeded
    return Step(outcome, (before, capacity.measure()), succeeded, (resident, server.resident_bytes()))


def _settled(server: Server, model: str) -> int:
    """Wait until nothing is under way, and return how many requests succeeded so far."""
    until = time.monotonic() + _SETTLE_SECONDS
    while (counted := counters(server, model)).pending and time.monotonic() < until:
        time.sleep(0.05)
    return counted.succeeded


def seconds(bench: Bench) -> float:
    """Return how long one load lasts."""
    return 2.0 if bench.quick else 8.0
