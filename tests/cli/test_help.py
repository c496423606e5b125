"""Help, version, and how commands fail."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

import maas_server
from maas_server.cli import main
from maas_server.settings import Settings

COMMANDS = ["serve", "predict", "status", "load", "unload", "label", "check", "bench", "doctor"]


def invoke(*args: str) -> Any:
    return CliRunner().invoke(main, list(args), catch_exceptions=False)


def test_the_list_of_commands_says_what_each_command_says_itself() -> None:
    listed = invoke("--help").output
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert f"{name:8} {command.get_short_help_str(200)}" in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_for_each_option_and_an_example(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    output = invoke(name, "--help").output
    assert f"maas {name} " in " ".join(output.split())
    assert all(param.help for param in command.params if isinstance(param, click.Option))


def test_serve_has_an_option_for_each_setting_with_its_variable_and_default() -> None:
    text = " ".join(invoke("serve", "--help").output.split())
    for name in Settings.model_fields:
        assert name == "path" or f"--{name.replace('_', '-')}" in text
        assert f"env: MAAS_{name.upper()}; default: " in text


def test_an_unknown_command_is_wrong_usage() -> None:
    result = invoke("sreve")
    assert result.exit_code == 2
    assert "sreve" in result.stderr


def test_version_is_the_packages() -> None:
    assert invoke("--version").output == f"maas, version {maas_server.__version__}\n"


def test_help_imports_neither_grpc_nor_numpy_nor_pydantic() -> None:
    script = (
        "import sys\nfrom maas_server.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "sys.exit(str(sorted({'grpc', 'numpy', 'pydantic', 'yaml', 'google.protobuf'} & sys.modules.keys())))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip() == "[]"
