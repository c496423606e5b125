"""Which foreign clients can be had on this machine, and how to get them ready.

As a program: prints the Debian packages that are missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv/foreign"
BUILT = ROOT / "build/foreign"

# Where it is set, as it is in CI, a client that is missing is a failure.
REQUIRE = "MAAS_REQUIRE_FOREIGN"

# Installing every environment takes half a minute where packages come fast.
PREPARE_SECONDS = 540


# What a client takes from the system, and the Debian package that has it. What begins with a slash is a file.
_PROTOC = {"protoc": "protobuf-compiler"}
NEEDS: dict[str, dict[str, str]] = {
    "cpp": {
        **_PROTOC,
        "c++": "g++",
        "pkg-config": "pkg-config",
        "grpc_cpp_plugin": "protobuf-compiler-grpc",
        "/usr/include/grpcpp/grpcpp.h": "libgrpc++-dev",
    },
    "go": {
        **_PROTOC,
        "go": "golang-go",
        "protoc-gen-go": "protoc-gen-go-1-3",
        "/usr/share/gocode/src/google.golang.org/grpc": "golang-google-grpc-dev",
    },
    "java": {
        **_PROTOC,
        "javac": "default-jdk-headless",
        "grpc_java_plugin": "protobuf-compiler-grpc-java-plugin",
        "/usr/share/java/grpc-netty.jar": "libgrpc-java",
        "/usr/share/java/netty-handler.jar": "libnetty-java",
        "/usr/share/java/protobuf.jar": "libprotobuf-java",
        "/usr/share/java/guava.jar": "libguava-java",
        "/usr/share/java/geronimo-annotation-1.3-spec.jar": "libgeronimo-annotation-1.3-spec-java",
        # Not asked for by libgrpc-java; without it every call hangs.
        "/usr/share/java/perfmark-api.jar": "libperfmark-java",
    },
    "perf_analyzer": {"/usr/lib/*/libb64.so.0d": "libb64-0d"},
    "curl": {"curl": "curl"},
}


def missing(client: str) -> dict[str, str]:
    """What a client lacks on this machine, and the packages that have it."""
    return {what: package for what, package in NEEDS.get(client, {}).items() if not _is_there(what)}


def _is_there(what: str) -> bool:
    if what.startswith("/"):
        return any(Path("/").glob(what[1:]))
    return shutil.which(what) is not None


def give_up(reason: str) -> NoReturn:
    """Skip the test, or fail it where nothing may be left out."""
    if os.environ.get(REQUIRE):
        pytest.fail(reason)
    # Clients of others are not ours to ship, and a machine may be out of reach of the package index.
    pytest.skip(reason)


def require(client: str) -> None:
    """Go on only where the system has what the client takes from it."""
    if lacking := missing(client):
        give_up(f"{', '.join(lacking)} missing: apt-get install {' '.join(lacking.values())}")


def prepare(client: str) -> None:
    """Install or build a client, unless it is ready already."""
    require(client)
    made = _make(client)
    if made.returncode == 0:
        return
    if client in ("cpp", "go", "java"):
        pytest.fail(made.stdout + made.stderr)
    # The package index may be out of reach.
    give_up(f"cannot install {client}: {made.stderr.strip()[-2000:]}")


@cache
def _make(client: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "-f", "tests/foreign/Makefile", client]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PREPARE_SECONDS, check=False)


def run(command: list[str | Path], stdin: str = "", seconds: float = 60.0, **environment: str) -> str:
    """Run a client to its end, expect it to succeed, and return what it printed."""
    arguments = [str(part) for part in command]
    done = subprocess.run(
        arguments,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    sys.stdout.writelines(f"{package}\n" for client in NEEDS for package in missing(client).values())
