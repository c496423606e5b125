"""`maas status`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click
from google.protobuf import json_format
from grpc import ChannelCredentials

from maas_server._stubs.maas.v1 import model_pb2
from maas_server.cli.options import connection
from maas_server.cli.tables import detail, overview
from maas_server.client import Client


@click.command(epilog="Example: maas status digits --watch")
@click.argument("model", required=False)
@click.option("--watch", is_flag=True, help="Show it again at each change, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Print maas.v1.ModelInfo messages as JSON, one line per status.")
@connection()
def status(
    model: str | None, watch: bool, as_json: bool, address: str, timeout: float, credentials: ChannelCredentials | None
) -> None:
    """Show models and their versions, or one in detail.

    The star marks the version that answers requests which name none.
    """
    with Client(address, credentials=credentials, timeout=timeout) as client:
        if not watch:
            _show(client.status(model), one=model is not None, as_json=as_json)
            return
        try:
            for count, models in enumerate(client.watch(model)):
                if count and not as_json:
                    click.echo()
                _show(models, one=model is not None, as_json=as_json)
        except KeyboardInterrupt:
            return


def _show(models: Sequence[model_pb2.ModelInfo], *, one: bool, as_json: bool) -> None:
    if as_json:
        messages = [json_format.MessageToDict(info, preserving_proto_field_name=True) for info in models]
        click.echo(json.dumps(messages))
    elif one:
        click.echo("\n\n".join(map(detail, models)))
    else:
        click.echo(overview(models))
