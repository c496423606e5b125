"""What owns the compiled front: where its inner socket lies, and how it begins and ends."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

import pytest

from maas_server.compiled_front import CompiledFront
from maas_server.engine import Engine
from maas_server.errors import ConfigError
from maas_server.server import Server
from maas_server.settings import Settings
from tests.fronts import only_compiled
from tests.server.in_process import SECONDS, InProcessServer

pytestmark = [only_compiled, pytest.mark.usefixtures("front")]

# What the names of the socket and of its folder take of the 107 bytes of its path.
LONGEST_FOLDER = 107 - len("/maas-12345678/grpc.sock")


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; its name is short."""
    folder = tmp_path_factory.mktemp("t")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def lengthened(folder: Path, length: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder below, for temporary files, whose path has this length."""
    longer = folder / ("x" * (length - len(str(folder)) - 1))
    longer.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(longer))
    return longer


def within(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def settings(path: Path, grpc_port: int = 0) -> Settings:
    return Settings(path=path, front="compiled", grpc_port=grpc_port, http=False, settle=0, drain_delay=0)


def prepared(path: Path) -> CompiledFront:
    return CompiledFront(Engine(cpus=1), settings(path), cpus=1)


async def test_a_path_that_just_fits_a_socket_is_served(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lengthened(temporary, LONGEST_FOLDER, monkeypatch)
    # Whether it is ready is asked through the inner socket.
    async with InProcessServer(settings(tmp_path)):
        assert within(folder)
    assert within(folder) == []


async def test_a_path_that_fits_no_socket_is_a_wrong_setting(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lengthened(temporary, LONGEST_FOLDER + 1, monkeypatch)
    expected = f"a TMPDIR of at most {LONGEST_FOLDER} bytes, for a Unix socket, got {LONGEST_FOLDER + 1}: {folder}"
    with pytest.raises(ConfigError, match=expected):
        await Server(settings(tmp_path)).run()
    assert within(folder) == []


async def test_no_folder_for_the_socket_is_a_wrong_setting(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "missing"))
    with pytest.raises(ConfigError, match="TMPDIR"):
        prepared(tmp_path)


async def test_the_path_of_the_socket_is_taken_as_it_is(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = temporary / "50%20off? #1"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    async with InProcessServer(settings(tmp_path)):
        assert list(odd.glob("maas-*/grpc.sock"))


async def test_one_that_never_listened_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    front = prepared(tmp_path)
    assert front.counters() == {}
    assert await front.close()
    assert within(temporary) == []


async def test_a_port_in_use_is_said_and_nothing_is_left(tmp_path: Path, temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
            await Server(settings(tmp_path, port)).run()
    assert within(temporary) == []


async def test_its_end_cuts_whoever_is_connected(tmp_path: Path, temporary: Path) -> None:
    front = prepared(tmp_path)
    port = front.start(None)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read(1), "its settings come first"
    assert front.counters()["open_connections"] == 1
    async with asyncio.timeout(SECONDS):
        assert await front.close()
        assert await front.close(), "a second time"
        await reader.read()
    assert front.counters() == {}
    writer.close()
    assert within(temporary) == []
