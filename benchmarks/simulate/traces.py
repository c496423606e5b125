"""Who asks when, for what, and how long they wait: drawn once from a seed, the same for every policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
# Requests per second at each of many instants, which are in seconds.
Rate = Callable[[Floats], Floats]

NANOS = 1_000_000_000
NO_DEADLINE = -1


@dataclass(frozen=True)
class Requests:
    """Columns of equal length, in order of arrival."""

    arrival_ns: Ints
    deadline_ns: Ints
    """`NO_DEADLINE` where there is none."""
    rows: Ints
    model: Ints
    tenant: Ints
    priority: Ints

    def __len__(self) -> int:
        return len(self.arrival_ns)

    def columns(self) -> tuple[Ints, ...]:
        """Return the columns in the order in which the simulator reads them."""
        return (self.arrival_ns, self.deadline_ns, self.rows, self.model, self.tenant, self.priority)

    @property
    def timed(self) -> Mask:
        """Which have a deadline."""
        timed: Mask = self.deadline_ns != NO_DEADLINE
        return timed


@dataclass(frozen=True)
class Patience:
    """A share of the requests that waits so long for its answer; `None`: for ever."""

    share: float
    seconds: float | None


def steady(per_second: float) -> Rate:
    """Poisson arrivals at one rate."""
    return lambda at: np.full_like(at, per_second)


def bursty(per_second: float, factor: float = 10.0, seconds: float = 0.2, period: float = 2.0) -> Rate:
    """Poisson arrivals, `factor` times as many during the last `seconds` of each `period`."""
    return lambda at: np.where(at % period >= period - seconds, per_second * factor, per_second)


def diurnal(lowest: float, highest: float, period: float) -> Rate:
    """A day: from the lowest rate to the highest and back, as a sine."""
    middle, swing = (highest + lowest) / 2, (highest - lowest) / 2
    return lambda at: middle - swing * np.cos(2 * np.pi * at / period)


def arrivals(rate: Rate, seconds: float, rng: np.random.Generator) -> Ints:
    """Draw the instants of a Poisson process whose rate changes with time."""
    # The rates here are steps of 100 ms or change slowly, so that a grid of 1 ms meets their peak.
    peak = float(rate(np.arange(0.0, seconds, 0.001)).max())
    candidates = np.sort(rng.uniform(0.0, seconds, rng.poisson(peak * seconds)))
    kept = candidates[rng.uniform(0.0, peak, len(candidates)) < rate(candidates)]
    return (kept * NANOS).astype(np.int64)


def requests(
    arrival_ns: Ints,
    rng: np.random.Generator,
    patience: Sequence[Patience] = (Patience(1.0, 0.2),),
    *,
    rows: Sequence[int] = (1,),
    model: int = 0,
    tenant: int = 0,
    priority: int = 0,
) -> Requests:
    """Give each arrival a deadline and a number of rows, drawn from those named."""
    shares = np.array([each.share for each in patience])
    kind = rng.choice(len(patience), len(arrival_ns), p=shares / shares.sum())
    waits = np.array([-1 if each.seconds is None else round(each.seconds * NANOS) for each in patience], dtype=np.int64)
    wait = waits[kind]
    same = np.ones(len(arrival_ns), dtype=np.int64)
    return Requests(
        arrival_ns,
        np.where(wait < 0, NO_DEADLINE, arrival_ns + wait),
        rng.choice(np.array(rows, dtype=np.int64), len(arrival_ns)),
        same * model,
        same * tenant,
        same * priority,
    )


def merge(parts: Sequence[Requests]) -> Requests:
    """Put several streams of requests into one, in order of arrival."""
    columns = [np.concatenate(each) for each in zip(*(part.columns() for part in parts), strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Requests(*(column[order] for column in columns))
