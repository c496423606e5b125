"""How long runs take: T(n) = a + b n, and what disturbs it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.simulate.traces import NANOS, Floats

# Factors are drawn for so many runs and then repeated: more than there are in most simulations.
DRAWN_RUNS = 1 << 17


@dataclass(frozen=True)
class Noise:
    """What makes runs longer or shorter than they should be; by itself nothing does."""

    spread: float = 0.0
    """Sigma of a lognormal distribution whose mean is 1."""
    second: tuple[float, float] = (0.0, 1.0)
    """A share of the runs takes so many times as long: rare outliers, or a model whose time depends on its data."""
    slow_start: tuple[int, float] = (0, 1.0)
    """So many first runs take so many times as long."""

    def factors(self, rng: np.random.Generator) -> Floats:
        """Draw a factor for each run, in the order of their start; none when nothing disturbs."""
        if self == Noise():
            return np.empty(0)
        factors = np.exp(rng.normal(-(self.spread**2) / 2, self.spread, DRAWN_RUNS))
        share, factor = self.second
        factors[rng.uniform(size=DRAWN_RUNS) < share] *= factor
        count, slow = self.slow_start
        factors[:count] *= slow
        return factors

    @property
    def mean(self) -> float:
        """How much longer a run takes on average, the first few aside."""
        share, factor = self.second
        return 1 + share * (factor - 1)


@dataclass(frozen=True)
class Model:
    """One model: how it is configured, and how long its runs take."""

    base_ms: float = 6.0
    row_ms: float = 0.4
    max_batch_rows: int = 64
    max_queue_rows: int = 4096
    instances: int = 2
    weight: float = 1.0
    threads: int = 1
    noise: Noise = Noise()
    seed_factor: float = 1.0
    """What the server measured when it loaded the model, over the truth; 0: nothing."""

    def run_ms(self, rows: int) -> float:
        """Return T(rows) when nothing disturbs."""
        return self.base_ms + self.row_ms * rows

    def scaled(self, factor: float) -> Model:
        """Return the same model, so many times as slow."""
        return replace(self, base_ms=self.base_ms * factor, row_ms=self.row_ms * factor)

    @property
    def capacity(self) -> float:
        """Rows per second that one core can do at most, one run after the other."""
        best = max(rows / self.run_ms(rows) for rows in range(1, self.max_batch_rows + 1))
        return best * 1000 / (self.noise.mean * self.threads)


def drift(to: float, start: float, end: float, steps: int = 50) -> list[tuple[int, float]]:
    """Return a machine that gets slower, or quicker, by `to` between two instants: a pace from each instant on."""
    at = np.linspace(start, end, steps)
    return [(round(t * NANOS), float(f)) for t, f in zip(at, np.linspace(1.0, to, steps), strict=True)]
