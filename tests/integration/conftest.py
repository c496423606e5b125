"""Real servers, and the models that they serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fronts import FrontName
from tests.integration import fronted, packaged
from tests.integration.serving import ServeProcess, serving

Serve = Callable[..., ServeProcess]


@pytest.fixture
def serve(front: FrontName) -> Iterator[Serve]:
    """Starts `maas serve ARGUMENTS...` with either front; what runs to the end of the test must stop well."""
    started: list[ServeProcess] = []

    def start(*arguments: str | Path) -> ServeProcess:
        process = ServeProcess(arguments, front)
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
def real_server(front: FrontName, real_models: packaged.Repository) -> Iterator[ServeProcess]:
    """One server for all of them."""
    with serving(real_models.path, "--drain-delay", "0", front=front) as process:
        yield process


@pytest.fixture(scope="session")
def front_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests of the port itself ask for."""
    return fronted.lay_out(tmp_path_factory.mktemp("front"))


@pytest.fixture(scope="session")
def front_server(front: FrontName, front_models: Path) -> Iterator[ServeProcess]:
    """One server for all tests that need no settings of their own: what a peer does to it must not harm the others."""
    limits = ("--max-message-bytes", str(fronted.LIMIT))
    with serving(front_models, "--drain-delay", "0", *limits, front=front) as process:
        yield process
