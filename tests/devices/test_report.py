"""What is said of every combination of driver, devices, ONNX Runtime and build."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from maas_server.devices.facts import Core, Device, Driver, Facts, Kernels, Runtime
from maas_server.devices.report import Finding, examine, has_code
from tests.devices.fake_machine import GIB, H200

CPU = Runtime({"onnxruntime": "1.31.1"}, "1.31.1", "onnxruntime", "", ("CPUExecutionProvider",))
GPU = Runtime(
    {"onnxruntime-gpu": "1.31.1"},
    "1.31.1",
    "onnxruntime-gpu",
    "13.0",
    ("CUDAExecutionProvider", "CPUExecutionProvider"),
)
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120", "compute_120")
BUILT = Kernels(True, ARCHITECTURES, 13000)
NEW = Driver(13000, "580.65.06")
BARE = Facts("0.1.0", "3.12.3", core=Core("avx2", no_cuda="it was not built, for want of nvcc"), runtime=CPU)
FULL = replace(
    BARE, core=Core("avx2"), runtime=GPU, kernels=BUILT, driver=NEW, devices=(replace(H200, free_bytes=139 * GIB),)
)


def finding(facts: Facts, name: str) -> Finding:
    (found,) = (each for each in examine(facts) if each.name == name)
    return found


def statuses(facts: Facts) -> set[str]:
    return {each.status for each in examine(facts)}


def test_a_machine_without_a_gpu_has_no_gap() -> None:
    assert statuses(BARE) == {"ok"}
    assert finding(BARE, "NVIDIA driver").found == "none: serves on the CPU"
    assert all(not each.remedy for each in examine(BARE))


def test_a_machine_with_everything_has_no_gap() -> None:
    assert statuses(FULL) == {"ok"}
    assert [each.found for each in examine(FULL)] == [
        "0.1.0, Python 3.12.3",
        "compiled, uses avx2",
        "in this build",
        "onnxruntime-gpu 1.31.1 for CUDA 13.0: CUDAExecutionProvider, CPUExecutionProvider",
        "all that the CUDA provider needs",
        "580.65.06, for CUDA 13.0",
        "NVIDIA H200, compute capability 9.0, 140.0 GiB, 139.0 GiB free; this build has code for it",
        "in this build, CUDA 13.0: sm_75 sm_80 sm_86 sm_89 sm_90 sm_100 sm_120 compute_120",
    ]


def test_what_is_no_right_has_a_remedy() -> None:
    for facts in (
        replace(BARE, core=Core(failure="no module"), runtime=Runtime()),
        replace(BARE, core=Core("avx2", "it was not built"), nvidia_hardware=True),
        replace(FULL, runtime=replace(GPU, missing=("a.so",), missing_late=("b.so",), refusals={0: "no"})),
        replace(FULL, driver=Driver(12040), kernels=replace(BUILT, failure="too old")),
        replace(FULL, kernels=Kernels(failure="undefined symbol"), cupy={"cupy": "13.6", "cupy-cuda13x": "14.2"}),
    ):
        assert all(bool(each.remedy) == (each.status != "ok") for each in examine(facts))


@pytest.mark.parametrize(
    ("change", "name", "status", "found", "remedy"),
    [
        pytest.param(
            {"core": Core(failure="undefined symbol: x")},
            "core",
            "problem",
            "cannot be imported: undefined symbol: x",
            "install maas-server again",
            id="a core that cannot be imported",
        ),
        pytest.param(
            {"core": Core("avx2", "it was not built, for want of nghttp2")},
            "compiled front",
            "note",
            "for want of nghttp2",
            "only for --front compiled",
            id="no compiled front",
        ),
        pytest.param(
            {"runtime": Runtime()},
            "onnxruntime",
            "problem",
            "not installed: .onnx files cannot be served",
            'pip install "maas-server[cpu]", or "maas-server[gpu]"',
            id="no onnxruntime",
        ),
        pytest.param(
            {"runtime": Runtime(), "runners": ("scaler",)},
            "onnxruntime",
            "note",
            "not installed",
            "maas-server[cpu]",
            id="no onnxruntime, but another runner",
        ),
        pytest.param(
            {"runtime": replace(CPU, distributions={"onnxruntime-gpu": "1.31.1", "onnxruntime": "1.31.1"})},
            "onnxruntime",
            "problem",
            "onnxruntime and onnxruntime-gpu overwrite each other's files",
            "pip uninstall --yes onnxruntime onnxruntime-gpu, then pip install",
            id="both distributions",
        ),
        pytest.param(
            {"runtime": replace(GPU, package="onnxruntime", cuda="")},
            "onnxruntime",
            "problem",
            "onnxruntime-gpu is installed, but the files are those of onnxruntime",
            "pip install --force-reinstall --no-deps onnxruntime-gpu",
            id="one distribution over the other, which was uninstalled since",
        ),
        pytest.param(
            {"runtime": Runtime({"onnxruntime": "1.31.1"}, failure="no module named capi")},
            "onnxruntime",
            "problem",
            "onnxruntime cannot be imported: no module named capi",
            "--force-reinstall --no-deps onnxruntime",
            id="onnxruntime in pieces",
        ),
        pytest.param(
            {"driver": NEW, "devices": (H200,)},
            "onnxruntime",
            "note",
            "CPUExecutionProvider; serves on the CPU",
            'pip uninstall --yes onnxruntime, then pip install "maas-server[gpu]"',
            id="a GPU, and onnxruntime for the CPU",
        ),
        pytest.param(
            {"runtime": GPU},
            "NVIDIA driver",
            "note",
            "none: onnxruntime-gpu serves on the CPU",
            "install an NVIDIA driver for CUDA 13, 580 or newer",
            id="onnxruntime for the GPU, and no driver",
        ),
        pytest.param(
            {"nvidia_hardware": True},
            "NVIDIA driver",
            "note",
            "none, but an NVIDIA GPU is there",
            "580 or newer; in a container also let it have the GPU",
            id="a GPU, and no driver",
        ),
        pytest.param(
            {"driver": NEW},
            "NVIDIA driver",
            "note",
            "shows no device: serves on the CPU",
            "CUDA_VISIBLE_DEVICES",
            id="a driver, and no GPU",
        ),
        pytest.param(
            {"driver": Driver(12040, "550.54.15"), "devices": (H200,)},
            "NVIDIA driver",
            "note",
            "550.54.15, for CUDA 12.4: too old for CUDA 13",
            "580 or newer",
            id="an old driver, and nothing that wants it",
        ),
        pytest.param(
            {"driver": Driver(12040, "550.54.15"), "devices": (H200,), "runtime": GPU},
            "NVIDIA driver",
            "problem",
            "too old for CUDA 13",
            "580 or newer",
            id="an old driver, and onnxruntime for the GPU",
        ),
        pytest.param(
            {"driver": Driver(12040), "devices": (H200,), "runtime": replace(GPU, cuda="12.8")},
            "NVIDIA driver",
            "ok",
            "for CUDA 12.4",
            "",
            id="a driver of another minor version",
        ),
        pytest.param(
            {"driver": Driver(13000), "devices": (H200,), "runtime": replace(GPU, cuda="14.0")},
            "NVIDIA driver",
            "problem",
            "too old for CUDA 14",
            "install an NVIDIA driver for CUDA 14",
            id="a CUDA that is not known yet",
        ),
        pytest.param(
            {"driver": Driver(13000, "580.65.06", "CUDA_ERROR_SYSTEM_NOT_READY (802)"), "runtime": GPU},
            "NVIDIA driver",
            "problem",
            "580.65.06, does not start: CUDA_ERROR_SYSTEM_NOT_READY (802)",
            "nvidia-smi",
            id="a driver that fails, and onnxruntime for the GPU",
        ),
        pytest.param(
            {"driver": Driver(13000, failure="CUDA_ERROR_UNKNOWN (999)")},
            "NVIDIA driver",
            "note",
            "does not start",
            "nvidia-smi",
            id="a driver that fails, and nothing that wants it",
        ),
        pytest.param(
            {"runtime": replace(GPU, missing=("libcublas.so.13", "libcudart.so.13"))},
            "CUDA libraries",
            "problem",
            "cannot be loaded for want of libcublas.so.13, libcudart.so.13",
            'pip install "maas-server[gpu]"',
            id="no cuBLAS",
        ),
        pytest.param(
            {"runtime": replace(GPU, missing_late=("libcudnn.so.9",))},
            "CUDA libraries",
            "note",
            "fail on the GPU for want of libcudnn.so.9",
            'pip install "maas-server[gpu]"',
            id="no cuDNN",
        ),
        pytest.param(
            {"driver": NEW, "devices": (H200,), "runtime": replace(GPU, refusals={0: "no kernel image"})},
            "CUDA provider",
            "problem",
            "does not run on device 0: no kernel image",
            "onnxruntime-gpu has code for",
            id="a GPU that onnxruntime does not run on",
        ),
        pytest.param(
            {"driver": NEW, "devices": (Device("Tesla V100", 7, 0, 16 * GIB),), "kernels": BUILT},
            "device 0",
            "note",
            "compute capability 7.0, 16.0 GiB; this build has no code for it, only for sm_75",
            "MAAS_CUDA=on",
            id="a GPU without code in this build",
        ),
        pytest.param(
            {"driver": NEW, "devices": (H200,)},
            "CUDA kernels",
            "note",
            "want of nvcc",
            "nvcc and MAAS_CUDA=on",
            id="a GPU, and a build without kernels",
        ),
        pytest.param(
            {"core": Core("avx2")},
            "CUDA kernels",
            "problem",
            "was built, and is gone",
            "install maas-server again",
            id="kernels that are gone",
        ),
        pytest.param(
            {"kernels": Kernels(failure="GLIBC_2.38 not found")},
            "CUDA kernels",
            "problem",
            "GLIBC_2.38 not found",
            "install maas-server again",
            id="kernels that cannot be imported",
        ),
        pytest.param(
            {"kernels": replace(BUILT, failure="driver is insufficient"), "driver": Driver(12040)},
            "CUDA kernels",
            "note",
            "driver is insufficient",
            "the line of the NVIDIA driver",
            id="kernels that the driver is too old for",
        ),
        pytest.param({"cupy": {"cupy-cuda13x": "14.2.0"}}, "cupy", "ok", "cupy-cuda13x 14.2.0", "", id="cupy"),
        pytest.param(
            {"cupy": {"cupy-cuda13x": "14.2.0", "cupy-cuda12x": "13.6.0"}},
            "cupy",
            "problem",
            "cupy-cuda12x and cupy-cuda13x overwrite",
            "pip uninstall --yes cupy-cuda12x cupy-cuda13x",
            id="two of cupy",
        ),
        pytest.param({"runners": ("a", "b")}, "runners", "ok", "of other packages: a, b", "", id="other runners"),
    ],
)
def test_each_gap_is_told_with_what_to_do(
    change: dict[str, Any], name: str, status: str, found: str, remedy: str
) -> None:
    got = finding(replace(BARE, **change), name)
    assert got.status == status
    assert found in got.found
    assert remedy in got.remedy
    assert bool(got.remedy) == bool(remedy)


def test_each_device_has_its_line() -> None:
    facts = replace(FULL, devices=(H200, Device("Tesla V100", 7, 0, 16 * GIB)))
    assert [finding(facts, f"device {index}").status for index in (0, 1)] == ["ok", "note"]


@pytest.mark.parametrize(
    ("architectures", "capability", "expected"),
    [
        (("sm_86",), (8, 6), True),
        (("sm_86",), (8, 9), True),
        (("sm_86",), (8, 0), False),
        (("sm_86",), (9, 0), False),
        (("sm_100",), (10, 3), True),
        (("sm_90a",), (9, 0), True),
        (("sm_100f",), (10, 3), False),
        (("compute_120",), (12, 1), True),
        (("compute_120",), (13, 0), True),
        (("compute_120",), (11, 0), False),
        (("75", "compute_120"), (7, 5), True),
        ((), (9, 0), False),
    ],
)
def test_code_runs_on_later_minor_versions_and_ptx_on_whatever_comes_later(
    architectures: tuple[str, ...], capability: tuple[int, int], expected: bool
) -> None:
    assert has_code(architectures, *capability) is expected
