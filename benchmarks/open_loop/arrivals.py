"""When requests come, and of which kind: drawn beforehand, the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Arrivals:
    """Requests in the order in which they come."""

    times: npt.NDArray[np.float64]
    """Since the start. Unit: seconds."""
    kinds: npt.NDArray[np.int64]
    """Positions in the list of kinds that the generator is given."""
    seconds: float
    """How long the load lasts."""

    @property
    def per_second(self) -> float:
        """Requests that come per second."""
        return len(self.times) / self.seconds


def poisson(rate: float, seconds: float, kind: int = 0, *, seed: int) -> Arrivals:
    """Return requests that know nothing of each other, `rate` per second on average."""
    random = np.random.default_rng(seed)
    return _of_one_kind(random.random(random.poisson(rate * seconds)) * seconds, kind, seconds)


def bursts(
    rate: float,
    seconds: float,
    kind: int = 0,
    *,
    seed: int,
    factor: float = 10.0,
    length: float = 0.2,
    period: float = 2.0,
) -> Arrivals:
    """Return `rate` requests per second, and `factor` times as many in the last `length` seconds of each `period`."""
    random = np.random.default_rng(seed)
    calm = period - length
    # In a clock that runs faster while many come, they come evenly.
    whole = calm + factor * length
    periods, remainder = divmod(seconds, period)
    total = periods * whole + min(remainder, calm) + factor * max(remainder - calm, 0.0)
    warped = random.random(random.poisson(rate * total)) * total
    number, inside = np.divmod(warped, whole)
    times = number * period + np.where(inside < calm, inside, calm + (inside - calm) / factor)
    return _of_one_kind(times, kind, seconds)


def merged(*parts: Arrivals) -> Arrivals:
    """Return all of them together."""
    times = np.concatenate([each.times for each in parts])
    kinds = np.concatenate([each.kinds for each in parts])
    order = np.argsort(times, kind="stable")
    return Arrivals(times[order], kinds[order], max(each.seconds for each in parts))


def _of_one_kind(times: npt.NDArray[Any], kind: int, seconds: float) -> Arrivals:
    return Arrivals(np.sort(times), np.full(len(times), kind, np.int64), seconds)
