"""Everything below /v2 but inference."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from maas_server import __version__
from tests.logging_state import restored_logging

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_server_tells_of_itself(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v2")).json()
    assert (told["name"], told["version"]) == ("maas_server", __version__)
    assert "binary_tensor_data" in told["extensions"]


async def test_health(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v2/health/live")).json() == {"live": True}
    assert (await client.get("/v2/health/ready")).json() == {"ready": True}
    assert (await client.get("/v2/models/scaled/ready")).json() == {"name": "scaled", "ready": True}
    assert (await client.get("/v2/models/scaled/versions/1/ready")).status_code == 200
    assert (await client.get("/")).json() == {"status": "alive"}


@pytest.mark.parametrize(
    ("path", "status"),
    [("nobody", 404), ("nobody/versions/1", 404), ("scaled/versions/7", 503), ("linear/versions/x", 404)],
)
async def test_what_is_not_ready_says_so(client: httpx.AsyncClient, path: str, status: int) -> None:
    response = await client.get(f"/v2/models/{path}/ready")
    assert response.status_code == status, response.text
    assert response.json()["error"]


async def test_a_model_tells_its_signature(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v2/models/scaled")).json()
    assert told["name"] == "scaled"
    assert told["versions"] == ["1", "2"]
    assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert told["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}]
    assert (await client.get("/v2/models/scaled/versions/1")).json()["versions"] == ["1"]


async def test_the_configuration_has_numbers_as_numbers(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v2/models/scaled/config")).json()
    assert told["name"] == "scaled"
    assert isinstance(told["max_batch_size"], int)
    assert told["input"][0]["data_type"] == "TYPE_FP32"
    assert told["input"][0]["dims"] == [4]


async def test_statistics_count(client: httpx.AsyncClient) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
    await client.post("/v2/models/scaled/infer", json=body)
    (told,) = (await client.get("/v2/models/scaled/versions/2/stats")).json()["model_stats"]
    assert (told["name"], told["version"], told["inference_count"]) == ("scaled", "2", 1)
    assert told["inference_stats"]["success"]["count"] == 1
    assert told["inference_stats"]["success"]["ns"] > 0
    everything = (await client.get("/v2/models/stats")).json()["model_stats"]
    assert {"scaled", "strings"} <= {each["name"] for each in everything}


async def test_the_repository_is_listed(client: httpx.AsyncClient) -> None:
    entries = (await client.post("/v2/repository/index")).json()
    assert {"name": "scaled", "version": "2", "state": "READY"} in entries
    assert (await client.post("/v2/repository/index", json={"ready": True})).json() == entries
    assert set((await client.get("/v2/models")).json()["models"]) == {each["name"] for each in entries}


async def test_a_model_is_unloaded_and_loaded(client: httpx.AsyncClient) -> None:
    unloaded = await client.post("/v2/repository/models/doubles/unload", json={"parameters": {}})
    assert (unloaded.status_code, unloaded.content) == (200, b"")
    assert (await client.get("/v2/models/doubles/ready")).status_code == 503
    (entry,) = [each for each in (await client.post("/v2/repository/index")).json() if each["name"] == "doubles"]
    assert entry["state"] == "UNAVAILABLE"
    assert (await client.post("/v2/repository/models/doubles/load")).status_code == 200
    assert (await client.get("/v2/models/doubles/ready")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("index", {"ready": 1}, 400, "expected true or false"),
        ("models/nobody/load", {}, 404, "nobody"),
        ("models/scaled/load", {"parameters": []}, 400, "expected an object"),
        ("models/scaled/load", {"parameters": {"file:1/model.onnx": "%%%"}}, 400, "not base64"),
        ("models/scaled/load", {"parameters": {"file:1/model.onnx": 5}}, 400, "as base64"),
        ("models/scaled/load", {"parameters": {"unknown": "x"}}, 400, "no such parameter"),
        ("models/scaled/load", {"parameters": {"config": ["x"]}}, 400, "expected a boolean"),
        ("models/scaled/unload", {"parameters": {"unload_dependents": "x"}}, 400, "bool_param"),
    ],
)
async def test_wrong_repository_requests(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, told: str
) -> None:
    response = await client.post(f"/v2/repository/{path}", json=body)
    assert response.status_code == status, response.text
    assert told in response.json()["error"]


async def test_files_need_explicit_control(client: httpx.AsyncClient) -> None:
    parameters = {"config": "{}", "file:1/model.onnx": base64.b64encode(b"no model").decode()}
    response = await client.post("/v2/repository/models/scaled/load", json={"parameters": parameters})
    assert response.status_code in (400, 412)
    assert "explicit" in response.json()["error"]


@pytest.mark.parametrize("kind", ["system", "cuda"])
async def test_shared_memory_is_off_unless_allowed(client: httpx.AsyncClient, kind: str) -> None:
    for method, path in (("GET", "status"), ("POST", "unregister"), ("GET", "region/r/status")):
        response = await client.request(method, f"/v2/{kind}sharedmemory/{path}")
        assert (response.status_code, response.json()["code"]) == (501, "UNIMPLEMENTED")
        assert "--allow-shared-memory" in response.json()["error"]


async def test_log_levels_are_told_and_changed(client: httpx.AsyncClient) -> None:
    with restored_logging():
        before = (await client.get("/v2/logging")).json()
        changed = await client.post("/v2/logging", json={"log_verbose_level": 1})
        assert changed.json()["log_verbose_level"] == 1
        restored = await client.post("/v2/logging", json={"log_verbose_level": before["log_verbose_level"]})
        assert restored.json() == before


async def test_nothing_is_traced(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v2/models/scaled/trace/setting")).json()
    assert told["trace_level"] == ["OFF"]
    assert (await client.post("/v2/trace/setting", json={"trace_rate": None})).json() == told
    refused = await client.post("/v2/trace/setting", json={"trace_level": ["TIMESTAMPS"]})
    assert refused.status_code == 501
    assert (await client.post("/v2/trace/setting", json={"trace_level": [None]})).status_code == 400
