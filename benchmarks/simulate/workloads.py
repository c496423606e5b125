"""The settings in which policies are compared, each at a load and from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.simulate import traces
from benchmarks.simulate.program import Workload
from benchmarks.simulate.service import Model, Noise, drift
from benchmarks.simulate.traces import Patience

LOADS = (0.5, 0.9, 1.2, 2.0, 5.0)
# Runs of one model on one core of a busy machine: a few percent up and down, and one in two hundred is interrupted.
ORDINARY = Noise(spread=0.03, second=(0.005, 3.0))
MODEL = Model(noise=ORDINARY)
# The tenant, or model, whose load varies in the settings that have two.
GREEDY, MODEST = 0, 1

Make = Callable[[float, float, int], Workload]


@dataclass(frozen=True)
class Setting:
    """A workload for each load, which is in multiples of what the device can do."""

    name: str
    title: str
    make: Make
    """Takes load, seconds and seed."""
    loads: Sequence[float] = LOADS


def single(model: Model = MODEL, patience: Sequence[Patience] = (Patience(1.0, 0.2),)) -> Make:
    """One model, Poisson arrivals."""

    def make(load: float, seconds: float, seed: int) -> Workload:
        rng = np.random.default_rng(seed)
        at = traces.arrivals(traces.steady(model.capacity * load), seconds, rng)
        return Workload(traces.requests(at, rng, patience), (model,), seconds, seed=seed)

    return make


def bursts(load: float, seconds: float, seed: int) -> Workload:
    """Ten times the load for 200 ms every 2 s."""
    rng = np.random.default_rng(seed)
    at = traces.arrivals(traces.bursty(MODEL.capacity * load), seconds, rng)
    return Workload(traces.requests(at, rng), (MODEL,), seconds, seed=seed)


def diurnal(load: float, seconds: float, seed: int) -> Workload:
    """From a tenth of the load to the load and back within the time."""
    rng = np.random.default_rng(seed)
    rate = traces.diurnal(MODEL.capacity * load / 10, MODEL.capacity * load, seconds)
    return Workload(traces.requests(traces.arrivals(rate, seconds, rng), rng), (MODEL,), seconds, seed=seed)


def drifting(load: float, seconds: float, seed: int) -> Workload:
    """Twice as slow in the end as in the beginning."""
    workload = single()(load, seconds, seed)
    paces = tuple(drift(2.0, seconds / 4, seconds * 3 / 4))
    return Workload(workload.requests, workload.models, seconds, paces=paces, seed=seed)


def untimed(load: float, seconds: float, seed: int) -> Workload:
    """A twentieth of the capacity asks without a deadline, beside the load with one."""
    rng = np.random.default_rng(seed)
    timed = traces.requests(traces.arrivals(traces.steady(MODEL.capacity * load), seconds, rng), rng)
    quiet = traces.arrivals(traces.steady(MODEL.capacity / 20), seconds, rng)
    parts = [timed, traces.requests(quiet, rng, (Patience(1.0, None),), tenant=MODEST)]
    return Workload(traces.merge(parts), (MODEL,), seconds, tenant_weights=(1.0, 1.0), seed=seed)


def models(load: float, seconds: float, seed: int) -> Workload:
    """Two models on one core; one has a quarter of the capacity to do, the other the load."""
    rng = np.random.default_rng(seed)
    greedy = traces.arrivals(traces.steady(MODEL.capacity * load), seconds, rng)
    modest = traces.arrivals(traces.steady(MODEL.capacity / 4), seconds, rng)
    parts = [traces.requests(greedy, rng, model=GREEDY), traces.requests(modest, rng, model=MODEST)]
    return Workload(traces.merge(parts), (MODEL, MODEL), seconds, seed=seed)


def tenants(load: float, seconds: float, seed: int) -> Workload:
    """Two tenants of one model; one asks for a quarter of the capacity, the other for the load."""
    rng = np.random.default_rng(seed)
    greedy = traces.arrivals(traces.steady(MODEL.capacity * load), seconds, rng)
    modest = traces.arrivals(traces.steady(MODEL.capacity / 4), seconds, rng)
    parts = [traces.requests(greedy, rng, tenant=GREEDY), traces.requests(modest, rng, tenant=MODEST)]
    return Workload(traces.merge(parts), (MODEL,), seconds, tenant_weights=(1.0, 1.0), seed=seed)


MIX = (Patience(0.5, 0.05), Patience(0.5, 1.0))
SETTINGS = {
    each.name: each
    for each in (
        Setting("200ms", "deadlines of 200 ms", single()),
        Setting("50ms", "deadlines of 50 ms", single(patience=(Patience(1.0, 0.05),))),
        Setting("1s", "deadlines of 1 s", single(patience=(Patience(1.0, 1.0),))),
        Setting("slow", "a model ten times slower, 1 s", single(MODEL.scaled(10), (Patience(1.0, 1.0),))),
        Setting("fast", "a model ten times faster, 200 ms", single(MODEL.scaled(0.1))),
        Setting("mix", "half 50 ms, half 1 s", single(patience=MIX)),
        Setting("bursts", "bursts of 10x for 200 ms each 2 s", bursts, (0.25, 0.5, 0.9, 1.2, 2.0)),
        Setting("diurnal", "a day, from a tenth of the load to the load", diurnal, (0.9, 1.2, 2.0, 5.0)),
        Setting("outliers", "one run in twenty takes 5x", single(Model(noise=Noise(0.03, (0.05, 5.0))))),
        Setting("bimodal", "times depend on the data: 30 % take 3x", single(Model(noise=Noise(0.03, (0.3, 3.0))))),
        Setting("slow-start", "the first two runs take 100x", single(Model(noise=Noise(0.03, slow_start=(2, 100.0))))),
        Setting("drift", "twice as slow in the end", drifting),
        Setting("stale", "measured 3x too slow at load", single(Model(noise=ORDINARY, seed_factor=3.0))),
        Setting("unmeasured", "not measured at load", single(Model(noise=ORDINARY, seed_factor=0.0))),
        Setting("untimed", "and 5 % without a deadline", untimed),
        Setting("models", "two models, one overloaded", models),
        Setting("tenants", "two tenants, one greedy", tenants),
    )
}
QUICK = ("200ms", "50ms", "mix", "bursts")
