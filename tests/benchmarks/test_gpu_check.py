"""`make gpu-check` on machines without a GPU, and where its first step fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.compilers import c_compiler

# A driver that shows one device, to those who only count.
_DRIVER = "int cuInit(unsigned flags) { return (int)flags; } int cuDeviceGetCount(int* n) { *n = %d; return 0; }"


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    compiler = c_compiler()
    for devices in (0, 1):
        folder = tmp_path / f"{devices}"
        folder.mkdir()
        source = folder / "driver.c"
        source.write_text(_DRIVER % devices)
        subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(folder / "libcuda.so.1")], check=True)
    return tmp_path


def check(checkout: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script of a checkout, which has nothing but what the script runs."""
    clean = {name: value for name, value in os.environ.items() if name not in {"GPU", "MAAS_ORT_GPU"}}
    return subprocess.run(
        [str(checkout / "scripts" / "gpu_check.sh")],
        env={**clean, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def checkout(tmp_path: Path, root: Path) -> Path:
    folder = tmp_path / "checkout"
    shutil.copytree(root / "scripts", folder / "scripts")
    return folder


@pytest.mark.parametrize(("wanted", "status"), [({}, 1), ({"GPU": "required"}, 1), ({"GPU": "optional"}, 0)])
def test_without_a_device_it_says_so_in_one_line(
    checkout: Path, driver: Path, wanted: dict[str, str], status: int
) -> None:
    done = check(checkout, {"LD_LIBRARY_PATH": str(driver / "0"), **wanted})
    assert (done.returncode, done.stdout) == (status, "gpu-check: no GPU: the driver shows no device\n"), done.stderr
    assert not (checkout / "build").exists()


def test_what_fails_is_in_the_summary_and_in_the_exit_status(checkout: Path, driver: Path) -> None:
    (driver / "nvcc").write_text("#!/bin/sh\necho fatal: the compiler is broken >&2\nexit 3\n")
    (driver / "nvcc").chmod(0o755)
    stale = checkout / "build" / "cuda" / "libmaas_cuda.so"
    stale.parent.mkdir(parents=True)
    stale.touch()

    gpu = {"LD_LIBRARY_PATH": str(driver / "1"), "CUDACXX": str(driver / "nvcc"), "GPU": "optional"}
    done = check(checkout, gpu)

    assert done.returncode == 1
    assert "the compiler is broken" in done.stdout
    assert done.stdout.splitlines()[-1].split()[0] == "build"
    assert done.stdout.endswith("FAILED: see build/gpu-check/build.log\n")
    assert "the compiler is broken" in (checkout / "build/gpu-check/build.log").read_text()
    assert not stale.exists()


def test_without_a_python_that_can_test_it_says_what_it_wants(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "env"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    done = check(checkout, {"PYTHON": "", "PATH": str(tools), "GPU": "optional"})
    assert done.returncode == 1
    assert "no Python 3.11 or later with numpy and pytest" in done.stderr
