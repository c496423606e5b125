"""The text formats of Prometheus and OpenMetrics.

Written here because the client library would be the largest part of all that serves HTTP, and only its writer would be
used: nothing is counted by it. The tests read what this writes with that library's parsers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str]


@dataclass(slots=True)
class Family:
    """One metric: a counter's name ends in _total, and times are in seconds."""

    name: str
    kind: Kind
    help: str
    samples: list[tuple[str, Labels, float]] = field(default_factory=list)
    """Suffix of the name, labels, value."""

    def add(self, value: float, **labels: str) -> None:
        """Add a sample of a counter or gauge."""
        self.samples.append(("", labels, value))

    def add_histogram(self, buckets: Sequence[tuple[float, int]], count: int, total: float, **labels: str) -> None:
        """Add a histogram: how many are at most each bound, how many there are, and their sum."""
        for bound, at_most in buckets:
            self.samples.append(("_bucket", {**labels, "le": repr(bound)}, at_most))
        self.samples.append(("_bucket", {**labels, "le": "+Inf"}, count))
        self.samples.append(("_sum", labels, total))
        self.samples.append(("_count", labels, count))


def write(families: Iterable[Family], *, open_metrics: bool) -> bytes:
    """Return the text."""
    lines: list[str] = []
    for family in families:
        lines += _lines(family, open_metrics)
    if open_metrics:
        lines.append("# EOF")
    return ("\n".join(lines) + "\n").encode()


def _lines(family: Family, open_metrics: bool) -> Iterator[str]:
    name = family.name
    if open_metrics and family.kind == "counter":
        name = name.removesuffix("_total")
    text = _escaped(family.help) if open_metrics else family.help.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {family.kind}"
    for suffix, labels, value in family.samples:
        shown = ",".join(f'{key}="{_escaped(label)}"' for key, label in labels.items())
        in_braces = f"{{{shown}}}" if shown else ""
        yield f"{family.name}{suffix}{in_braces} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
