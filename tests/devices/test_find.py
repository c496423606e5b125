"""Facts of a whole machine, from what it is asked."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

import maas_server
from maas_server.devices.facts import Core, Driver, Kernels
from maas_server.devices.find import Machine, find, owners_of
from tests.devices.fake_machine import (
    CUDA_13_LIBRARIES,
    GIB,
    H200,
    LATE_LIBRARIES,
    FakeDriver,
    FakeMachine,
    core,
    kernels,
)


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    found = FakeMachine(tmp_path)
    found.modules["maas_server._core"] = core()
    return found


def test_an_empty_machine_has_nothing_but_python(tmp_path: Path) -> None:
    facts = find(FakeMachine(tmp_path).machine())
    assert (facts.version, facts.python) == (maas_server.__version__, platform.python_version())
    assert "maas_server._core" in facts.core.failure
    assert (facts.driver, facts.devices, facts.kernels, facts.cupy) == (Driver(), (), Kernels(), {})
    assert not facts.nvidia_hardware


def test_a_machine_with_gpus_is_found_in_all_its_parts(fake: FakeMachine) -> None:
    fake.driver = FakeDriver(13000, [H200, H200])
    fake.add_hardware()
    fake.add_onnxruntime("onnxruntime-gpu", cuda="13.0")
    fake.libraries |= {*CUDA_13_LIBRARIES, *LATE_LIBRARIES}
    fake.modules["maas_server._cuda"] = kernels(100 * GIB, 90 * GIB)
    fake.distributions["cupy"] = {"cupy-cuda13x": "14.2.0"}
    (fake.folder / "version").write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06\n")
    facts = find(fake.machine(), runners=("scaler",))
    assert facts.core == Core("avx2")
    assert facts.driver == Driver(13000, "580.65.06")
    assert [device.free_bytes for device in facts.devices] == [100 * GIB, 90 * GIB]
    assert facts.kernels == Kernels(True, ("sm_80", "sm_90", "compute_120"), 13000)
    assert (facts.runtime.missing, facts.runtime.missing_late, facts.runtime.refusals) == ((), (), {})
    assert (facts.cupy, facts.runners) == ({"cupy-cuda13x": "14.2.0"}, ("scaler",))
    assert facts.nvidia_hardware


def test_why_there_is_no_compiled_front_is_what_the_build_says(fake: FakeMachine) -> None:
    fake.modules["maas_server._core"] = core("it was not built, for want of zlib")
    assert find(fake.machine()).core == Core("avx2", "it was not built, for want of zlib")


def test_kernels_that_cannot_be_imported_are_told_from_none(fake: FakeMachine) -> None:
    assert find(fake.machine()).kernels == Kernels()
    fake.modules["maas_server._cuda"] = ImportError("undefined symbol")
    assert find(fake.machine()).kernels == Kernels(failure="undefined symbol")


def test_kernels_that_list_no_devices_leave_those_of_the_driver(fake: FakeMachine) -> None:
    def devices() -> list[dict[str, int]]:
        raise RuntimeError("driver is insufficient")

    fake.driver = FakeDriver(12040, [H200])
    fake.modules["maas_server._cuda"] = SimpleNamespace(**{**vars(kernels()), "devices": devices})
    facts = find(fake.machine())
    assert (facts.kernels.present, facts.kernels.failure) == (True, "driver is insufficient")
    assert facts.devices == (H200,)


def test_free_memory_is_not_guessed_where_the_lists_differ(fake: FakeMachine) -> None:
    fake.driver = FakeDriver(13000, [H200, H200])
    fake.modules["maas_server._cuda"] = kernels(GIB)
    assert find(fake.machine()).devices == (H200, H200)


@pytest.mark.parametrize(
    ("vendor", "kind", "expected"),
    [("0x10de", "0x030000", True), ("0x10de", "0x040300", False), ("0x8086", "0x030000", False)],
)
def test_a_gpu_without_a_driver_is_seen_on_the_bus(vendor: str, kind: str, expected: bool, fake: FakeMachine) -> None:
    fake.add_hardware("0x1022", "0x060000")
    fake.add_hardware(vendor, kind)
    assert find(fake.machine()).nvidia_hardware is expected


def test_owners_of_a_folder_are_the_distributions_that_bring_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, files in {
        "onnxruntime": ["onnxruntime/__init__.py", "onnxruntime/capi/__init__.py"],
        "onnxruntime-gpu": ["onnxruntime/__init__.py"],
        "onnxruntime-extensions": ["onnxruntime_extensions/__init__.py", "onnxruntime/more/__init__.py"],
    }.items():
        folder = tmp_path / f"{name.replace('-', '_')}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (folder / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    found = list(metadata.distributions(path=[str(tmp_path)]))
    monkeypatch.setattr(metadata, "distributions", lambda: found)
    assert owners_of("onnxruntime") == {"onnxruntime": "1.2", "onnxruntime-gpu": "1.2"}


def test_this_machine_can_be_asked() -> None:
    facts = find(Machine())
    assert facts.core.simd
    assert list(facts.runtime.distributions) == [facts.runtime.package]
    assert "CPUExecutionProvider" in facts.runtime.providers
