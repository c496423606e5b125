"""Measure, print a table of ratios, and append each result to benchmarks/history/."""

from __future__ import annotations

import sys

from benchmarks import command
from benchmarks.scenarios import SCENARIOS

if __name__ == "__main__":
    sys.exit(command.main("benchmarks", __doc__ or "", SCENARIOS))
