"""What is written for Prometheus, read by the parsers of its client."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from maas_server.http.exposition import Family, write

AWKWARD = 'a "quoted"\\ name\nof two lines'


def families() -> list[Family]:
    counter = Family("things_total", "counter", 'Things, with a "quote" and a \\.')
    counter.add(3, model=AWKWARD)
    counter.add(0.25, model="b")
    gauge = Family("level", "gauge", "A level.")
    gauge.add(-1.5)
    histogram = Family("sizes", "histogram", "Sizes.")
    histogram.add_histogram([(0.5, 1), (1.0, 1)], 4, 12.5, model="a")
    return [counter, gauge, histogram, Family("nothing", "gauge", "No samples.")]


def test_prometheus_reads_the_text() -> None:
    parsed = {family.name: family for family in parse_text(write(families(), open_metrics=False).decode())}
    assert parsed.keys() == {"things", "level", "sizes", "nothing"}
    assert parsed["things"].type == "counter"
    assert [(sample.labels, sample.value) for sample in parsed["things"].samples] == [
        ({"model": AWKWARD}, 3),
        ({"model": "b"}, 0.25),
    ]
    assert parsed["level"].samples[0].value == -1.5
    buckets = {sample.labels["le"]: sample.value for sample in parsed["sizes"].samples if "le" in sample.labels}
    assert buckets == {"0.5": 1, "1.0": 1, "+Inf": 4}


def test_open_metrics_are_read_as_well() -> None:
    text = write(families(), open_metrics=True).decode()
    assert text.endswith("# EOF\n")
    parsed = {family.name: family for family in parse_open_metrics(text)}  # type: ignore[no-untyped-call]
    assert parsed.keys() == {"things", "level", "sizes", "nothing"}
    assert parsed["things"].documentation == 'Things, with a "quote" and a \\.'
    assert {sample.name for sample in parsed["sizes"].samples} == {"sizes_bucket", "sizes_sum", "sizes_count"}
