"""The command line speaks TLS, to a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
from click.testing import CliRunner, Result

from maas_server.cli import main
from tests.models import onnx_models
from tests.security.certificates import HOST, ServerFiles, chain, trusting
from tests.server.in_process import InProcessServer


@pytest_asyncio.fixture
async def address(tmp_path: Path, files: ServerFiles, authority: trustme.CA) -> AsyncIterator[str]:
    """Where a server is that asks for certificates; those of a client lie beside its own."""
    models = tmp_path / "models"
    onnx_models.save(onnx_models.linear(width=4), models / "linear/1/model.onnx")
    leaf = authority.issue_cert("client.example")
    (tmp_path / "client.crt").write_bytes(chain(leaf))
    (tmp_path / "client.key").write_bytes(leaf.private_key_pem.bytes())
    settings = files.settings(client_ca=True, path=models, grpc_port=0, http=False, settle=0, drain_delay=0)
    async with InProcessServer(settings, trusting(authority, leaf)) as server:
        yield f"{HOST}:{server.server.port}"


async def maas(*arguments: str | Path, **environment: str) -> Result:
    def run() -> Result:
        return CliRunner().invoke(main, [str(each) for each in arguments], env=environment)

    return await asyncio.to_thread(run)


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("predict", "linear", "--input", "[[1, 2, 3, 4]]"),
        ("load", "linear", "1"),
        ("bench", "linear", "--count", "5", "--warmup", "0"),
    ],
    ids=lambda command: str(command[0]),
)
async def test_commands_take_files(command: tuple[str, ...], address: str, files: ServerFiles, tmp_path: Path) -> None:
    given: list[Any] = ["--address", address, "--tls-ca", files.client_ca]
    given += ["--tls-cert", tmp_path / "client.crt", "--tls-key", tmp_path / "client.key"]
    result = await maas(*command, *given)
    assert result.exit_code == 0, result.output


async def test_the_environment_may_name_them(address: str, files: ServerFiles, tmp_path: Path) -> None:
    result = await maas(
        "status",
        MAAS_ADDRESS=address,
        MAAS_CLIENT_TLS_CA=str(files.client_ca),
        MAAS_CLIENT_TLS_CERT=str(tmp_path / "client.crt"),
        MAAS_CLIENT_TLS_KEY=str(tmp_path / "client.key"),
    )
    assert result.exit_code == 0, result.output
    assert "linear" in result.output


async def test_a_server_whom_nobody_known_vouches_for_is_not_trusted(address: str) -> None:
    result = await maas("status", "--address", address, "--tls", "--timeout", "1")
    assert result.exit_code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in result.output


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--tls-ca", "key"), "--tls-ca: expected certificates as PEM"),
        (("--tls", "--tls-cert", "crt"), "--tls-cert and --tls-key need each other"),
        (("--tls", "--tls-key", "key"), "--tls-cert and --tls-key need each other"),
        (("--tls-cert", "crt", "--tls-key", "key"), "--tls-cert needs --tls or --tls-ca"),
        (("--tls", "--tls-cert", "crt", "--tls-key", "other"), "--tls-cert and --tls-key do not belong together"),
        (("--tls-ca", "missing"), "does not exist"),
    ],
)
async def test_files_that_are_wrong_are_wrong_usage(
    given: tuple[str, ...], message: str, authority: trustme.CA, tmp_path: Path
) -> None:
    leaf = authority.issue_cert(HOST)
    (tmp_path / "crt").write_bytes(chain(leaf))
    (tmp_path / "key").write_bytes(leaf.private_key_pem.bytes())
    (tmp_path / "other").write_bytes(authority.issue_cert(HOST).private_key_pem.bytes())
    named = [each if each.startswith("--") else str(tmp_path / each) for each in given]
    result = await maas("status", *named)
    assert result.exit_code == 2
    assert message in result.output
