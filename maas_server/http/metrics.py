"""/metrics: what the counters say at the moment when they are asked for."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder

from maas_server import __version__, _core
from maas_server.engine import TenantUsage
from maas_server.http.front_metrics import front_families
from maas_server.http.messages import Request, Response
from maas_server.http.models import Models
from maas_server.http.routing import Operation, Route
from maas_server.models.host import Counters, Scheduling
from maas_server.models.registry import ModelView, State, VersionView

_OUTCOMES = ("succeeded", "failed", "cancelled", "expired", "rejected")
_MOST_TENANTS = 100
_ROWS_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_LABELS = ("model", "version")
_REASONS = (*_LABELS, "reason")
# Name, text, and the field of Counters, which for times is in nanoseconds.
_TIMES = (
    ("maas_queue_seconds", "Time that requests which succeeded waited in the queue.", "queue_ns"),
    ("maas_pack_seconds", "Time from closing batches to the beginning of their runs.", "pack_ns"),
    ("maas_run_seconds", "Time in runs.", "run_ns"),
    ("maas_answer_seconds", "Time from the end of runs until their answers were encoded.", "answer_ns"),
)
_COUNTS = (
    ("maas_rows", "Rows of the runs.", "rows"),
    ("maas_batches", "Runs.", "batches"),
    ("maas_late", "Requests that succeeded, but only after their deadline.", "late"),
    ("maas_interrupted_batches", "Runs that were ended because all of their callers had gone.", "interrupted"),
)
# Why requests were refused, or dropped before they ran: the part of `rejected`, or of `expired`, that has the reason,
# and what is left of it for the last one.
_REFUSED = (("deadline_unreachable", "refused_late"), ("tenant", "refused_tenant"), ("queue_full", ""))
_DROPPED = (("hopeless", "hopeless"), ("timed_out", "timed_out"), ("expired", ""))
# Name, text, and what Scheduling says of it.
_STATES: tuple[tuple[str, str, Callable[[Scheduling], float]], ...] = (
    (
        "maas_predictive",
        "1: what cannot be answered in time is refused at once; 0: predictions do not hold.",
        lambda scheduling: int(scheduling.mode == "predictive"),
    ),
    ("maas_headroom", "Share of what a version can answer that is not asked for.", attrgetter("headroom")),
    (
        "maas_predicted_seconds",
        "Time to the answer of a request of one row that came now without a deadline.",
        lambda scheduling: scheduling.predicted_ns / 1e9,
    ),
)
_LEVELS = (
    ("maas_queued_rows", "Rows that wait now.", "queued_rows"),
    ("maas_pending_requests", "Requests accepted, not answered.", "pending"),
)


class Metrics:
    """Serves /metrics."""

    responses: Mapping[tuple[str, str, int], int]
    """HTTP responses by method, route and status."""

    def __init__(
        self,
        models: Models,
        ready: Callable[[], bool],
        tenants: Callable[[int], Sequence[TenantUsage]],
        front_counters: Callable[[], Mapping[str, Any]],
    ) -> None:
        """`ready`: whether the server takes requests. `tenants`: what so many tenants at most use.

        `front_counters`: of the compiled front; empty without one.
        """
        self._models = models
        self._ready = ready
        self._tenants = tenants
        self._front_counters = front_counters
        self.responses = {}

    def routes(self) -> list[Route]:
        """Return the route."""
        operation = Operation(self._metrics, "Metrics for Prometheus", content_type=CONTENT_TYPE_PLAIN_0_0_4)
        return [Route("/metrics", {"GET": operation}, "Metrics")]

    async def _metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        families = [
            *_server_families(self._ready()),
            _http_responses(self.responses),
            *model_families(await self._models.status()),
            *tenant_families(self._tenants(_MOST_TENANTS)),
            *front_families(self._front_counters()),
            *ProcessCollector(registry=None).collect(),
        ]
        return Response(encode(_Collected(families)), content_type=content_type)


class _Collected:
    """Families that are there already, as the encoders take them."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def _server_families(ready: bool) -> Iterator[Metric]:
    build = GaugeMetricFamily("maas_build_info", "1; the labels say what runs.", labels=["version", "python", "simd"])
    build.add_metric([__version__, platform.python_version(), _core.simd()], 1)
    yield build
    yield GaugeMetricFamily("maas_ready", "1: requests are taken.", value=int(ready))


def _http_responses(responses: Mapping[tuple[str, str, int], int]) -> Metric:
    text = "HTTP responses, by method, route and status."
    family = CounterMetricFamily("maas_http_responses", text, labels=["method", "route", "status"])
    for (method, route, status), count in sorted(responses.items()):
        family.add_metric([method, route, str(status)], count)
    return family


def model_families(views: Sequence[ModelView]) -> Iterator[Metric]:
    """Yield what is known of models and versions."""
    default = GaugeMetricFamily(
        "maas_model_default_version", "The version that answers by default; 0: none.", labels=["model"]
    )
    for view in views:
        default.add_metric([view.name], view.default_version)
    yield default
    versions = [(view.name, version) for view in views for version in view.versions]
    yield _states(versions)
    yield _requests(versions)
    text = "Requests that were refused for want of room or time, by reason."
    yield _by_reason(CounterMetricFamily("maas_refused", text, labels=_REASONS), versions, "rejected", _REFUSED)
    text = "Requests that were dropped before they ran, by reason."
    yield _by_reason(CounterMetricFamily("maas_dropped", text, labels=_REASONS), versions, "expired", _DROPPED)
    for name, text, field in _TIMES:
        yield _each(CounterMetricFamily(name, text, labels=_LABELS), versions, _seconds(field))
    for name, text, field in _COUNTS:
        yield _each(CounterMetricFamily(name, text, labels=_LABELS), versions, attrgetter(field))
    for name, text, field in _LEVELS:
        yield _each(GaugeMetricFamily(name, text, labels=_LABELS), versions, attrgetter(field))
    yield _latencies(versions)
    yield _batch_sizes(versions)
    yield from _scheduling(versions)


def tenant_families(tenants: Sequence[TenantUsage]) -> Iterator[Metric]:
    """Yield what tenants use."""
    flying = GaugeMetricFamily("maas_tenant_rows_in_flight", "Rows accepted, not answered.", labels=["tenant"])
    rows = CounterMetricFamily("maas_tenant_rows", "Rows accepted.", labels=["tenant"])
    refused = CounterMetricFamily("maas_tenant_refused", "Requests beyond the tenant's limits.", labels=["tenant"])
    for tenant in tenants:
        flying.add_metric([tenant.name], tenant.rows_in_flight)
        rows.add_metric([tenant.name], tenant.rows)
        refused.add_metric([tenant.name], tenant.refused)
    yield from (flying, rows, refused)


Versions = Iterable[tuple[str, VersionView]]


def _seconds(field: str) -> Callable[[Counters], float]:
    return lambda counters: getattr(counters, field) / 1e9


def _each(
    family: CounterMetricFamily | GaugeMetricFamily, versions: Versions, value: Callable[[Counters], float]
) -> Metric:
    for model, view in versions:
        family.add_metric([model, str(view.version)], value(view.counters))
    return family


def _states(versions: Versions) -> Metric:
    text = "1 for the state that a version is in, 0 for the others."
    family = GaugeMetricFamily("maas_model_state", text, labels=[*_LABELS, "state"])
    for model, view in versions:
        for state in State:
            family.add_metric([model, str(view.version), state.name], int(view.state == state))
    return family


def _requests(versions: Versions) -> Metric:
    text = "Requests that are over, by how they ended."
    family = CounterMetricFamily("maas_requests", text, labels=[*_LABELS, "outcome"])
    for model, view in versions:
        for outcome in _OUTCOMES:
            family.add_metric([model, str(view.version), outcome], getattr(view.counters, outcome))
    return family


def _by_reason(
    family: CounterMetricFamily, versions: Versions, whole: str, reasons: Sequence[tuple[str, str]]
) -> Metric:
    for model, view in versions:
        rest = getattr(view.counters, whole)
        for reason, field in reasons:
            count = getattr(view.counters, field) if field else rest
            rest -= count
            family.add_metric([model, str(view.version), reason], count)
    return family


def _scheduling(versions: Versions) -> Iterator[Metric]:
    seen = [([model, str(view.version)], view.scheduling) for model, view in versions if view.scheduling is not None]
    for name, text, value in _STATES:
        gauge = GaugeMetricFamily(name, text, labels=_LABELS)
        for labels, scheduling in seen:
            gauge.add_metric(labels, value(scheduling))
        yield gauge
    lapses = CounterMetricFamily("maas_prediction_lapses", "Times that predictions ceased to hold.", labels=_LABELS)
    for labels, scheduling in seen:
        lapses.add_metric(labels, scheduling.lapses)
    yield lapses
    idle = GaugeMetricFamily("maas_device_idle", "Share of a device's time that nothing runs.", labels=["device"])
    for device, share in {scheduling.device: scheduling.device_idle for _, scheduling in seen}.items():
        idle.add_metric([device], share)
    yield idle


def _latencies(versions: Versions) -> Metric:
    text = "Time from acceptance to the answer, of what succeeded."
    family = HistogramMetricFamily("maas_request_seconds", text, labels=_LABELS)
    bounds = [*map(repr, _core.LATENCY_BOUNDS_SECONDS), "+Inf"]
    for model, view in versions:
        counts = view.counters.latency or (0,) * len(bounds)
        buckets = list(zip(bounds, counts, strict=True))
        family.add_metric([model, str(view.version)], buckets, view.counters.succeeded_ns / 1e9)
    return family


def _batch_sizes(versions: Versions) -> Metric:
    family = HistogramMetricFamily("maas_batch_rows", "Rows of a run.", labels=_LABELS)
    for model, view in versions:
        sizes = view.counters.batch_sizes
        buckets = [
            (str(float(bound)), sum(each.batches for each in sizes if each.rows <= bound)) for bound in _ROWS_BOUNDS
        ]
        buckets.append(("+Inf", sum(each.batches for each in sizes)))
        family.add_metric([model, str(view.version)], buckets, view.counters.rows)
    return family
