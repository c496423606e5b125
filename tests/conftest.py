"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from maas_server import compiled_front
from tests.fronts import FRONTS, FrontName

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def golden(root: Path) -> Path:
    """The folder of golden cases, which the C++ tests read as well."""
    return root / "tests" / "golden"


@pytest.fixture(scope="session", params=FRONTS)
def front(request: pytest.FixtureRequest) -> FrontName:
    """What serves the public port; a test that asks for it, or for a server that does, runs once with each."""
    name: FrontName = request.param
    if name == "compiled" and (missing := compiled_front.available()):
        # The build says why it has none: it was told so, or lacked Linux, nghttp2, OpenSSL or zlib.
        pytest.skip(missing)
    return name
