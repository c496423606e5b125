"""The extension `_cuda`, where this build has it."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from maas_server import _core


@pytest.fixture(scope="session")
def cuda() -> ModuleType:
    """The extension."""
    if _core.NO_CUDA:
        pytest.skip(f"there is no extension _cuda: {_core.NO_CUDA}")
    return importlib.import_module("maas_server._cuda")


@pytest.fixture(scope="session")
def driverless(cuda: ModuleType) -> ModuleType:
    """The extension on a machine without a driver."""
    if cuda.driver_version():
        pytest.skip("this machine has a CUDA driver; tests/gpu/ asks it")
    return cuda
