"""Measure, print a table of ratios, and append each result to benchmarks/history/."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.machine import scheduling_policy, unfit
from benchmarks.processes import LOAD_CORE
from benchmarks.report import Circumstances, Result, append_to_history, table
from benchmarks.scenarios import SCENARIOS


def main() -> int:
    """Run the scenarios asked for; 1 when a goal was missed, 2 when nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the work, not recorded: to see that all runs")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"default: all ({', '.join(SCENARIOS)})")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenarios) - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
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
        for name in arguments.scenarios or SCENARIOS:
            print(f"... {name}", file=sys.stderr, flush=True)
            measured = SCENARIOS[name](bench)
            for result in [measured] if isinstance(measured, Result) else measured:
                results.append(result)
                if not arguments.quick:
                    append_to_history(result, circumstances)
    print(f"\n{table(results)}")
    return 0 if all(result.met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
