"""The command line as a user sees it, against a fake server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from maas_server.cli import main
from tests.client.fake_server import FakeServer

Maas = Callable[..., Result]

# For child processes: a shell that starts the tests in the background has SIGINT ignored, and children inherit that.
INTERRUPTIBLE = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture
def maas(server: FakeServer) -> Maas:
    """Run a command against the fake server."""

    def run(*args: str, stdin: str | None = None) -> Result:
        environment = {"MAAS_ADDRESS": server.address}
        return CliRunner().invoke(main, list(args), input=stdin, env=environment, catch_exceptions=False)

    return run
