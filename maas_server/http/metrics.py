"""/metrics: what the counters say at the moment when they are asked for."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence

from maas_server import __version__, _core
from maas_server.http import exposition
from maas_server.http.exposition import Family
from maas_server.http.messages import Request, Response
from maas_server.http.models import Models
from maas_server.http.process_metrics import process_families
from maas_server.http.routing import Operation, Route
from maas_server.models.host import Counters
from maas_server.models.registry import ModelView, State, VersionView

_OUTCOMES = ("succeeded", "failed", "cancelled", "expired", "rejected")
_ROWS_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
# Name, text, and the field of Counters in nanoseconds.
_TIMES = (
    ("maas_queue_seconds_total", "Time that requests which succeeded waited in the queue.", "queue_ns"),
    ("maas_pack_seconds_total", "Time from closing batches to the beginning of their runs.", "pack_ns"),
    ("maas_run_seconds_total", "Time in runs.", "run_ns"),
    ("maas_answer_seconds_total", "Time from the end of runs until their answers were encoded.", "answer_ns"),
)


class Metrics:
    """Serves /metrics."""

    responses: Mapping[tuple[str, str, int], int]
    """HTTP responses by method, route and status."""

    def __init__(self, models: Models, ready: Callable[[], bool]) -> None:
        """`ready`: whether the server takes requests."""
        self._models = models
        self._ready = ready
        self.responses = {}

    def routes(self) -> list[Route]:
        """Return the route."""
        operation = Operation(self._metrics, "Metrics for Prometheus", content_type=exposition.TEXT)
        return [Route("/metrics", {"GET": operation}, "Metrics")]

    async def _metrics(self, request: Request) -> Response:
        families = [
            *_server_families(self._ready()),
            *_http_families(self.responses),
            *model_families(await self._models.status()),
            *process_families(),
        ]
        open_metrics = "application/openmetrics-text" in request.headers.get("accept", "")
        content_type = exposition.OPEN_METRICS if open_metrics else exposition.TEXT
        return Response(exposition.write(families, open_metrics=open_metrics), content_type=content_type)


def _server_families(ready: bool) -> list[Family]:
    build = Family("maas_build_info", "gauge", "1; the labels say what runs.")
    build.add(1, version=__version__, python=platform.python_version(), simd=_core.simd())
    state = Family("maas_ready", "gauge", "1: requests are taken.")
    state.add(int(ready))
    return [build, state]


def _http_families(responses: Mapping[tuple[str, str, int], int]) -> list[Family]:
    family = Family("maas_http_responses_total", "counter", "HTTP responses, by method, route and status.")
    for (method, route, status), count in sorted(responses.items()):
        family.add(count, method=method, route=route, status=str(status))
    return [family]


def model_families(views: Sequence[ModelView]) -> list[Family]:
    """Return what is known of models and versions."""
    versions = [(view.name, version) for view in views for version in view.versions]
    default = Family("maas_model_default_version", "gauge", "The version that answers by default; 0: none.")
    for view in views:
        default.add(view.default_version, model=view.name)
    return [
        default,
        _states(versions),
        _requests(versions),
        *(_sums(versions, name, text, _seconds(field)) for name, text, field in _TIMES),
        _sums(versions, "maas_rows_total", "Rows of the runs.", lambda c: c.rows),
        _sums(versions, "maas_batches_total", "Runs.", lambda c: c.batches),
        _sums(versions, "maas_queued_rows", "Rows that wait now.", lambda c: c.queued_rows, kind="gauge"),
        _sums(versions, "maas_pending_requests", "Requests accepted, not answered.", lambda c: c.pending, kind="gauge"),
        _latencies(versions),
        _batch_sizes(versions),
    ]


Versions = Iterable[tuple[str, VersionView]]


def _seconds(field: str) -> Callable[[Counters], float]:
    return lambda counters: getattr(counters, field) / 1e9


def _labels(model: str, view: VersionView) -> dict[str, str]:
    return {"model": model, "version": str(view.version)}


def _states(versions: Versions) -> Family:
    family = Family("maas_model_state", "gauge", "1 for the state that a version is in, 0 for the others.")
    for model, view in versions:
        for state in State:
            family.add(int(view.state == state), **_labels(model, view), state=state.name)
    return family


def _requests(versions: Versions) -> Family:
    family = Family("maas_requests_total", "counter", "Requests that are over, by how they ended.")
    for model, view in versions:
        for outcome in _OUTCOMES:
            family.add(getattr(view.counters, outcome), **_labels(model, view), outcome=outcome)
    return family


def _sums(
    versions: Versions, name: str, text: str, value: Callable[[Counters], float], *, kind: exposition.Kind = "counter"
) -> Family:
    family = Family(name, kind, text)
    for model, view in versions:
        family.add(value(view.counters), **_labels(model, view))
    return family


def _latencies(versions: Versions) -> Family:
    family = Family("maas_request_seconds", "histogram", "Time from acceptance to the answer, of what succeeded.")
    for model, view in versions:
        counts = view.counters.latency or (0,) * (len(_core.LATENCY_BOUNDS_SECONDS) + 1)
        buckets = list(zip(_core.LATENCY_BOUNDS_SECONDS, counts, strict=False))
        family.add_histogram(buckets, counts[-1], view.counters.succeeded_ns / 1e9, **_labels(model, view))
    return family


def _batch_sizes(versions: Versions) -> Family:
    family = Family("maas_batch_rows", "histogram", "Rows of a run.")
    for model, view in versions:
        sizes = view.counters.batch_sizes
        buckets = [(float(bound), sum(each.batches for each in sizes if each.rows <= bound)) for bound in _ROWS_BOUNDS]
        count = sum(each.batches for each in sizes)
        family.add_histogram(buckets, count, view.counters.rows, **_labels(model, view))
    return family
