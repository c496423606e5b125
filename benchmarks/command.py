"""The command line of `python -m benchmarks` and `python -m benchmarks.peers`: which to run, and what is kept of it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.gpu import found
from benchmarks.machine import scheduling_policy, unfit
from benchmarks.measure import Scenario, measure
from benchmarks.processes import LOAD_CORE
from benchmarks.report import Circumstances


def main(program: str, description: str, scenarios: Mapping[str, Scenario]) -> int:
    """Run the scenarios asked for; 1 when a goal was missed, 2 when nothing could be measured."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--quick", action="store_true", help="a fifth of the work, not recorded: to see that all runs")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all ({', '.join(scenarios)})")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(scenarios):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(scenarios)}")
    if problem := unfit():
        print(problem, file=sys.stderr)
        return 2

    # Clients inside this process must not run on the server's core.
    os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory(prefix="maas-bench-") as folder:
        bench = Bench(Path(folder), arguments.quick)
        circumstances = Circumstances.observe(scheduling_policy(bench), found.description())
        return measure(bench, scenarios, arguments.names or scenarios, circumstances)
