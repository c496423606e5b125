"""How setup.py decides whether the extension `_cuda` is built, and with what: nvcc is a script here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compilers import cxx_compiler

WORKING = """#!/bin/sh
case "$*" in
  *--list-gpu-code*) printf 'sm_80\\nsm_90\\nsm_91\\n' ;;
  *) echo '#$ INCLUDES="-I{folder}/include"  ' >&2; echo '#$ LIBRARIES=  "-L{folder}/stubs" "-L{folder}"' >&2 ;;
esac
"""
BROKEN = """#!/bin/sh
echo 'host_config.h:1: error: -- unsupported "GNU" version!' >&2
exit 1
"""


def nvcc(folder: Path, script: str) -> Path:
    path = folder / "nvcc"
    path.write_text(script.format(folder=folder) if "{folder}" in script else script)
    path.chmod(0o755)
    return path


def run(command: list[str], root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def toolkit(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("CXX", cxx_compiler())
    return [str(root / "scripts" / "cuda_toolkit.sh"), "75", "80", "90", "120"]


def test_architectures_are_those_that_nvcc_knows_and_the_newest_for_later_devices(
    toolkit: list[str], root: Path, tmp_path: Path
) -> None:
    compiler = nvcc(tmp_path, WORKING)
    (tmp_path / "libcudart_static.a").write_bytes(b"!<arch>\n")
    found = run(toolkit, root, CUDACXX=str(compiler))
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [
        str(compiler),
        " ".join(
            f"-gencode=arch=compute_{of},code={to}" for of, to in ((80, "sm_80"), (90, "sm_90"), (90, "compute_90"))
        ),
        f"-isystem {tmp_path}/include ",
        f"-L{tmp_path}/stubs -L{tmp_path} -lcudart_static -ldl -lrt",
    ]


def test_a_toolkit_without_the_static_runtime_is_none(toolkit: list[str], root: Path, tmp_path: Path) -> None:
    compiler = nvcc(tmp_path, WORKING)
    found = run(toolkit, root, CUDACXX=str(compiler))
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == f"libcudart_static.a, of the toolkit of {compiler}\n"


def test_a_toolkit_that_knows_none_of_the_architectures_is_none(toolkit: list[str], root: Path, tmp_path: Path) -> None:
    compiler = nvcc(tmp_path, WORKING)
    (tmp_path / "libcudart_static.a").write_bytes(b"!<arch>\n")
    found = run([toolkit[0], "120"], root, CUDACXX=str(compiler))
    assert (found.returncode, found.stdout) == (1, "")
    assert "knows one of the architectures 120" in found.stderr


def test_an_nvcc_that_does_not_work_says_why_in_words_that_a_macro_can_hold(
    toolkit: list[str], root: Path, tmp_path: Path
) -> None:
    compiler = nvcc(tmp_path, BROKEN)
    found = run(toolkit, root, CUDACXX=str(compiler))
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        f"an nvcc that works with this compiler: {compiler} says"
        " host_config.h:1: error: -- unsupported 'GNU' version!\n"
    )


@pytest.mark.parametrize(
    ("wish", "code", "text"),
    [
        ("on", 1, "MAAS_CUDA=on: the part for NVIDIA GPUs needs an nvcc that works"),
        ("auto", 0, ""),
        ("off", 0, ""),
        ("", 0, ""),
        ("maybe", 1, "MAAS_CUDA: expected auto, on or off, got 'maybe'"),
    ],
)
def test_only_who_insists_fails_where_nvcc_does_not_work(
    wish: str, code: int, text: str, toolkit: list[str], root: Path, tmp_path: Path
) -> None:
    pytest.importorskip("grpc_tools", reason="setup.py needs what builds the package: pip install grpcio-tools")
    broken = nvcc(tmp_path, BROKEN)
    command = [sys.executable, "setup.py", "--quiet", "--name"]
    asked = run(command, root, MAAS_CUDA=wish, MAAS_BUILD_FRONT="off", CUDACXX=str(broken))
    assert asked.returncode == code, asked.stderr
    assert text in asked.stderr
    assert code or asked.stdout.split()[-1] == "maas-server"
