"""Servers with real models, for clients that nobody here wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.foreign import models
from tests.fronts import FrontName
from tests.integration.serving import serving

# These run in the clients' own environments.
collect_ignore = ["python"]


@dataclass(frozen=True)
class Repository:
    """Models, and what they answer."""

    path: Path
    cases: Mapping[str, models.Case]


@dataclass(frozen=True)
class Served:
    """A running server, and what it serves."""

    grpc: str
    http: str
    repository: Repository

    @property
    def cases(self) -> Mapping[str, models.Case]:
        return self.repository.cases

    def as_json(self) -> dict[str, Any]:
        """For clients in other environments."""
        cases = {name: case.as_json() for name, case in self.cases.items()}
        return {"grpc": self.grpc, "http": self.http, "models": str(self.repository.path), "cases": cases}


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    path = tmp_path_factory.mktemp("foreign")
    return Repository(path, models.lay_out(path))


@pytest.fixture(scope="session")
def served(front: FrontName, repository: Repository) -> Iterator[Served]:
    """A server of all the models, with shared memory."""
    yield from serve(front, repository, "--allow-shared-memory")


@pytest.fixture
def served_on_demand(front: FrontName, repository: Repository) -> Iterator[Served]:
    """A server of one's own that loads what it is told to, without shared memory."""
    yield from serve(front, repository, "--control", "explicit")


def serve(front: FrontName, repository: Repository, *arguments: str) -> Iterator[Served]:
    always = ("--http-port", "0", "--drain-delay", "0", "--settle", "0")
    with serving(repository.path, *always, *arguments, front=front) as process:
        port = process.wait_for_event("http_listening")["http_port"]
        yield Served(process.target, f"127.0.0.1:{port}", repository)
