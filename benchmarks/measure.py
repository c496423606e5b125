"""Runs scenarios: each result is recorded as it comes, and the table is printed at the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.bench import Bench
from benchmarks.report import Circumstances, NotMeasured, Result, append_to_history, table

Scenario = Callable[[Bench], Result | Sequence[Result]]


def measure(bench: Bench, scenarios: Mapping[str, Scenario], names: Iterable[str], circumstances: Circumstances) -> int:
    """Return the exit status: 1 when a goal was missed, 2 when nothing could be measured."""
    print(circumstances.header(), flush=True)
    results: list[Result] = []
    not_measured: dict[str, str] = {}
    for name in names:
        print(f"... {name}", file=sys.stderr, flush=True)
        try:
            measured = scenarios[name](bench)
        except NotMeasured as why:
            not_measured[name] = str(why)
            continue
        for result in [measured] if isinstance(measured, Result) else measured:
            results.append(result)
            if not bench.quick:
                append_to_history(result, circumstances)
    print(f"\n{table(results, not_measured)}")
    if not results:
        return 2
    return 0 if all(result.met for result in results) else 1
