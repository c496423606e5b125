"""The benchmarks of the kernels: what they time is right, and where there is no GPU they say so."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from benchmarks import report
from benchmarks.bench import Bench
from benchmarks.gpu import __main__ as program
from benchmarks.gpu import found, kernels, timing
from benchmarks.gpu.images import Images
from benchmarks.gpu.segments import BF16, FP16, FP32
from benchmarks.measure import Scenario, measure
from benchmarks.report import Circumstances, Goal, NotMeasured, Result
from benchmarks.scenarios import SCENARIOS
from maas_server.devices.layout import DeviceCode
from maas_server.devices.table import Device, DeviceError, Table
from tests.devices.callback_table import CallbackTable
from tests.gpu import host, reference

CIRCUMSTANCES = Circumstances("none", "a CPU", 2, "6.0", {}, "none", gpu={"name": "H", "driver": "13.0"})
SMALL = [Images(2, FP32), Images(1, FP16), Images(1, BF16), Images(1, FP32, per_axis=True)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, quick=True)


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> CallbackTable:
    return CallbackTable(host.compile_move(tmp_path_factory.mktemp("host")))


@pytest.fixture
def device(memory: CallbackTable, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    # Ordinary memory has no caches to get out of the way of, and is cleared slowly.
    monkeypatch.setattr(kernels, "_FOOTPRINT", 1)
    monkeypatch.setattr(timing, "_HOLD_BYTES", 4096)
    monkeypatch.setattr(Bench, "count", lambda self, full: 2)
    with Table(memory.address).device(0) as device:
        yield device


@pytest.mark.parametrize("images", SMALL, ids=lambda images: images.name)
def test_packing_is_compared_with_a_copy_that_moves_as_many_bytes(bench: Bench, device: Device, images: Images) -> None:
    result = kernels.pack_images(bench, device, images)
    assert result.name == f"gpu_pack_{images.name}"
    assert result.goal == Goal(">=", 0.85)
    assert result.ratio > 0
    assert result.details["bytes"] == images.values * (1 + {FP32: 4, FP16: 2, BF16: 2}[images.to])


@pytest.mark.parametrize("images", SMALL[:2], ids=lambda images: images.name)
def test_int8_images_are_uploaded_beside_floats(bench: Bench, device: Device, images: Images) -> None:
    result = kernels.upload_images(bench, device, images)
    assert result.name == f"gpu_upload_{images.name}"
    assert result.goal == Goal(">=", 3)
    assert result.details["int8_gbytes_per_second"] > 0


def test_a_wrong_kernel_is_not_timed(bench: Bench, monkeypatch: pytest.MonkeyPatch, device: Device) -> None:
    def nothing(*_: int) -> None:
        """Moves nothing."""

    idle = CallbackTable(nothing)
    with (
        Table(idle.address).device(0) as wrong,
        pytest.raises(RuntimeError, match="image 0 of fp32_1 is not what the CPU makes of it"),
    ):
        kernels.pack_images(bench, wrong, Images(1, FP32))


@pytest.mark.parametrize("images", SMALL, ids=lambda images: images.name)
def test_the_check_of_an_image_is_that_of_the_reference(images: Images) -> None:
    tensor = np.zeros(images.tensor_bytes, np.uint8)
    segments = images.segments()
    source = images.pixels().ravel().view(np.uint8)
    reference.move(segments.segments, segments.params(), source, tensor)
    images.check(tensor)
    tensor[-1] ^= 1
    with pytest.raises(RuntimeError, match=f"image {images.count - 1} of"):
        images.check(tensor)


def test_the_scenarios_of_the_gpu_are_among_all() -> None:
    assert {name: SCENARIOS[name] for name in program.SCENARIOS} == program.SCENARIOS


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing was built for a GPU."""
    monkeypatch.setattr(found, "EXTENSION", "maas_server._no_such_extension")
    monkeypatch.setattr(found, "LIBRARY", tmp_path / "libmaas_cuda.so")


def build(name: str, seconds: int, devices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the library, or the extension, have been built at a time, for a machine with so many devices."""
    path = found.LIBRARY.with_name(name)
    path.touch()
    os.utime(path, (seconds, seconds))
    fake = CallbackTable(lambda *_: None, devices=devices)
    gpu = found.Gpu(Table(fake.address, keep=fake), {"driver": found.version(13020), "built": name})
    monkeypatch.setattr(found, f"_{name}", lambda: gpu)
    if name == "library":
        monkeypatch.setattr(found, "LIBRARY", path)
    else:
        monkeypatch.setattr(found, "_origin", lambda _: path)


def test_where_no_gpu_part_was_built_the_scenarios_say_so(unbuilt: None, bench: Bench) -> None:
    for scenario in (kernels.pack, kernels.upload):
        with pytest.raises(NotMeasured, match=r"neither maas_server._no_such_extension nor libmaas_cuda.so was built"):
            scenario(bench)
    assert found.description() == {}


@pytest.mark.parametrize("name", ["extension", "library"])
def test_where_there_is_no_device_the_scenarios_say_so(
    unbuilt: None, bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(name, 1000, 0, monkeypatch)
    with pytest.raises(NotMeasured, match="no GPU: the driver is missing or shows no device"):
        kernels.pack(bench)


@pytest.mark.parametrize("failure", [DeviceError(DeviceCode.FAILED, "the driver is too old"), OSError("no libcuda")])
def test_a_gpu_that_does_not_work_stops_its_own_scenarios_and_no_others(
    unbuilt: None, bench: Bench, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> NoReturn:
        raise failure

    build("library", 1000, 1, monkeypatch)
    monkeypatch.setattr(found, "_library", fail)
    assert found.description() == {}
    with pytest.raises(type(failure)):
        kernels.pack(bench)


@pytest.mark.parametrize("newest", ["extension", "library"])
def test_the_newest_build_is_measured_and_described(
    unbuilt: None, newest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("extension", "library"):
        build(name, 2000 if name == newest else 1000, 1, monkeypatch)
    assert found.description() == {"name": "Memory 0", "compute": "9.0", "driver": "13.2", "built": newest}
    assert "GPU: name H, driver 13.0" in CIRCUMSTANCES.header()


def absent(_: Bench) -> NoReturn:
    raise NotMeasured("no GPU: the driver is missing")


def passed(ratio: float) -> Result:
    return Result("fast", 1.0, "GB/s", 1.0, "copy", Goal(">=", 0.85), ratio)


@pytest.mark.parametrize(
    ("names", "status"),
    [(["gone"], 2), (["good", "gone"], 0), (["gone", "good", "bad"], 1)],
    ids=["none", "met", "missed"],
)
def test_what_is_not_measured_misses_no_goal_but_does_not_pass_alone(
    names: list[str],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(report, "HISTORY", tmp_path / "history")
    scenarios: Mapping[str, Scenario] = {"gone": absent, "good": lambda _: passed(0.9), "bad": lambda _: [passed(0.8)]}

    assert measure(Bench(tmp_path, quick=False), scenarios, names, CIRCUMSTANCES) == status

    assert "gone      not measured: no GPU: the driver is missing" in capsys.readouterr().out
    lines = [json.loads(line) for path in tmp_path.glob("history/*") for line in path.read_text().splitlines()]
    assert len(lines) == len(names) - 1
    assert all(line["gpu"] == {"name": "H", "driver": "13.0"} for line in lines)


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_PACKAGES", ("numpy", "no-such-package"))
    versions: Mapping[str, str] = Circumstances.observe("none").versions
    assert set(versions) == {"numpy", "python"}
