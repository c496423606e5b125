"""Who calls: the connection says it, or the front that handed the call on; never the client itself."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from maas_server.rpc.peer import Peer, peer_of

_TOLD = (
    ("maas-peer", "ipv4:192.0.2.7:4711"),
    ("maas-peer-cert-bin", b"-----BEGIN CERTIFICATE-----\n"),
    ("maas-peer-name-bin", "Zoë".encode()),
    ("maas-peer-alt-bin", b"zoe.example"),
    ("maas-peer-alt-bin", b"spiffe://example/zoe"),
)


class Asked(grpc.GenericRpcHandler):
    """A server that remembers who called it last."""

    def __init__(self) -> None:
        self.peer: Peer | None = None
        self._method: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, _: bytes, context: Any) -> bytes:
        self.peer = peer_of(context)
        return b""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return self._method


@asynccontextmanager
async def served(address: str, credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[tuple[Asked, int]]:
    asked = Asked()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((asked,))
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield asked, port
    finally:
        await server.stop(0)


async def call(channel: grpc.aio.Channel, metadata: Sequence[tuple[str, str | bytes]] = ()) -> None:
    async with channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/service/method")
        await method(b"", metadata=grpc.aio.Metadata(*metadata), timeout=10)


@asynccontextmanager
async def served_behind() -> AsyncIterator[tuple[Asked, str]]:
    """A server as the compiled front has it behind itself; and its address. Paths of sockets must be short."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{Path(folder) / 'front.sock'}"
        async with served(address) as (asked, _):
            yield asked, address


async def test_the_front_says_who_called_it() -> None:
    async with served_behind() as (asked, address):
        await call(grpc.aio.insecure_channel(address), _TOLD)
    assert asked.peer == Peer(
        "ipv4:192.0.2.7:4711",
        certificate_pem="-----BEGIN CERTIFICATE-----\n",
        common_name="Zoë",
        alternative_names=("zoe.example", "spiffe://example/zoe"),
    )


async def test_of_a_client_without_a_certificate_the_front_says_where_it_is() -> None:
    async with served_behind() as (asked, address):
        await call(grpc.aio.insecure_channel(address), _TOLD[:1])
    assert asked.peer == Peer("ipv4:192.0.2.7:4711")


async def test_a_call_over_the_socket_that_the_front_says_nothing_of_is_from_here() -> None:
    async with served_behind() as (asked, address):
        await call(grpc.aio.insecure_channel(address), _TOLD[1:])
    assert asked.peer is not None
    assert asked.peer.address.startswith("unix:")
    assert asked.peer == Peer(asked.peer.address)


async def test_a_name_that_is_not_utf_8_is_read_as_far_as_it_can_be() -> None:
    async with served_behind() as (asked, address):
        await call(grpc.aio.insecure_channel(address), (*_TOLD[:2], ("maas-peer-name-bin", b"Zo\xeb")))
    assert asked.peer is not None
    assert asked.peer.common_name == "Zo\ufffd"


async def test_what_a_client_says_of_itself_is_not_believed() -> None:
    async with served("127.0.0.1:0") as (asked, port):
        await call(grpc.aio.insecure_channel(f"127.0.0.1:{port}"), _TOLD)
    assert asked.peer is not None
    assert asked.peer.address.startswith("ipv4:127.0.0.1:")
    assert asked.peer == Peer(asked.peer.address)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("told", [(), _TOLD], ids=["alone", "beside_false_metadata"])
async def test_a_certificate_says_who_called(authority: trustme.CA, told: Sequence[tuple[str, str | bytes]]) -> None:
    here = authority.issue_cert("localhost")
    client = authority.issue_cert("zoe.example", "192.0.2.7", common_name="zoe")
    root = authority.cert_pem.bytes()
    server_pair = (here.private_key_pem.bytes(), here.cert_chain_pems[0].bytes())
    credentials = grpc.ssl_server_credentials([server_pair], root, require_client_auth=True)
    shown = grpc.ssl_channel_credentials(root, client.private_key_pem.bytes(), client.cert_chain_pems[0].bytes())
    async with served("localhost:0", credentials) as (asked, port):
        await call(grpc.aio.secure_channel(f"localhost:{port}", shown), told)
    assert asked.peer is not None
    assert asked.peer.address.startswith(("ipv4:127.0.0.1:", "ipv6:"))
    assert asked.peer.common_name == "zoe"
    assert set(asked.peer.alternative_names) == {"zoe.example", "192.0.2.7"}
    # Its end may differ by a newline.
    assert asked.peer.certificate_pem.strip() == client.cert_chain_pems[0].bytes().decode().strip()


async def test_a_client_that_shows_no_certificate_is_an_address(authority: trustme.CA) -> None:
    here = authority.issue_cert("localhost")
    credentials = grpc.ssl_server_credentials([(here.private_key_pem.bytes(), here.cert_chain_pems[0].bytes())])
    trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    async with served("localhost:0", credentials) as (asked, port):
        await call(grpc.aio.secure_channel(f"localhost:{port}", trusted))
    assert asked.peer is not None
    assert asked.peer == Peer(asked.peer.address)
