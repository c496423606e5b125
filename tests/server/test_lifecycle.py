"""The server's own life, where no client is needed to see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from maas_server.server import Server
from maas_server.settings import Settings
from tests.fronts import FrontName


async def test_a_server_that_loses_sight_of_its_models_drains_and_ends_with_1(
    front: FrontName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(Settings(path=tmp_path, front=front, grpc_port=0, http=False, drain_delay=0))

    def broken(*_: object) -> None:
        raise RuntimeError("no health to be had")

    monkeypatch.setattr(server, "_update_health", broken)
    assert await server.run() == 1
