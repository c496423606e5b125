"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from maas_server.cli.credentials import channel_credentials
from maas_server.client import DEFAULT_ADDRESS, DEFAULT_TIMEOUT

F = TypeVar("F", bound=Callable[..., Any])

_TLS_FILES = {
    "tls_ca": "Certificates of who vouches for the server, as PEM; implies --tls.",
    "tls_cert": "This client's certificate, as PEM, for a server that asks for one.",
    "tls_key": "Its private key, as PEM.",
}


def connection(timeout: float = DEFAULT_TIMEOUT) -> Callable[[F], F]:
    """Add --address, --timeout and the options of TLS, of which the command gets `credentials`."""

    def decorate(function: F) -> F:
        function = _with_credentials(function)
        function = click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=timeout,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for each answer.",
        )(function)
        return click.option(
            "--address",
            default=DEFAULT_ADDRESS,
            show_default=True,
            envvar="MAAS_ADDRESS",
            show_envvar=True,
            metavar="HOST:PORT",
            help="Where the server is; any gRPC target.",
        )(function)

    return decorate


def _with_credentials(function: F) -> F:
    @wraps(function)
    def command(
        *args: Any, tls: bool, tls_ca: Path | None, tls_cert: Path | None, tls_key: Path | None, **kwargs: Any
    ) -> Any:
        return function(*args, credentials=channel_credentials(tls, tls_ca, tls_cert, tls_key), **kwargs)

    decorated: Any = command
    path = click.Path(exists=True, dir_okay=False, path_type=Path)
    for name, meaning in reversed(_TLS_FILES.items()):
        flag, variable = "--" + name.replace("_", "-"), f"MAAS_CLIENT_{name.upper()}"
        decorated = click.option(flag, type=path, envvar=variable, show_envvar=True, metavar="FILE", help=meaning)(
            decorated
        )
    switch: Callable[[Any], F] = click.option(
        "--tls",
        is_flag=True,
        envvar="MAAS_CLIENT_TLS",
        show_envvar=True,
        help="Connect by TLS, to a server whom a well-known authority vouches for, or that of --tls-ca.",
    )
    return switch(decorated)


def version_choice(function: F) -> F:
    """Add --version and --label, which exclude each other."""
    function = click.option("--label", metavar="LABEL", help="The version that this label points at.")(function)
    return click.option(
        "--version",
        type=click.IntRange(min=1),
        metavar="NUMBER",
        help="A version. [default: the newest that is AVAILABLE]",
    )(function)
