"""Simulate the policies under load, print what each answers in time, and draw it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.simulate.comparison import POLICIES, compare_all, table
from benchmarks.simulate.program import DEADLINES, ROOT, build
from benchmarks.simulate.workloads import QUICK, SETTINGS

PLOTTED = ("200ms", "50ms", "mix", "bursts", "bimodal")


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate what is asked for; 1 when the simulator cannot be built."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulate",
        description=(__doc__ or "").partition("\n")[0],
        epilog="; ".join(f"{name}: {setting.title}" for name, setting in SETTINGS.items()),
    )
    parser.add_argument("--quick", action="store_true", help="ten seconds of each of a few settings, no plots")
    parser.add_argument("--ours", action="store_true", help="only our own policy")
    parser.add_argument("--seconds", type=float, help="of load to simulate; default: 30, or 10")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plots", type=Path, default=ROOT / "docs/images", help="where the plots go")
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=f"default: all ({', '.join(SETTINGS)})")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.settings) - set(SETTINGS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SETTINGS)}")
    try:
        build()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1

    names = arguments.settings or (QUICK if arguments.quick else SETTINGS)
    seconds = arguments.seconds or (10.0 if arguments.quick else 30.0)
    policies = (DEADLINES,) if arguments.ours else POLICIES
    comparisons = compare_all(
        [SETTINGS[name] for name in names],
        seconds,
        arguments.seed,
        policies,
        0 if arguments.ours else 2 if arguments.quick else 8,
    )
    print(
        f"{seconds:g} s of load, seed {arguments.seed}. Rows per second: offered, bound, and got by a schedule that "
        "knows the future.\nEach policy: rows in time over the bound. What follows is of ours; modest: what the other "
        "model or tenant,\nor who has no deadline, gets of what it asks for.\n"
    )
    print(table(comparisons))
    if arguments.quick or arguments.ours:
        return 0
    try:
        from benchmarks.simulate import plots
    except ImportError:
        print("no plots: install the extra 'simulate'", file=sys.stderr)
        return 0
    plotted = [each for each in comparisons if each.setting.name in PLOTTED]
    drawn = plots.goodput_over_load(plotted, arguments.plots)
    for each in comparisons:
        if (each.setting.name, each.load) == ("bursts", 0.5):
            drawn.append(plots.goodput_over_time(each, arguments.plots / "bursts-over-time.png"))
    print("\n" + "\n".join(str(path) for path in drawn))
    return 0


if __name__ == "__main__":
    sys.exit(main())
