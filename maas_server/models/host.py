"""What the models side asks of the engine; the engine implements it, tests fake it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from maas_server.models.plan import VersionPlan
from maas_server.models.runner import Runner

# Predictions hold, and what cannot be answered in time is refused at once; or nothing is refused because of them.
Mode = Literal["predictive", "work_conserving"]


@dataclass(frozen=True, slots=True)
class BatchSize:
    """What the batches of one size did so far, times in nanoseconds."""

    rows: int
    """Their size; above 128 the upper end of a class of sizes."""
    batches: int = 0
    pack_ns: int = 0
    run_ns: int = 0
    answer_ns: int = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """What a deployment did so far; times in nanoseconds."""

    accepted: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    timed_out: int = 0
    """Those of `expired` that the queue policy took out."""
    rejected: int = 0
    refused_late: int = 0
    """Those of `rejected` that could not have been answered by their deadline."""
    refused_tenant: int = 0
    """Those of `rejected` that were more than their tenant may have."""
    hopeless: int = 0
    """Those of `expired` that were dropped when their deadline could not be met any more."""
    late: int = 0
    """Those of `succeeded` whose answer was ready only after their deadline."""
    interrupted: int = 0
    """Runs that were ended because all of their callers had gone."""
    batches: int = 0
    rows: int = 0
    run_ns: int = 0
    queue_ns: int = 0
    """Of the requests that succeeded."""
    queued_rows: int = 0
    pending: int = 0
    succeeded_ns: int = 0
    """From acceptance to the answer, summed over the requests that succeeded; the others likewise."""
    failed_ns: int = 0
    cancelled_ns: int = 0
    expired_ns: int = 0
    pack_ns: int = 0
    """From closing a batch to the beginning of its run, summed over batches, as is `run_ns`."""
    answer_ns: int = 0
    """From the end of a run until its answers were encoded, summed over batches."""
    requests_pack_ns: int = 0
    """Summed over requests, each with the time of its whole batch; the next two likewise."""
    requests_run_ns: int = 0
    requests_answer_ns: int = 0
    last_unix_ms: int = 0
    """When the last run ended; 0: none did."""
    batch_sizes: tuple[BatchSize, ...] = ()
    """In ascending order of rows."""
    latency: tuple[int, ...] = ()
    """Requests that succeeded within each of `_core.LATENCY_BOUNDS_SECONDS`, and all of them as the last."""


@dataclass(frozen=True, slots=True)
class TimePoint:
    """How long runs of so many rows take."""

    rows: int
    typical_ns: int
    """The median."""
    high_ns: int
    """What one run in ten exceeds."""


@dataclass(frozen=True, slots=True)
class BucketCurve:
    """T(n) of one shape bucket, kept current by every run."""

    bucket: str
    """The sizes that vary between buckets, as text; empty for a model with one shape."""
    points: tuple[TimePoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How a deployment's requests are scheduled at this moment."""

    mode: Mode = "work_conserving"
    lapses: int = 0
    """How often predictions ceased to hold."""
    predicted_ns: int = 0
    """From acceptance to the answer of a request of one row that came now without a deadline; 0: nobody knows."""
    headroom: float = 0.0
    """Share of what it can answer that is not asked for at this moment: 1 is idle, 0 is overload."""
    margin_ns: int = 0
    """Kept free between the end of a run and the deadlines of its requests, for the answers to leave."""
    curves: tuple[BucketCurve, ...] = ()
    device: str = "cpu"
    device_idle: float = 0.0
    """Share of the device's time that nothing runs."""


class Deployment(Protocol):
    """One version in the engine, with its queue and its runner threads. Thread-safe; only `drain` blocks for long."""

    def counters(self) -> Counters:
        """Return a snapshot."""

    def mode(self) -> Mode:
        """Return whether predictions hold."""

    def scheduling(self) -> Scheduling:
        """Return how requests are scheduled now."""

    def drain(self, timeout: float) -> bool:
        """Take no more requests, answer those accepted, end the threads; False if `timeout` seconds passed first.

        Call it from a thread of its own, after `Host.route` took the version out: until then a request that
        finds it closed is routed again. The runner is not closed; its owner does that afterwards.
        """


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers for one model."""

    versions: Mapping[int, Deployment]
    labels: Mapping[str, int]
    default: int
    """Answers requests that name no version; 0: none does."""
    known_versions: frozenset[int] = frozenset()
    """Versions that exist without being AVAILABLE: asking for one is UNAVAILABLE, not NOT_FOUND."""


class Host(Protocol):
    """The engine, as seen by the models side. Thread-safe."""

    def deploy(self, plan: VersionPlan, runner: Runner) -> Deployment:
        """Create the version's queue and start its runner threads. It answers nothing until it is routed to."""

    def route(self, model: str, route: Route | None) -> None:
        """Replace who answers for `model`, atomically; None: the model is gone."""
