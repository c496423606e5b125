"""Callers who are slow, silent or gone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from maas_server.http import body, connection
from maas_server.http.body import BodyLimits
from tests.http.conftest import MAX_BODY, client_of, settings_for, write_repository
from tests.http.test_bad_input import BODY, connected, post, read_answer
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
