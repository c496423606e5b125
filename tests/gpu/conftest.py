"""Every test runs on a GPU (marked `gpu`), and over ordinary memory, which checks the tests themselves.

This folder needs numpy, and nothing else of what the package requires, so that it also runs where only the kernels
could be built: scripts/gpu_check.sh.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.gpu import found
from benchmarks.report import NotMeasured
from maas_server.devices.table import Device, Table
from tests.devices.callback_table import CallbackTable
from tests.gpu import host


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker where pyproject.toml is not read."""
    config.addinivalue_line("markers", "gpu: needs an NVIDIA GPU and the gpu extra")


@pytest.fixture(scope="session", params=[pytest.param("gpu", marks=pytest.mark.gpu), "host"])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """The table of functions under test."""
    if request.param == "gpu":
        try:
            return found.gpu().table
        except NotMeasured as why:
            pytest.skip(str(why))
    fake = CallbackTable(host.compile_move(tmp_path_factory.mktemp("host")))
    return Table(fake.address, keep=fake)


@pytest.fixture
def device(table: Table) -> Iterator[Device]:
    """The first device; what a test makes there is freed behind it."""
    with table.device(0) as device:
        yield device
