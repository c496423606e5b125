"""Policies beside each other in one setting: a row of figures per load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from benchmarks.simulate.program import (
    DEADLINES,
    EDF,
    FIFO,
    Outcome,
    Policy,
    Result,
    Workload,
    fifo_timeout,
    rows_at_most,
    rows_in_order,
    simulate,
)
from benchmarks.simulate.traces import NANOS
from benchmarks.simulate.workloads import MODEST, Setting

POLICIES = (FIFO, fifo_timeout(50), fifo_timeout(100), EDF, DEADLINES)


@dataclass(frozen=True)
class Comparison:
    """One setting at one load."""

    setting: Setting
    load: float
    workload: Workload
    results: Mapping[Policy, Result]
    at_most: float
    """Rows that no policy can exceed."""
    in_order: int | None
    """Rows that a policy which knew the future would get at least."""

    def of_bound(self, policy: Policy) -> float:
        """Rows in time, over the bound."""
        return self.results[policy].good_rows() / self.at_most if self.at_most else 1.0

    def goodput(self, rows: float) -> float:
        """Rows per second."""
        return rows / self.workload.seconds

    def offered(self) -> float:
        """Rows with a deadline that are asked for per second."""
        requests = self.workload.requests
        return self.goodput(float(requests.rows[requests.timed].sum()))

    def modest_share(self) -> float | None:
        """Of the rows that the modest model, tenant or caller without a deadline asked for, those that it got in time.

        `None` where nobody is modest.
        """
        requests, result = self.workload.requests, self.results[DEADLINES]
        modest = np.maximum(requests.model, requests.tenant) == MODEST
        asked = int(requests.rows[modest].sum())
        return float(requests.rows[modest & result.good].sum()) / asked if asked else None


def compare(
    setting: Setting, load: float, seconds: float, seed: int, policies: Sequence[Policy], width: int = 8
) -> Comparison:
    """Simulate one workload under each policy, and bound what can be had of it.

    `width`: how thoroughly the best schedule is looked for, as csrc/simulation/bounds.h has it; 0: not at all.
    """
    workload = setting.make(load, seconds, seed)
    known = rows_in_order(workload, width) if width else None
    results = {policy: simulate(workload, policy) for policy in policies}
    return Comparison(setting, load, workload, results, rows_at_most(workload), known)


def compare_all(
    settings: Sequence[Setting], seconds: float, seed: int, policies: Sequence[Policy] = POLICIES, width: int = 8
) -> list[Comparison]:
    """Compare in each setting at each of its loads, two at a time; `width` as for `compare`."""
    jobs = [(setting, load) for setting in settings for load in setting.loads]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda job: compare(job[0], job[1], seconds, seed, policies, width), jobs))


def table(comparisons: Sequence[Comparison]) -> str:
    """Return the figures as aligned columns, a block per setting."""
    policies = list(comparisons[0].results)
    head = ["load", "offered", "bound", "knowing", *(policy.short for policy in policies)]
    head += ["wasted", "refused", "hopeless", "expired", "p50 ms", "p99 ms", "lapses", "modest"]
    blocks: list[str] = []
    for setting in dict.fromkeys(each.setting.name for each in comparisons):
        rows = [_row(each, policies) for each in comparisons if each.setting.name == setting]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        title = next(each.setting.title for each in comparisons if each.setting.name == setting)
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *rows)
        ]
        blocks.append("\n".join([f"{setting}: {title}", *lines]))
    return "\n\n".join(blocks)


def _row(each: Comparison, policies: Sequence[Policy]) -> list[str]:
    cells = [f"{each.load:g}", f"{each.offered():.0f}", f"{each.goodput(each.at_most):.0f}"]
    cells.append("-" if each.in_order is None else f"{each.goodput(each.in_order):.0f}")
    cells += [f"{each.of_bound(policy):.3f}" for policy in policies]
    ours = each.results.get(DEADLINES)
    if ours is None:
        return [*cells, *["-"] * 8]
    cells.append(f"{ours.wasted:.1%}")
    cells += [f"{ours.share(which):.1%}" for which in (Outcome.REFUSED_LATE, Outcome.HOPELESS, Outcome.EXPIRED)]
    cells += [f"{ours.latency_ms(0.5):.1f}", f"{ours.latency_ms(0.99):.1f}", str(ours.lapses)]
    modest = each.modest_share()
    return [*cells, "-" if modest is None else f"{modest:.3f}"]


def in_bins(result: Result, width: float) -> tuple[list[float], list[float]]:
    """Return rows per second that ended in time, over time in bins of `width` seconds."""
    requests = result.workload.requests
    mask = result.good & requests.timed
    edges = np.linspace(0.0, result.workload.seconds, round(result.workload.seconds / width) + 1)
    rows, _ = np.histogram(result.end_ns[mask] / NANOS, edges, weights=requests.rows[mask].astype(float))
    return edges[:-1].tolist(), (rows / width).tolist()
