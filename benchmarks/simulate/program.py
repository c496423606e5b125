"""The simulator itself, a program in C++ beside the core: built when it is not current, and asked."""

from __future__ import annotations

import functools
import subprocess
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path

import numpy as np

from benchmarks.simulate.service import Model, Noise
from benchmarks.simulate.traces import Floats, Ints, Mask, Requests

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path("build/plain/simulation/simulate")


class Outcome(IntEnum):
    """What became of a request; the numbers are those of csrc/simulation/simulator.h."""

    NONE = 0
    ANSWERED = 1
    REFUSED_LATE = 2
    REFUSED_FULL = 3
    HOPELESS = 4
    EXPIRED = 5
    TIMED_OUT = 6


@dataclass(frozen=True)
class Policy:
    """A scheduler that the program knows."""

    short: str
    label: str
    name: str
    timeout_ms: float | None = None


DEADLINES = Policy("ours", "deadlines first", "deadlines")
FIFO = Policy("fifo", "first come first served", "fifo")
EDF = Policy("edf", "earliest deadline first", "edf")


def fifo_timeout(milliseconds: float) -> Policy:
    """Return first come first served with a timeout in the queue."""
    return Policy(f"fifo {milliseconds:g}ms", f"queue timeout {milliseconds:g} ms", "fifo", milliseconds)


@dataclass(frozen=True)
class Workload:
    """What every policy is given alike."""

    requests: Requests
    models: tuple[Model, ...] = (Model(),)
    seconds: float = 10.0
    """How long requests arrive."""
    cores: float = 1.0
    tenant_weights: tuple[float, ...] = (1.0,)
    paces: tuple[tuple[int, float], ...] = ()
    seed: int = 1
    """Of the noise in the runs' times."""

    @functools.cached_property
    def factors(self) -> list[Floats]:
        """The noise of each model's runs."""
        rng = np.random.default_rng([self.seed, len(self.requests)])
        return [model.noise.factors(rng) for model in self.models]


@dataclass(frozen=True)
class Result:
    """What became of each request, in the order of the workload's."""

    workload: Workload
    outcome: Ints
    start_ns: Ints
    end_ns: Ints
    batch_rows: Ints
    predicted_ns: Ints
    work_ns: Floats
    runs: int
    lapses: int
    _cache: dict[str, Mask] = field(default_factory=dict, repr=False)

    @property
    def answered(self) -> Mask:
        """Which were answered, in time or late."""
        answered: Mask = self.outcome == Outcome.ANSWERED
        return answered

    @property
    def good(self) -> Mask:
        """Which were answered in time; those without a deadline always are."""
        if "good" not in self._cache:
            requests = self.workload.requests
            self._cache["good"] = self.answered & (~requests.timed | (self.end_ns <= requests.deadline_ns))
        return self._cache["good"]

    def good_rows(self, among: Mask | None = None) -> int:
        """Count the rows with a deadline that were answered in time."""
        mask = self.good & self.workload.requests.timed
        return int(self.workload.requests.rows[mask if among is None else mask & among].sum())

    @property
    def wasted(self) -> float:
        """The share of the work done that answers took which came too late."""
        total = float(self.work_ns.sum())
        return float(self.work_ns[~self.good].sum()) / total if total else 0.0

    def share(self, outcome: Outcome) -> float:
        """Return the share of the requests that ended so."""
        return float((self.outcome == outcome).mean()) if len(self.outcome) else 0.0

    def latency_ms(self, quantile: float, among: Mask | None = None) -> float:
        """Return how long those that were answered in time took; nan if none was."""
        mask = self.good if among is None else self.good & among
        took = (self.end_ns - self.workload.requests.arrival_ns)[mask]
        return float(np.quantile(took, quantile)) / 1e6 if len(took) else float("nan")


def build() -> Path:
    """Make the program, or find it current.

    Raises:
        RuntimeError: it cannot be built; the compiler's words are in the message.
    """
    done = subprocess.run(
        ["make", "--no-print-directory", "-j2", "-f", "csrc/Makefile", str(PROGRAM)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the simulator cannot be built:\n{done.stdout}{done.stderr}")
    return ROOT / PROGRAM


def simulate(workload: Workload, policy: Policy) -> Result:
    """Run the workload through a policy."""
    answer = _ask(workload, policy.name, policy.timeout_ms)
    head, _, data = answer.partition(b"\n")
    words = head.split()
    count, runs, lapses = int(words[1]), int(words[3]), int(words[5])
    ints = np.frombuffer(data, dtype=np.int64, count=5 * count).reshape(5, count)
    work = np.frombuffer(data, dtype=np.float64, count=count, offset=5 * count * 8)
    outcome, start, end, batch_rows, predicted = ints
    return Result(workload, outcome, start, end, batch_rows, predicted, work, runs, lapses)


def rows_at_most(workload: Workload) -> float:
    """Return the rows that nobody could have answered more of in time.

    Of runs with noise it takes the mean, so that it is a bound on average.
    """
    return float(_ask(_without_noise(workload), "bound", None).split()[1])


def rows_in_order(workload: Workload, width: int = 8) -> int | None:
    """Return the rows of the best schedule found that knows the future; `None` where it is not looked for.

    Noise counts as for `rows_at_most`.
    """
    rows = int(_ask(_without_noise(workload), "in_order", None, width).split()[1])
    return None if rows < 0 else rows


def _without_noise(workload: Workload) -> Workload:
    models = tuple(replace(model.scaled(model.noise.mean), noise=Noise()) for model in workload.models)
    return replace(workload, models=models)


def _ask(workload: Workload, policy: str, timeout_ms: float | None, width: int = 8) -> bytes:
    lines = [f"policy {policy}", f"width {width}", f"cores {workload.cores}"]
    if timeout_ms is not None:
        lines.append(f"timeout {round(timeout_ms * 1e6)}")
    for model, factors in zip(workload.models, workload.factors, strict=True):
        lines.append(
            f"model {model.max_batch_rows} {model.max_queue_rows} {model.instances} {model.weight} {model.threads} "
            f"{model.base_ms * 1e6} {model.row_ms * 1e6} {model.seed_factor} {len(factors)}"
        )
    lines += [f"tenant {weight}" for weight in workload.tenant_weights]
    lines += [f"pace {at} {factor}" for at, factor in workload.paces]
    lines += [f"requests {len(workload.requests)}", "data\n"]
    columns = [np.ascontiguousarray(column, dtype=np.int64).tobytes() for column in workload.requests.columns()]
    job = b"".join(["\n".join(lines).encode(), *columns, *(factors.tobytes() for factors in workload.factors)])
    done = subprocess.run([ROOT / PROGRAM], input=job, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the simulator failed ({done.returncode}): {done.stderr.decode(errors='replace')}")
    return done.stdout
