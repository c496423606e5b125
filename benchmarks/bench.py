"""What every scenario gets, and how it compares: in alternating rounds, by the median of the rounds' ratios."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Goal, Result


@dataclass(frozen=True)
class Bench:
    """One invocation of the benchmarks."""

    folder: Path
    """Scratch space, gone afterwards."""
    quick: bool
    """A fifth of the work: to see that everything runs, not to quote."""

    @property
    def rounds(self) -> int:
        """How often the sides of a comparison take turns."""
        return 3 if self.quick else 7

    def repository(self) -> Path:
        """Return a new, empty model repository."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def count(self, full: int) -> int:
        """Return how many requests to send where a full run sends `full`."""
        return full // 5 if self.quick else full


Round = dict[str, float]


def alternate(rounds: int, **sides: Callable[[], float]) -> Sequence[Round]:
    """Measure every side once per round, after one round that does not count.

    Neighbours on a shared machine come and go: within a round they burden all sides alike.
    """
    measured = [{name: measure() for name, measure in sides.items()} for _ in range(rounds + 1)]
    return measured[1:]


def median(rounds: Sequence[Round], side: str) -> float:
    """Return the median of one side."""
    return statistics.median(each[side] for each in rounds)


def median_ratio(rounds: Sequence[Round], side: str, reference: str) -> float:
    """Return the median of the ratios of the rounds."""
    return statistics.median(each[side] / each[reference] for each in rounds)


def compared(
    rounds: Sequence[Round],
    side: str,
    reference: str,
    *,
    name: str,
    unit: str,
    reference_name: str,
    goal: Goal,
    details: Mapping[str, float] | None = None,
) -> Result:
    """Return the result of one side beside another."""
    value, other = median(rounds, side), median(rounds, reference)
    ratio = median_ratio(rounds, side, reference)
    return Result(name, value, unit, other, reference_name, goal, ratio, details or {})
