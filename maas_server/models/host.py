"""What the models side asks of the engine; the engine implements it, tests fake it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from maas_server.models.plan import VersionPlan
from maas_server.models.runner import Runner


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


class Deployment(Protocol):
    """One version in the engine, with its queue and its runner threads. Thread-safe; only `drain` blocks for long."""

    def counters(self) -> Counters:
        """Return a snapshot."""

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
