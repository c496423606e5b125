"""Goodput over load for each policy, and over time through bursts: PNG files for docs/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.simulate.comparison import Comparison, in_bins
from benchmarks.simulate.program import DEADLINES, EDF, FIFO, Policy

COLORS = ("#8c8c8c", "#c8a45c", "#b5742a", "#5b8fc0", "#1b7f4b")
# Without the version of what drew them, so that a picture changes only when its data do.
_METADATA = {"Software": None}


def goodput_over_load(comparisons: Sequence[Comparison], folder: Path) -> list[Path]:
    """Draw one picture per setting, and return their paths."""
    drawn = []
    for name in dict.fromkeys(each.setting.name for each in comparisons):
        mine = [each for each in comparisons if each.setting.name == name]
        figure, axes = _figure(f"Answered in time: {mine[0].setting.title}")
        loads = [each.load for each in mine]
        axes.plot(loads, [each.goodput(each.at_most) for each in mine], "--", color="black", label="bound")
        if all(each.in_order is not None for each in mine):
            known = [each.goodput(each.in_order or 0) for each in mine]
            axes.plot(loads, known, ":", color="black", label="knowing the future")
        for policy, color in zip(mine[0].results, COLORS, strict=False):
            good = [each.goodput(each.results[policy].good_rows()) for each in mine]
            axes.plot(loads, good, marker="o", markersize=3, color=color, label=policy.label)
        axes.set_xlabel("load, in multiples of the capacity")
        axes.set_ylabel("rows per second")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8, loc="best")
        drawn.append(_save(figure, folder / f"goodput-{name}.png"))
    return drawn


def goodput_over_time(
    comparison: Comparison, path: Path, policies: Sequence[Policy] = (FIFO, EDF, DEADLINES), seconds: float = 8.0
) -> Path:
    """Draw what is asked for and what is answered in time from moment to moment."""
    figure, axes = _figure(f"{comparison.setting.title}, at {comparison.load:g} of the capacity between them")
    colors = dict(zip(comparison.results, COLORS, strict=False))
    for policy in policies:
        at, rows = in_bins(comparison.results[policy], 0.1)
        axes.step(at, rows, where="post", color=colors[policy], label=policy.label)
    axes.set_xlim(0, min(seconds, comparison.workload.seconds))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("rows in time per second")
    axes.legend(fontsize=8, loc="best")
    return _save(figure, path)


def _figure(title: str) -> tuple[Figure, Axes]:
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9})
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata=_METADATA, pil_kwargs={"optimize": True})
    return path
