"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def golden(root: Path) -> Path:
    """The folder of golden cases, which the C++ tests read as well."""
    return root / "tests" / "golden"
