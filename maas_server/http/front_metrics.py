"""What /metrics says of the compiled front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_COUNTS = (
    ("maas_front_connections", "Connections that were accepted.", "connections"),
    ("maas_front_calls", "Calls that the compiled front served by itself.", "calls"),
    ("maas_front_passed_through", "Calls that it passed on to grpcio.", "passed_through"),
    ("maas_front_received_bytes", "Bytes received.", "received_bytes"),
    ("maas_front_sent_bytes", "Bytes sent.", "sent_bytes"),
    ("maas_front_accept_failures", "Times that no file descriptor was left for a connection.", "accept_failures"),
)
_LEVELS = (
    ("maas_front_open_connections", "Connections that are open.", "open_connections"),
    ("maas_front_memory_bytes", "Bytes of half-received messages and of answers that nobody reads.", "memory_bytes"),
)


def front_families(counters: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield what the compiled front counts; nothing without one."""
    if not counters:
        return
    for name, text, key in _COUNTS:
        yield CounterMetricFamily(name, text, value=counters[key])
    for name, text, key in _LEVELS:
        yield GaugeMetricFamily(name, text, value=counters[key])
    text = "Connections that were ended for what their peers did, by reason."
    ended = CounterMetricFamily("maas_front_ended", text, labels=["reason"])
    for reason, count in sorted(counters["ended"].items()):
        ended.add_metric([reason], count)
    yield ended
