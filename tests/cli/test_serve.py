"""`maas serve`: what reaches the server's entry point."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from maas_server.cli import main
from maas_server.observe import logs
from maas_server.settings import Settings


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Settings that the server was run with, in place of a server."""
    seen: list[Settings] = []
    server = ModuleType("maas_server.server")

    def run(settings: Settings) -> int:
        seen.append(settings)
        return 7

    server.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "maas_server.server", server)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    return seen


def serve(*args: str, **environment: str) -> Any:
    return CliRunner().invoke(main, ["serve", *args], env=environment, catch_exceptions=False)


def test_flags_reach_the_server_and_its_result_is_the_exit_code(runs: list[Settings]) -> None:
    result = serve("a/model.onnx", "--grpc-port", "0", "--grace", "500ms", "--no-reflection", "--log-level", "debug")
    assert result.exit_code == 7
    assert runs == [
        Settings(path=Path("a/model.onnx"), grpc_port=0, grace=0.5, reflection=False, log_level="debug"),
    ]


def test_the_environment_and_the_file_reach_the_server(runs: list[Settings], tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("max_message_bytes: 1MiB\nscheduling: normal\n")
    serve("--config", str(config), MAAS_PATH="from/environment", MAAS_SCHEDULING="batch")
    assert runs == [Settings(path=Path("from/environment"), max_message_bytes=1 << 20, scheduling="batch")]


def test_wrong_settings_are_wrong_usage_and_name_the_setting(runs: list[Settings]) -> None:
    result = serve("--grpc-port", "99999", "--max-message-bytes", "64 elephants")
    assert result.exit_code == 2
    assert "--grpc-port: Input should be less than or equal to 65535, got '99999'" in result.stderr
    assert '--max-message-bytes: expected a size such as 4096, "512KiB" or "64MiB", got "64 elephants"' in result.stderr
    assert runs == []


def test_an_unknown_key_in_the_file_is_wrong_usage(runs: list[Settings], tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("grpc-port: 1\n")
    result = serve("--config", str(config))
    assert result.exit_code == 2
    assert "grpc-port: no such setting; did you mean grpc_port?" in result.stderr
