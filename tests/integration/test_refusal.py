"""`maas serve` that cannot serve says why in one line, and nothing else goes wrong."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fronts import FrontName

LIMIT_SECONDS = 60


def refused(*arguments: str) -> str:
    """Return what a `maas serve` that ends by itself printed."""
    maas = Path(sys.executable).with_name("maas")
    command = [str(maas), "serve", *arguments, "--log-format", "json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize("path", ["nowhere", "model.onnx/below", "text.txt"])
def test_a_path_that_is_no_place_for_models(tmp_path: Path, path: str) -> None:
    (tmp_path / "model.onnx").touch()
    (tmp_path / "text.txt").touch()
    message = refused(str(tmp_path / path), "--grpc-port", "0")
    assert message.startswith(f"Error: {tmp_path / path}: ")


def test_a_port_that_is_taken(front: FrontName, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused(str(tmp_path), "--front", front, "--grpc-port", str(port)).startswith(
            f"Error: cannot listen on 127.0.0.1:{port}"
        )
