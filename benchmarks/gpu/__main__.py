"""Measure the kernels on a GPU, where nothing else of the package may be built."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.gpu import found, kernels
from benchmarks.measure import Scenario, measure
from benchmarks.report import Circumstances

SCENARIOS: Mapping[str, Scenario] = {"gpu_pack": kernels.pack, "gpu_upload": kernels.upload}


def main() -> int:
    """Run the scenarios asked for; the exit status is that of `python -m benchmarks`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the work, not recorded: to see that all runs")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all ({', '.join(SCENARIOS)})")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(SCENARIOS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    with tempfile.TemporaryDirectory(prefix="maas-bench-") as folder:
        circumstances = Circumstances.observe("none: nothing is served", found.description())
        return measure(Bench(Path(folder), arguments.quick), SCENARIOS, arguments.names or SCENARIOS, circumstances)


if __name__ == "__main__":
    sys.exit(main())
