"""What /metrics says of scheduling, of refusals and of tenants, by hand-made views."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric

from maas_server.engine import TenantUsage
from maas_server.http.metrics import model_families, tenant_families
from maas_server.models.host import Counters, Scheduling
from maas_server.models.registry import ModelView, State, VersionView

COUNTERS = Counters(
    succeeded=20,
    expired=9,
    hopeless=4,
    timed_out=3,
    rejected=12,
    refused_late=7,
    refused_tenant=2,
    late=5,
    interrupted=6,
)
SCHEDULING = Scheduling(
    mode="work_conserving", lapses=3, predicted_ns=2_500_000, headroom=0.25, device="cpu", device_idle=0.5
)


def values(families: Iterable[Metric], name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """The samples of a family by these labels."""
    (family,) = (family for family in families if family.name == name)
    return {tuple(sample.labels[label] for label in labels): sample.value for sample in family.samples}


def view(scheduling: Scheduling | None = SCHEDULING) -> list[ModelView]:
    return [ModelView("m", (VersionView(1, State.AVAILABLE, counters=COUNTERS, scheduling=scheduling),))]


def test_refused_and_dropped_requests_are_counted_by_reason() -> None:
    families = list(model_families(view()))
    assert values(families, "maas_refused", "reason") == {
        ("deadline_unreachable",): 7,
        ("tenant",): 2,
        ("queue_full",): 3,
    }
    assert values(families, "maas_dropped", "reason") == {("hopeless",): 4, ("timed_out",): 3, ("expired",): 2}
    assert values(families, "maas_requests", "outcome")["rejected",] == 12
    assert values(families, "maas_late", "model", "version") == {("m", "1"): 5}
    assert values(families, "maas_interrupted_batches", "model") == {("m",): 6}


def test_scheduling_is_told_of_what_serves() -> None:
    families = list(model_families(view()))
    assert values(families, "maas_predictive", "model", "version") == {("m", "1"): 0}
    assert values(families, "maas_headroom", "model") == {("m",): 0.25}
    assert values(families, "maas_predicted_seconds", "model") == {("m",): 0.0025}
    assert values(families, "maas_prediction_lapses", "model") == {("m",): 3}
    assert values(families, "maas_device_idle", "device") == {("cpu",): 0.5}
    nothing = list(model_families(view(None)))
    for name in ("maas_predictive", "maas_headroom", "maas_predicted_seconds", "maas_device_idle"):
        assert values(nothing, name) == {}


def test_tenants_are_told_by_name() -> None:
    families = list(tenant_families([TenantUsage("", 1.0, 2, 10, 0), TenantUsage('a "b"\\', 4.0, 0, 7, 3)]))
    assert values(families, "maas_tenant_rows_in_flight", "tenant") == {("",): 2, ('a "b"\\',): 0}
    assert values(families, "maas_tenant_rows", "tenant") == {("",): 10, ('a "b"\\',): 7}
    assert values(families, "maas_tenant_refused", "tenant") == {("",): 0, ('a "b"\\',): 3}
