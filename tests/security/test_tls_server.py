"""TLS and mutual TLS as clients meet them, with either front, and certificates that are renewed while they do."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from grpc_health.v1 import health_pb2

from maas_server import server as server_module
from maas_server.client import AsyncClient
from maas_server.errors import ConfigError
from maas_server.security import tls
from maas_server.server import Server
from tests.fronts import FrontName, only_compiled
from tests.models import onnx_models
from tests.security.certificates import HOST, ServerFiles, chain, trusting
from tests.server.in_process import SECONDS, InProcessServer, Refused, request, tensor

X = np.ones((1, 4), np.float32)
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def options(folder: Path, front: FrontName) -> dict[str, Any]:
    """The settings of a server with one model, `linear`."""
    onnx_models.save(onnx_models.linear(width=4), folder / "linear/1/model.onnx")
    return {"path": folder, "front": front, "grpc_port": 0, "http": False, "settle": 0, "drain_delay": 0}


async def ask(server: InProcessServer, credentials: grpc.ChannelCredentials | None) -> None:
    """Ask for the health over a connection of its own.

    Raises:
        Refused: there was no answer.
    """
    address = f"{HOST}:{server.server.port}"
    alone = [("grpc.use_local_subchannel_pool", 1)]
    insecure = grpc.aio.insecure_channel(address, alone)
    channel = insecure if credentials is None else grpc.aio.secure_channel(address, credentials, alone)
    async with channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            raw = await check(b"", timeout=SECONDS)
        except grpc.aio.AioRpcError as error:
            raise Refused(error) from error
    assert health_pb2.HealthCheckResponse.FromString(raw).status == health_pb2.HealthCheckResponse.SERVING


def shown(port: int, context: ssl.SSLContext) -> bytes:
    """The certificate that a new connection is shown. For a thread."""
    with socket.create_connection((HOST, port), SECONDS) as plain, context.wrap_socket(plain) as encrypted:
        certificate = encrypted.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def any_certificate(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    return context


async def test_predictions_are_answered_by_tls(
    tmp_path: Path, files: ServerFiles, authority: trustme.CA, front: FrontName
) -> None:
    settings = files.settings(**options(tmp_path / "models", front))
    async with InProcessServer(settings, trusting(authority)) as server:
        answer = await server.predict(request("linear", tensor("x", X)))
        assert answer.model == "linear"
        async with AsyncClient(f"{HOST}:{server.server.port}", credentials=trusting(authority)) as client:
            assert (await client.predict("linear", {"x": X})).model == "linear"
            (model,) = await client.status()
            assert model.name == "linear"
            async with client.stream() as stream:
                assert (await stream.predict("linear", {"x": X})).model == "linear"


async def test_large_messages_cross_in_both_directions_at_once(
    tmp_path: Path, files: ServerFiles, authority: trustme.CA, front: FrontName
) -> None:
    models = tmp_path / "models"
    settings = files.settings(**options(models, front))
    onnx_models.save(onnx_models.scaled(2, width=1 << 20), models / "scaled/1/model.onnx")
    many = [np.full((1, 1 << 20), number, np.float32) for number in range(8)]
    async with (
        InProcessServer(settings, trusting(authority)) as server,
        AsyncClient(f"{HOST}:{server.server.port}", credentials=trusting(authority)) as client,
    ):
        answers = await asyncio.gather(*(client.predict("scaled", {"x": each}) for each in many))
    for asked, answer in zip(many, answers, strict=True):
        np.testing.assert_array_equal(answer["y"], asked * 2)


async def test_who_speaks_no_tls_is_not_served(
    tmp_path: Path, files: ServerFiles, authority: trustme.CA, front: FrontName
) -> None:
    settings = files.settings(**options(tmp_path / "models", front))
    async with InProcessServer(settings, trusting(authority)) as server:
        with pytest.raises(Refused) as caught:
            await ask(server, None)
        assert caught.value.code == grpc.StatusCode.UNAVAILABLE
        await ask(server, trusting(authority))


async def test_a_client_that_trusts_others_goes_away(
    tmp_path: Path, files: ServerFiles, authority: trustme.CA, front: FrontName
) -> None:
    settings = files.settings(**options(tmp_path / "models", front))
    async with InProcessServer(settings, trusting(authority)) as server:
        with pytest.raises(Refused, match="CERTIFICATE_VERIFY_FAILED") as caught:
            await ask(server, trusting(trustme.CA()))
        assert caught.value.code == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_present_versions_of_tls_are_spoken(
    tmp_path: Path, files: ServerFiles, authority: trustme.CA, front: FrontName, version: ssl.TLSVersion
) -> None:
    context = any_certificate("h2")
    context.minimum_version = context.maximum_version = version
    settings = files.settings(**options(tmp_path / "models", front))
    async with InProcessServer(settings, trusting(authority)) as server:
        certificate = await asyncio.to_thread(shown, server.server.port, context)
    assert ssl.DER_cert_to_PEM_cert(certificate).encode() == files.cert.read_bytes()


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)], ids=["none", "another"])
async def test_a_client_that_does_not_ask_for_http2_is_sent_away(
    tmp_path: Path, files: ServerFiles, authority: trustme.CA, front: FrontName, protocols: tuple[str, ...]
) -> None:
    def converse(port: int) -> bytes:
        try:
            with (
                socket.create_connection((HOST, port), SECONDS) as plain,
                any_certificate(*protocols).wrap_socket(plain) as encrypted,
            ):
                encrypted.sendall(b"GET / HTTP/1.1\r\n\r\n")
                return encrypted.recv(100)
        except OSError:
            return b""

    settings = files.settings(**options(tmp_path / "models", front))
    async with InProcessServer(settings, trusting(authority)) as server:
        assert await asyncio.to_thread(converse, server.server.port) == b""


async def test_a_client_with_a_certificate_is_let_in_and_others_are_not(
    tmp_path: Path, files: ServerFiles, authority: trustme.CA, front: FrontName
) -> None:
    settings = files.settings(client_ca=True, **options(tmp_path / "models", front))
    mine = trusting(authority, authority.issue_cert("client.example"))
    strangers = {
        "without one": trusting(authority),
        "of another authority": trusting(authority, trustme.CA().issue_cert("client.example")),
        "expired": trusting(authority, authority.issue_cert("client.example", not_after=LONG_AGO)),
    }
    async with InProcessServer(settings, mine) as server:
        assert (await server.predict(request("linear", tensor("x", X)))).model == "linear"
        for name, credentials in strangers.items():
            with pytest.raises(Refused) as caught:
                await ask(server, credentials)
            assert caught.value.code == grpc.StatusCode.UNAVAILABLE, name
        await ask(server, mine)


async def test_new_connections_see_the_renewed_certificate_and_old_ones_go_on(
    tmp_path: Path, files: ServerFiles, authority: trustme.CA, front: FrontName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "POLL_SECONDS", 0.01)
    settings = files.settings(client_ca=True, **options(tmp_path / "models", front))
    async with InProcessServer(settings, trusting(authority, authority.issue_cert("old.example"))) as server:
        other = trustme.CA()
        renewed = other.issue_cert(HOST)
        context = any_certificate("h2")
        client = other.issue_cert("new.example")
        with client.private_key_and_cert_chain_pem.tempfile() as pem:
            context.load_cert_chain(pem)
        files.write(renewed, clients=other)
        expected = ssl.PEM_cert_to_DER_cert(chain(renewed).decode())
        async with asyncio.timeout(SECONDS):
            while await asyncio.to_thread(shown, server.server.port, context) != expected:
                pass
        # The channel's connection is older, and its certificate would not be taken now.
        assert (await server.predict(request("linear", tensor("x", X)))).model == "linear"
        await ask(server, trusting(other, client))
        with pytest.raises(Refused):
            await ask(server, trusting(other, authority.issue_cert("old.example")))


async def test_broken_files_are_not_shown_to_anybody(
    tmp_path: Path, files: ServerFiles, authority: trustme.CA, front: FrontName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "POLL_SECONDS", 0.01)
    settings = files.settings(**options(tmp_path / "models", front))
    broken = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(tls.log, "error", lambda event, **_: loop.call_soon_threadsafe(broken.set))
    async with InProcessServer(settings, trusting(authority)) as server:
        files.cert.write_text("")
        async with asyncio.timeout(SECONDS):
            await broken.wait()
        await ask(server, trusting(authority))


@only_compiled
async def test_a_certificate_that_only_the_compiled_front_refuses_changes_nothing(
    tmp_path: Path, files: ServerFiles, authority: trustme.CA, front: FrontName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(tls, "_check", lambda _: None)
    reasons: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    monkeypatch.setattr(server_module.log, "error", lambda event, reason: reasons.put_nowait((event, reason)))
    settings = files.settings(**options(tmp_path / "models", front))
    async with InProcessServer(settings, trusting(authority)) as server:
        files.cert.write_text("")
        async with asyncio.timeout(SECONDS):
            event, reason = await reasons.get()
        assert event == "tls_reload_failed"
        assert reason.startswith("tls_cert: ")
        await ask(server, trusting(authority))
        # The next one is looked at again.
        other = trustme.CA()
        renewed = other.issue_cert(HOST)
        files.write(renewed)
        expected = ssl.PEM_cert_to_DER_cert(chain(renewed).decode())
        async with asyncio.timeout(SECONDS):
            while await asyncio.to_thread(shown, server.server.port, any_certificate("h2")) != expected:
                pass


@only_compiled
@pytest.mark.parametrize(
    ("broken", "setting"), [("cert", "tls_cert"), ("key", "tls_key"), ("client_ca", "tls_client_ca")]
)
async def test_a_file_that_only_the_compiled_front_refuses_is_a_wrong_setting(
    tmp_path: Path, files: ServerFiles, front: FrontName, monkeypatch: pytest.MonkeyPatch, broken: str, setting: str
) -> None:
    monkeypatch.setattr(tls, "_check", lambda _: None)
    getattr(files, broken).write_text("nonsense")
    settings = files.settings(client_ca=True, **options(tmp_path / "models", front))
    with pytest.raises(ConfigError, match="the files of TLS are wrong") as caught:
        await Server(settings).run()
    assert [each.field for each in caught.value.violations] == [setting]


async def test_a_server_with_wrong_files_does_not_start(tmp_path: Path, files: ServerFiles, front: FrontName) -> None:
    files.key.write_text("")
    settings = files.settings(**options(tmp_path / "models", front))
    with pytest.raises(ConfigError, match="the files of TLS are wrong") as caught:
        await Server(settings).run()
    assert [each.field for each in caught.value.violations] == ["tls_key"]
