"""Compare with other servers, and by perf_analyzer with a plain handler; results go to benchmarks/history/.

Installs the peers into environments of their own below build/peers/ first.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from benchmarks import command
from benchmarks.bench import Bench
from benchmarks.measure import Scenario
from benchmarks.peers import mosec_comparison, perf_analyzer, servers
from benchmarks.peers.environments import PEERS
from benchmarks.report import Result


def _comparison(peer: str, kind: str) -> Scenario:
    def compare(bench: Bench) -> Result:
        return servers.run(bench, peer, kind)

    return compare


def _mosec(kind: str) -> Scenario:
    def compare(bench: Bench) -> Result:
        return mosec_comparison.run(bench, kind)

    return compare


COMPARISONS: Mapping[str, Scenario] = {
    **{f"{peer}-{kind}": _comparison(peer, kind) for peer in PEERS for kind in servers.GOALS},
    **{f"mosec-{kind}": _mosec(kind) for kind in mosec_comparison.GOALS},
    "perf-latency": perf_analyzer.latency,
    "perf-throughput": perf_analyzer.throughput,
}

if __name__ == "__main__":
    sys.exit(command.main("benchmarks.peers", (__doc__ or "").partition("\n")[0], COMPARISONS))
