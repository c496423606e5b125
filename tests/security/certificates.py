"""Certificates for tests: who vouches, the files of a server, and what clients show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import trustme

from maas_server.settings import Settings

HOST = "127.0.0.1"


def chain(leaf: trustme.LeafCert) -> bytes:
    return b"".join(each.bytes() for each in leaf.cert_chain_pems)


@dataclass(frozen=True)
class ServerFiles:
    """Where a server's certificate and key lie, and who vouches for its clients."""

    folder: Path

    @property
    def cert(self) -> Path:
        return self.folder / "tls.crt"

    @property
    def key(self) -> Path:
        return self.folder / "tls.key"

    @property
    def client_ca(self) -> Path:
        return self.folder / "clients.crt"

    def write(self, leaf: trustme.LeafCert, clients: trustme.CA | None = None) -> None:
        self.folder.mkdir(exist_ok=True)
        self.cert.write_bytes(chain(leaf))
        self.key.write_bytes(leaf.private_key_pem.bytes())
        if clients is not None:
            self.client_ca.write_bytes(clients.cert_pem.bytes())

    def settings(self, *, client_ca: bool = False, **others: Any) -> Settings:
        ca = str(self.client_ca) if client_ca else ""
        return Settings(tls_cert=str(self.cert), tls_key=str(self.key), tls_client_ca=ca, **others)


def trusting(authority: trustme.CA, leaf: trustme.LeafCert | None = None) -> grpc.ChannelCredentials:
    """What a client connects with that trusts `authority`, and shows `leaf`."""
    if leaf is None:
        return grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes(), leaf.private_key_pem.bytes(), chain(leaf))
