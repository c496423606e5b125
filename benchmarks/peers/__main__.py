"""Compare with other servers, and by perf_analyzer with a plain handler; results go to benchmarks/history/.

Installs the peers into environments of their own below build/peers/ first.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.machine import scheduling_policy, unfit
from benchmarks.peers import perf_analyzer, servers
from benchmarks.peers.environments import PEERS
from benchmarks.processes import LOAD_CORE
from benchmarks.report import Circumstances, Result, append_to_history, table


def _comparison(peer: str, kind: str) -> Callable[[Bench], Result]:
    return lambda bench: servers.run(bench, peer, kind)


COMPARISONS: Mapping[str, Callable[[Bench], Result]] = {
    **{f"{peer}-{kind}": _comparison(peer, kind) for peer in PEERS for kind in servers.GOALS},
    "perf-latency": perf_analyzer.latency,
    "perf-throughput": perf_analyzer.throughput,
}


def main() -> int:
    """Run the comparisons asked for; 1 when a goal was missed, 2 when nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the work, not recorded: to see that all runs")
    parser.add_argument("comparisons", nargs="*", metavar="NAME", help=f"default: all ({', '.join(COMPARISONS)})")
    arguments = parser.parse_args()
    if unknown := set(arguments.comparisons) - set(COMPARISONS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(COMPARISONS)}")
    if problem := unfit():
        print(problem, file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {LOAD_CORE})
    results = []
    with tempfile.TemporaryDirectory(prefix="maas-peers-") as folder:
        bench = Bench(Path(folder), arguments.quick)
        circumstances = Circumstances.observe(scheduling_policy(bench))
        print(circumstances.header(), flush=True)
        for name in arguments.comparisons or COMPARISONS:
            print(f"... {name}", file=sys.stderr, flush=True)
            results.append(COMPARISONS[name](bench))
            if not arguments.quick:
                append_to_history(results[-1], circumstances)
    print(f"\n{table(results)}")
    return 0 if all(result.met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
