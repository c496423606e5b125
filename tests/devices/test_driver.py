"""NVIDIA's driver, by a library that answers as it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maas_server.devices.driver import find_driver, find_release
from maas_server.devices.facts import Device, Driver
from tests.devices.fake_machine import GIB, H200, FakeDriver


def no_library(name: str) -> Any:
    raise OSError(f"{name}: cannot open shared object file")


def test_without_its_library_there_is_no_driver() -> None:
    assert find_driver(no_library, "") == (Driver(), ())


def test_devices_are_listed_with_name_capability_and_memory() -> None:
    small = Device("NVIDIA T4", 7, 5, 15 * GIB)
    found = find_driver(lambda _: FakeDriver(13000, [H200, small]), "580.65.06")
    assert found == (Driver(13000, "580.65.06"), (H200, small))


def test_a_driver_without_a_device_did_not_fail() -> None:
    assert find_driver(lambda _: FakeDriver(13000, init=100), "580.65.06") == (Driver(13000, "580.65.06"), ())


@pytest.mark.parametrize(
    ("driver", "failure"),
    [
        (FakeDriver(13000, init=802), "CUDA_ERROR_SYSTEM_NOT_READY (802)"),
        (FakeDriver(13000, init=77), "error 77"),
        (FakeDriver(13000, [H200], fails="cuDeviceGetCount"), "CUDA_ERROR_UNKNOWN (999)"),
        (FakeDriver(13000, [H200], fails="cuDeviceTotalMem_v2"), "CUDA_ERROR_UNKNOWN (999)"),
    ],
)
def test_what_fails_is_named_as_the_driver_names_it(driver: FakeDriver, failure: str) -> None:
    assert find_driver(lambda _: driver, "") == (Driver(13000, "", failure), ())


def test_a_driver_that_tells_no_version_fails() -> None:
    found, devices = find_driver(lambda _: FakeDriver(13000, [H200], fails="cuDriverGetVersion"), "")
    assert (found, devices) == (Driver(failure="CUDA_ERROR_UNKNOWN (999)"), ())


@pytest.mark.parametrize(
    ("text", "release"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC 12\n",
            "550.54.15",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n", "580.65.06"),
        ("something else\n", ""),
        ("", ""),
    ],
)
def test_its_own_version_is_what_the_kernel_module_says(text: str, release: str, tmp_path: Path) -> None:
    (tmp_path / "version").write_text(text)
    assert find_release(tmp_path / "version") == release
    assert find_release(tmp_path / "none") == ""
