"""What a command shows to a server, and asks of it."""

from __future__ import annotations

import ssl
from pathlib import Path

import click
import grpc


def channel_credentials(
    tls: bool, ca: Path | None, cert: Path | None, key: Path | None
) -> grpc.ChannelCredentials | None:
    """Return credentials of these files; None: plain text.

    Raises:
        click.UsageError: the files are wrong, or do not go together.
    """
    if (cert is None) != (key is None):
        raise click.UsageError("--tls-cert and --tls-key need each other")
    if not tls and ca is None:
        if cert is not None:
            raise click.UsageError("--tls-cert needs --tls or --tls-ca")
        return None
    # gRPC itself would say that no server is there.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if ca is not None:
            context.load_verify_locations(cafile=ca)
    except OSError as error:
        raise click.UsageError(f"--tls-ca: expected certificates as PEM in {ca}: {error}") from error
    try:
        if cert is not None:
            context.load_cert_chain(cert, key, password=_no_password)
    except OSError as error:
        raise click.UsageError(f"--tls-cert and --tls-key do not belong together, or are no PEM: {error}") from error
    return grpc.ssl_channel_credentials(*(None if path is None else path.read_bytes() for path in (ca, key, cert)))


def _no_password() -> str:
    raise click.UsageError("--tls-key: expected a key without a password")
