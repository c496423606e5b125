"""/metrics, read as Prometheus would."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from maas_server import __version__

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPEN_METRICS = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 4], "data": [1] * 8}]}


async def scrape(client: httpx.AsyncClient) -> dict[str, Metric]:
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {family.name: family for family in parse_text(response.text)}


def value(family: Metric, suffix: str = "", **labels: str) -> float:
    (found,) = (
        sample.value
        for sample in family.samples
        if sample.name.endswith(suffix) and labels.items() <= sample.labels.items()
    )
    return found


async def test_requests_rows_and_times_are_counted(client: httpx.AsyncClient) -> None:
    before = await scrape(client)
    for _ in range(3):
        assert (await client.post("/v2/models/scaled/infer", json=ROW)).status_code == 200
    after = await scrape(client)
    mine = {"model": "scaled", "version": "2"}

    def grown(name: str, suffix: str = "", **labels: str) -> float:
        return value(after[name], suffix, **mine, **labels) - value(before[name], suffix, **mine, **labels)

    assert grown("maas_requests", outcome="succeeded") == 3
    assert grown("maas_requests", outcome="failed") == 0
    assert grown("maas_rows") == 6
    assert 1 <= grown("maas_batches") <= 3
    assert grown("maas_run_seconds") > 0
    assert grown("maas_request_seconds", "_count") == 3
    assert grown("maas_request_seconds", "_bucket", le="+Inf") == 3
    assert grown("maas_request_seconds", "_sum") > 0
    assert grown("maas_batch_rows", "_sum") == 6
    assert grown("maas_batch_rows", "_bucket", le="64.0") == grown("maas_batch_rows", "_count")


async def test_buckets_only_grow(client: httpx.AsyncClient) -> None:
    await client.post("/v2/models/scaled/infer", json=ROW)
    for name in ("maas_request_seconds", "maas_batch_rows"):
        buckets = [
            sample.value
            for sample in (await scrape(client))[name].samples
            if sample.name.endswith("_bucket")
            and sample.labels["model"] == "scaled"
            and sample.labels["version"] == "2"
        ]
        assert buckets == sorted(buckets)
        assert buckets[-1] >= 1


async def test_states_and_versions_are_told(client: httpx.AsyncClient) -> None:
    families = await scrape(client)
    states = families["maas_model_state"]
    assert value(states, model="scaled", version="1", state="AVAILABLE") == 1
    assert value(states, model="scaled", version="1", state="END") == 0
    assert value(families["maas_model_default_version"], model="scaled") == 2
    assert value(families["maas_ready"]) == 1
    assert value(families["maas_build_info"], version=__version__) == 1
    assert value(families["maas_queued_rows"], model="scaled", version="2") == 0


async def test_scheduling_is_told(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v2/models/scaled/infer", json=ROW)).status_code == 200
    families = await scrape(client)
    mine = {"model": "scaled", "version": "2"}
    assert 0 <= value(families["maas_headroom"], **mine) <= 1
    assert value(families["maas_predicted_seconds"], **mine) > 0
    assert value(families["maas_predictive"], **mine) in (0, 1)
    assert value(families["maas_prediction_lapses"], **mine) >= 0
    assert 0 <= value(families["maas_device_idle"], device="cpu") <= 1
    for name, reasons in (
        ("maas_refused", ("deadline_unreachable", "tenant", "queue_full")),
        ("maas_dropped", ("hopeless", "timed_out", "expired")),
    ):
        assert all(value(families[name], reason=reason, **mine) >= 0 for reason in reasons)


async def test_the_process_tells_its_memory_and_time(client: httpx.AsyncClient) -> None:
    families = await scrape(client)
    assert value(families["process_resident_memory_bytes"]) > 1 << 20
    assert value(families["process_cpu_seconds"]) > 0
    assert value(families["process_open_fds"]) > 3
    assert value(families["process_start_time_seconds"]) > 1.6e9


async def test_http_responses_are_counted_by_route(client: httpx.AsyncClient) -> None:
    await client.get("/v2/models/nobody")
    await client.request("BREW", "/anything/at/all")
    responses = (await scrape(client))["maas_http_responses"]
    assert value(responses, method="GET", route="/v2/models/{model}", status="404") >= 1
    assert value(responses, method="other", route="", status="404") >= 1


async def test_open_metrics_are_given_to_who_asks(client: httpx.AsyncClient) -> None:
    response = await client.get("/metrics", headers={"Accept": OPEN_METRICS})
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name for family in parse_open_metrics(response.text)}  # type: ignore[no-untyped-call]
    assert {"maas_requests", "maas_request_seconds"} <= families
