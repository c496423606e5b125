"""Real servers, and the models that they serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration import packaged
from tests.integration.serving import ServeProcess

Serve = Callable[..., ServeProcess]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts `maas serve ARGUMENTS...`; whatever still runs when the test ends must end well on SIGTERM."""
    started: list[ServeProcess] = []

    def start(*arguments: str | Path) -> ServeProcess:
        process = ServeProcess(arguments)
        started.append(process)
        process.start()
        return process

    try:
        yield start
        for process in started:
            if process.running:
                assert process.stop() == 0, process.output[-8000:]
    finally:
        for process in started:
            process.kill()


@pytest.fixture(scope="session")
def real_models(tmp_path_factory: pytest.TempPathFactory) -> packaged.Repository:
    """A repository of real models, and ONNX Runtime sessions over the same files."""
    return packaged.lay_out(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def real_server(real_models: packaged.Repository) -> Iterator[ServeProcess]:
    """One server for all of them."""
    process = ServeProcess((real_models.path, "--drain-delay", "0"))
    try:
        process.start()
        yield process
        assert process.stop() == 0, process.output[-8000:]
    finally:
        process.kill()
