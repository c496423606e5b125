"""What others on the same server do to a model or to a tenant that asks for no more than its due."""

from __future__ import annotations

import threading
import time

from benchmarks import models
from benchmarks.bench import Bench, alternate, compared
from benchmarks.open_loop.arrivals import merged, poisson
from benchmarks.open_loop.generator import offer
from benchmarks.open_loop.outcome import Outcome
from benchmarks.processes import serve
from benchmarks.report import Goal, Result
from benchmarks.scenarios.overload import DEADLINE, Capacity, kind_of, seconds
from maas_server.client import Client

TENANT_KEY = "x-tenant"
# Of the capacity. With two tenants half of it is the share of each.
OVERLOAD, MODEST, SHARE = 5.0, 0.2, 0.5
# Of the capacity, while a model is being loaded.
SERVED = 0.3
PATIENT = 1.0
# 7072 x 7072 floats are 200 MB.
LARGE_WIDTH = 7072


def two_models(bench: Bench) -> Result:
    """One model at five times its capacity; the other keeps its deadlines at a fifth of its own."""
    repository = bench.repository()
    loud, quiet = models.deep(repository, "loud"), models.deep(repository, "quiet")
    kinds = [kind_of(loud, DEADLINE), kind_of(quiet, DEADLINE)]
    with serve(repository) as server:
        for model in (loud, quiet):
            model.check(server.target)
        capacity = Capacity.of(bench, server, quiet).measure()
        lasting = seconds(bench)
        alone = offer(server.target, kinds, poisson(MODEST * capacity, lasting, 1, seed=1))
        both = merged(poisson(OVERLOAD * capacity, lasting, 0, seed=2), poisson(MODEST * capacity, lasting, 1, seed=1))
        together = offer(server.target, kinds, both)
    together.lateness().warn("two_models")
    return Result(
        name="two_models",
        value=together.share_good(1),
        unit="of deadlines kept",
        reference=alone.share_good(1),
        reference_name="the same model alone",
        goal=Goal(">=", 0.99, of="value"),
        ratio=together.share_good(1) / max(alone.share_good(1), 1e-9),
        details={
            "capacity": capacity,
            "loud_good_per_second": float(together.good(0).sum()) / lasting,
            "quiet_p99_ms": together.latency(together.good(1), 0.99) * 1e3,
            "quiet_alone_p99_ms": alone.latency(alone.good(1), 0.99) * 1e3,
            "generator_late": float(together.lateness().late),
        },
    )


def two_tenants(bench: Bench) -> Result:
    """A tenant at ten times its share, and what that does to the p99 of one at half of its own."""
    repository = bench.repository()
    model = models.deep(repository)
    kinds = [kind_of(model, DEADLINE, name=name, metadata=((TENANT_KEY, name),)) for name in ("loud", "steady")]
    with serve(repository, "--tenant-key", TENANT_KEY) as server:
        model.check(server.target)
        capacity = Capacity.of(bench, server, model).measure()
        kept: dict[str, list[float]] = {"at_share": [], "at_ten": []}

        def p99(side: str, times: float) -> float:
            lasting = seconds(bench) / 2
            offered = merged(
                poisson(times * SHARE * capacity, lasting, 0, seed=1),
                poisson(SHARE / 2 * capacity, lasting, 1, seed=2),
            )
            outcome = offer(server.target, kinds, offered)
            outcome.lateness().warn(f"two_tenants {side}")
            kept[side].append(outcome.share_good(1))
            return _p99_ms(outcome, 1)

        rounds = alternate(bench.rounds, at_ten=lambda: p99("at_ten", 10.0), at_share=lambda: p99("at_share", 1.0))
    return compared(
        rounds,
        "at_ten",
        "at_share",
        name="two_tenants",
        unit="ms, p99",
        reference_name="the other at its share",
        goal=Goal("<=", 1.2),
        details={
            "capacity": capacity,
            **{f"share_good_{side}": min(shares) for side, shares in kept.items()},
        },
    )


def loading(bench: Bench) -> Result:
    """A model of 200 MB is loaded while another is asked at a third of its capacity."""
    repository = bench.repository()
    model = models.deep(repository)
    large = models.deep(repository, "large", width=LARGE_WIDTH, inner=1)
    kinds = [kind_of(model, PATIENT)]
    taken: list[float] = []
    with serve(repository, "--control", "explicit") as server, Client(server.target) as client:
        client.load(model.name)
        model.check(server.target)
        client.load(large.name)
        large.check(server.target)
        capacity = Capacity.of(bench, server, model).measure()
        lasting = seconds(bench) / 2

        def p99(*, load: bool) -> float:
            client.unload(large.name)
            arrivals = poisson(SERVED * capacity, lasting, seed=len(taken))
            window = _LoadInBackground(client, large.name) if load else None
            outcome = offer(server.target, kinds, arrivals)
            if window is None:
                return _p99_ms(outcome, 0)
            taken.append(window.seconds())
            # Later requests do not meet the load.
            met = outcome.due <= min(taken[-1], lasting)
            return outcome.waited(met, 0.99) * 1e3

        rounds = alternate(bench.rounds, loading=lambda: p99(load=True), quiet=lambda: p99(load=False))
    return compared(
        rounds,
        "loading",
        "quiet",
        name="loading",
        unit="ms, p99",
        reference_name="nothing is loaded",
        goal=Goal("<=", 1.1),
        details={"capacity": capacity, "load_s": max(taken)},
    )


class _LoadInBackground:
    """Loads a model from another thread, which only waits."""

    def __init__(self, client: Client, model: str) -> None:
        self._ended = 0.0
        self._failure: Exception | None = None
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._load, args=(client, model))
        self._thread.start()

    def seconds(self) -> float:
        """Wait for the end, and return how long it took.

        Raises:
            Exception: whatever the load ended with.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._ended - self._started

    def _load(self, client: Client, model: str) -> None:
        try:
            client.load(model)
        except Exception as error:
            self._failure = error
        self._ended = time.monotonic()


def _p99_ms(outcome: Outcome, kind: int) -> float:
    return outcome.waited(outcome.kind == kind, 0.99) * 1e3
