"""Load on a model: how requests arrive, and what became of them."""

from __future__ import annotations

import asyncio
import math
import random
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maas_server._stubs.maas.v1 import model_pb2, tensor_pb2
from maas_server.client import BFloat16, Prediction, TensorLike
from maas_server.client._tensors import dtype_of
from maas_server.errors import MaasError

Send = Callable[[], Awaitable[Prediction]]

QUANTILES = (0.5, 0.9, 0.99, 0.999)
# A client that starts its last request so late, as a share of the time that it sent for, did not keep its rate.
_MOST_BEHIND = 0.05
_WORDS = ("a", "serving", "of", "small strings", "in many lengths, so that no two rows weigh the same")


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How requests arrive, and when to stop: after `seconds`, or after `count` requests where that is given."""

    concurrency: int = 16
    """Requests under way at any time. Ignored with a rate."""
    rate: float | None = None
    """Requests per second, arriving at random whether or not the server keeps up. None: each answer brings the next."""
    seconds: float = 10.0
    count: int | None = None
    seed: int = 0


@dataclass(slots=True)
class Record:
    """What became of the requests."""

    latencies: array[float] = field(default_factory=lambda: array("d"))
    """Of answered requests, in seconds; at a rate, from when the request was due."""
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By status code and reason."""
    first_error: MaasError | None = None
    rows_run_with: int = 0
    queue_seconds: float = 0.0
    run_seconds: float = 0.0
    predicted_seconds: float = 0.0
    total_seconds: float = 0.0
    elapsed: float = 0.0
    started: int = 0
    sending: float = 0.0
    """At a rate: seconds until the last request was started."""
    behind: float = 0.0
    """How many seconds after it was due that was."""

    def succeed(self, seconds: float, prediction: Prediction) -> None:
        """Note an answer."""
        receipt = prediction.receipt
        self.latencies.append(seconds)
        self.rows_run_with += receipt.batch_size
        self.queue_seconds += receipt.queue_seconds
        self.run_seconds += receipt.run_seconds
        self.predicted_seconds += receipt.predicted_seconds
        self.total_seconds += receipt.total_seconds

    def fail(self, error: MaasError) -> None:
        """Note an error, by its status code and reason."""
        self.errors[error.code.name, error.reason] += 1
        self.first_error = self.first_error or error

    def summary(self, rows: int, deadline: float | None = None) -> dict[str, Any]:
        """Return figures, for requests of `rows` rows each, of which answers are good within `deadline` seconds."""
        answered = len(self.latencies)
        mean = 1 / answered if answered else 0.0
        sending = self.sending or self.elapsed
        by_code = Counter[str]()
        for (code, _), count in self.errors.items():
            by_code[code] += count
        return {
            "started": self.started,
            "answered": answered,
            "in_time": None if deadline is None else sum(seconds <= deadline for seconds in self.latencies),
            "errors": dict(by_code),
            "reasons": [{"code": code, "reason": reason, "count": n} for (code, reason), n in self.errors.items()],
            "seconds": self.elapsed,
            "requests_per_second": answered / self.elapsed if self.elapsed else 0.0,
            "rows_per_second": answered * rows / self.elapsed if self.elapsed else 0.0,
            "started_per_second": self.started / sending if sending else 0.0,
            "behind_seconds": self.behind,
            "rate_kept": self.behind <= _MOST_BEHIND * self.sending,
            "latency_seconds": quantiles(self.latencies, QUANTILES),
            "mean_latency_seconds": sum(self.latencies) * mean,
            "mean_batch_size": self.rows_run_with * mean,
            "mean_queue_seconds": self.queue_seconds * mean,
            "mean_run_seconds": self.run_seconds * mean,
            "mean_predicted_seconds": self.predicted_seconds * mean,
            "mean_total_seconds": self.total_seconds * mean,
        }


def quantiles(values: Sequence[float], levels: Sequence[float]) -> dict[str, float]:
    """Return the values below which each share lies (nearest rank), by "p50", "p99.9"; nothing for no values."""
    if not values:
        return {}
    ordered = sorted(values)
    ranks = (max(0, math.ceil(level * len(ordered)) - 1) for level in levels)
    return {f"p{level * 100:g}": ordered[rank] for level, rank in zip(levels, ranks, strict=True)}


async def drive(plan: LoadPlan, send: Send, record: Record, *, clock: Callable[[], float] = time.perf_counter) -> None:
    """Send requests as planned and note what comes back in `record`."""
    start = clock()
    try:
        if plan.rate is None:
            await _closed_loop(plan, send, record, clock)
        else:
            await _open_loop(plan, plan.rate, send, record, clock)
    finally:
        record.elapsed = clock() - start


async def _closed_loop(plan: LoadPlan, send: Send, record: Record, clock: Callable[[], float]) -> None:
    end = math.inf if plan.count is not None else clock() + plan.seconds
    most = math.inf if plan.count is None else plan.count

    async def work() -> None:
        while record.started < most and (now := clock()) < end:
            await _one(send, record, clock, now)

    async with asyncio.TaskGroup() as group:
        for _ in range(plan.concurrency):
            group.create_task(work())


async def _open_loop(plan: LoadPlan, rate: float, send: Send, record: Record, clock: Callable[[], float]) -> None:
    """Start requests when they are due; latency counts from there, so that a slow server cannot slow its own test."""
    gaps = random.Random(plan.seed)
    start = due = clock()
    end = math.inf if plan.count is not None else due + plan.seconds
    most = math.inf if plan.count is None else plan.count
    async with asyncio.TaskGroup() as group:
        started = 0
        while started < most and (due := due + gaps.expovariate(rate)) < end:
            started += 1
            if (wait := due - clock()) > 0:
                await asyncio.sleep(wait)
            elif started % 64 == 0:
                # Behind schedule: let answers in all the same.
                await asyncio.sleep(0)
            now = clock()
            record.sending, record.behind = now - start, max(0.0, now - due)
            group.create_task(_one(send, record, clock, due))


async def _one(send: Send, record: Record, clock: Callable[[], float], since: float) -> None:
    record.started += 1
    try:
        prediction = await send()
    except MaasError as error:
        record.fail(error)
    else:
        record.succeed(clock() - since, prediction)


def random_inputs(
    signature: model_pb2.Signature, rows: int, shapes: Mapping[str, Sequence[int]], seed: int
) -> dict[str, TensorLike]:
    """Return inputs for one request: `rows` for a varying first dimension, 1 for the others, or as `shapes` says.

    Inputs that the server fills are left out. Wide integers are 0 or 1, which are valid as indices too.
    """
    generator = np.random.default_rng(seed)
    return {
        tensor.name: _random(generator, tensor, shapes.get(tensor.name) or _shape(tensor, rows))
        for tensor in signature.inputs
        if not tensor.optional or tensor.name in shapes
    }


def _shape(tensor: model_pb2.TensorSignature, rows: int) -> Sequence[int]:
    return [size if size >= 0 else (rows if axis == 0 else 1) for axis, size in enumerate(tensor.shape)]


def _random(generator: np.random.Generator, tensor: model_pb2.TensorSignature, shape: Sequence[int]) -> TensorLike:
    if tensor.datatype == tensor_pb2.BYTES:
        return generator.choice(np.asarray(_WORDS, dtype=object), shape)
    if tensor.datatype == tensor_pb2.BF16:
        return BFloat16.from_float(generator.random(shape, np.float32))
    dtype = dtype_of(tensor.datatype) or np.dtype(np.float32)
    if dtype.kind == "f":
        return generator.random(shape, np.float32).astype(dtype)
    most = np.iinfo(dtype).max if dtype.itemsize == 1 and dtype.kind in "iu" else 1
    return generator.integers(0, most, shape, endpoint=True).astype(dtype)
