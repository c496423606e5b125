"""The server to ask, and the answers to expect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.foreign.python.cases import Case, read_case


def pytest_addoption(parser: pytest.Parser) -> None:
    # Not a word that kserve's own options begin with: it reads the command line when it is imported.
    parser.addoption("--served", required=True, type=Path, help="JSON: where the server is, and what it serves")


@pytest.fixture(scope="session")
def served(pytestconfig: pytest.Config) -> dict[str, Any]:
    file: Path = pytestconfig.getoption("--served")
    described: dict[str, Any] = json.loads(file.read_text())
    return described


@pytest.fixture(scope="session")
def grpc_target(served: dict[str, Any]) -> str:
    return str(served["grpc"])


@pytest.fixture(scope="session")
def http_target(served: dict[str, Any]) -> str:
    return str(served["http"])


@pytest.fixture(scope="session")
def models(served: dict[str, Any]) -> Path:
    """The folder of the models."""
    return Path(served["models"])


@pytest.fixture(scope="session")
def cases(served: dict[str, Any]) -> Mapping[str, Case]:
    return {name: read_case(case) for name, case in served["cases"].items()}


@pytest.fixture
def digits(cases: Mapping[str, Case]) -> Case:
    """Four rows of FP32; an INT64 label and FP32 probabilities for each."""
    return cases["digits"]


@pytest.fixture
def mirror(cases: Mapping[str, Case]) -> Case:
    """Two rows of each datatype, and the same back."""
    return cases["mirror"]


@pytest.fixture
def wine(cases: Mapping[str, Case]) -> Case:
    """Three wines; their cultivars, whose names the server knows, and probabilities."""
    return cases["wine"]
