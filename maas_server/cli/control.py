"""`maas load`, `maas unload` and `maas label`."""

from __future__ import annotations

import click
from grpc import ChannelCredentials

from maas_server._stubs.maas.v1 import model_pb2
from maas_server.cli.options import connection
from maas_server.cli.tables import overview
from maas_server.client import LOAD_TIMEOUT, Client

_VERSION = click.argument("version", required=False, type=click.IntRange(min=1))


@click.command(epilog="Example: maas load digits 3")
@click.argument("model")
@_VERSION
@connection(LOAD_TIMEOUT)
def load(model: str, version: int | None, address: str, timeout: float, credentials: ChannelCredentials | None) -> None:
    """Load a version, or what the model's version policy wants.

    Ends when it serves, or says why it does not.
    """
    with Client(address, credentials=credentials, timeout=timeout) as client:
        _show(client.load(model, version, timeout=timeout))


@click.command(epilog="Example: maas unload digits 2")
@click.argument("model")
@_VERSION
@connection(LOAD_TIMEOUT)
def unload(
    model: str, version: int | None, address: str, timeout: float, credentials: ChannelCredentials | None
) -> None:
    """Drain and unload a version, or all of them.

    Requests that were accepted are answered first.
    """
    with Client(address, credentials=credentials, timeout=timeout) as client:
        _show(client.unload(model, version, timeout=timeout))


@click.command(epilog="Example: maas label digits stable 3")
@click.argument("model")
@click.argument("label")
@_VERSION
@connection()
def label(
    model: str, label: str, version: int | None, address: str, timeout: float, credentials: ChannelCredentials | None
) -> None:
    """Point a label at a version, or remove it.

    Without VERSION the label is removed.
    """
    with Client(address, credentials=credentials, timeout=timeout) as client:
        _show(client.set_label(model, label, version))


def _show(info: model_pb2.ModelInfo) -> None:
    click.echo(overview([info]))
