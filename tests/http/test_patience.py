"""Callers who are slow, silent or gone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from maas_server._stubs.maas.v1 import model_pb2
from maas_server.http import body, connection
from maas_server.http.body import BodyLimits
from tests.http.conftest import MAX_BODY, client_of, settings_for, write_repository
from tests.http.test_bad_input import BODY, connected, post, read_answer
from tests.integration import graphs
from tests.models import onnx_models
from tests.server.in_process import InProcessServer


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_repository(tmp_path)
    return tmp_path


@pytest.mark.parametrize("sent", [b"", b"GET /v2 HTTP/1.1\r\nHos"])
async def test_who_sends_no_head_is_cut_off(repository: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connection, "_HEAD_SECONDS", 0.05)
    async with InProcessServer(settings_for(repository)) as server, connected(server) as (reader, writer):
        writer.write(sent)
        assert await reader.read() == b""


async def test_a_second_head_that_does_not_end_is_cut_off(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with InProcessServer(settings_for(repository)) as server, connected(server) as (reader, writer):
        writer.write(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader))[0] == 200
        monkeypatch.setattr(connection, "_HEAD_SECONDS", 0.05)
        writer.write(b"GET /v2")
        assert await reader.read() == b""


async def test_a_body_that_comes_too_slowly_is_given_up(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(body, "LINGER_SECONDS", 0.05)
    async with InProcessServer(settings_for(repository)) as server, connected(server) as (reader, writer):
        writer.write(post(BODY[:10], f"Content-Length: {len(BODY)}"))
        status, headers, answer = await read_answer(reader)
        assert (status, headers["connection"]) == (408, "close")
        assert "too slowly" in json.loads(answer)["error"]
        assert await reader.read() == b""


async def test_who_goes_away_meanwhile_harms_nobody(repository: Path) -> None:
    async with InProcessServer(settings_for(repository)) as server:
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", server.server.http_port)
            writer.write(post(BODY, f"Content-Length: {len(BODY)}") + post(BODY[:10], f"Content-Length: {len(BODY)}"))
            writer.close()
        async with client_of(server) as client:
            assert (await client.get("/v2/health/ready")).status_code == 200
        app = server.server._http._app
        assert app is not None
        limits = app._limits
        await until(lambda: holds(limits._held == 0), "the bytes of all bodies are let go")


async def test_who_goes_away_while_the_model_runs_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "slow" / "1").mkdir(parents=True)
    onnx_models.save(graphs.slow(512), tmp_path / "slow" / "1" / "model.onnx")
    (tmp_path / "slow" / "maas.yaml").write_text("batching: {max_batch_size: 1}\n")
    row = {"name": "x", "datatype": "FP32", "shape": [1, 512], "data": [1] * 512}
    body = json.dumps({"inputs": [row]}).encode()
    raw = post(body, f"Content-Length: {len(body)}").replace(b"/scaled/", b"/slow/")
    async with InProcessServer(settings_for(tmp_path)) as server, client_of(server) as client:
        connections = [await asyncio.open_connection("127.0.0.1", server.server.http_port) for _ in range(20)]
        for _, writer in connections:
            writer.write(raw)

        async def all_accepted() -> bool:
            return (await counters(client))["accepted"] == 20

        async def none_pending() -> bool:
            return (await counters(client))["pending"] == 0

        await until(all_accepted, "all requests are accepted")
        for _, writer in connections:
            writer.close()
        await until(none_pending, "none is waited for")
        assert (await counters(client))["cancelled"] > 0


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll until `condition`; fail with `what` after 20 seconds."""
    deadline = time.monotonic() + 20
    while not await condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        # The server tells nobody when it has let go of a caller; asking without a pause would keep it from doing so.
        await asyncio.sleep(0.01)


async def holds(value: bool) -> bool:
    return value


async def counters(client: httpx.AsyncClient) -> dict[str, int]:
    query = '{ model(name: "slow") { versions { counters { accepted cancelled pending } } } }'
    answer = (await client.post("/graphql", json={"query": query})).json()
    found: dict[str, int] = answer["data"]["model"]["versions"][0]["counters"]
    return found


def test_all_bodies_together_are_bounded() -> None:
    limits = BodyLimits(MAX_BODY)
    for _ in range(8):
        limits.hold(MAX_BODY)
    with pytest.raises(Exception, match="too many bytes") as caught:
        limits.hold(1)
    assert getattr(caught.value, "retry_after", None) == 1.0
    limits.release(MAX_BODY)
    limits.hold(MAX_BODY)


async def test_an_overloaded_server_says_when_to_come_back(repository: Path) -> None:
    async with InProcessServer(settings_for(repository)) as server, client_of(server) as client:
        app = server.server._http._app
        assert app is not None
        app._limits.hold(8 * MAX_BODY)
        response = await client.post("/v2/models/scaled/infer", content=BODY)
        app._limits.release(8 * MAX_BODY)
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        assert response.json()["reason"] == "OVERLOADED"
        assert (await client.post("/v2/models/scaled/infer", content=BODY)).status_code == 200


async def test_connections_end_with_their_answer_while_the_server_drains(repository: Path) -> None:
    async with InProcessServer(settings_for(repository)) as server:
        async with client_of(server) as client:
            assert "connection" not in (await client.get("/v2")).headers
            server.server._http.drain()
            assert (await client.get("/v2")).headers["connection"] == "close"
        async with httpx.AsyncClient() as other:
            assert (await other.get(f"http://127.0.0.1:{server.server.http_port}/v2")).status_code == 200


async def test_a_fault_of_ours_is_logged_and_not_told(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    async with InProcessServer(settings_for(repository)) as server, client_of(server) as client:
        monkeypatch.setattr("maas_server.http.models.Models.status", broken)
        with capture_logs() as logs:
            response = await client.get("/v2/models")
        assert (response.status_code, response.json()["code"]) == (500, "INTERNAL")
        assert "secret" not in response.text
        assert [each["event"] for each in logs] == ["handler_failed"]


async def test_a_version_that_left_just_now_is_not_asked(repository: Path) -> None:
    predict = "/v1/models/scaled:predict"
    body = {"instances": [[1, 1, 1, 1]]}
    async with InProcessServer(settings_for(repository)) as server, client_of(server) as client:
        assert (await client.post(predict, json=body)).json() == {"predictions": [[3] * 4]}
        unload = model_pb2.UnloadModelRequest(model="scaled", version=2)
        await server.call("/maas.v1.ModelService/UnloadModel", unload.SerializeToString())
        assert (await client.post(predict, json=body)).json() == {"predictions": [[2] * 4]}
        everything = model_pb2.UnloadModelRequest(model="scaled")
        await server.call("/maas.v1.ModelService/UnloadModel", everything.SerializeToString())
        gone = await client.post(predict, json=body)
        assert gone.status_code == 404
        assert gone.json()["error"].startswith("Servable not found for request: Latest(scaled)")
