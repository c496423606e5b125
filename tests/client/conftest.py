"""A fake server, and both clients behind one face: every scenario runs on each."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from maas_server.client import AsyncClient, Client
from tests.client.fake_server import FakeServer


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture
async def client(kind: str, server: FakeServer) -> AsyncIterator[Any]:
    """Either client, connected to the fake server; call its methods through `call`."""
    if kind == "async":
        async with AsyncClient(server.address, timeout=20) as asynchronous:
            yield asynchronous
    else:
        with Client(server.address, timeout=20) as synchronous:
            yield synchronous


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a method of either client, the synchronous ones in a thread."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)
