"""The command line of `python -m benchmarks` and `python -m benchmarks.peers`: which to run, and what is kept of it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.machine import scheduling_policy, unfit
from benchmarks.processes import LOAD_CORE
from benchmarks.report import Circumstances, Result, append_to_history, table

Scenario = Callable[[Bench], Result | Sequence[Result]]


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
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="maas-bench-") as folder:
        bench = Bench(Path(folder), arguments.quick)
        circumstances = Circumstances.observe(scheduling_policy(bench))
        print(circumstances.header(), flush=True)
        for name in arguments.names or scenarios:
            print(f"... {name}", file=sys.stderr, flush=True)
            measured = scenarios[name](bench)
            for result in [measured] if isinstance(measured, Result) else measured:
                results.append(result)
                if not arguments.quick:
                    append_to_history(result, circumstances)
    print(f"\n{table(results)}")
    return 0 if all(result.met for result in results) else 1
