"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from maas_server.client import DEFAULT_ADDRESS, DEFAULT_TIMEOUT

F = TypeVar("F", bound=Callable[..., Any])


def connection(timeout: float = DEFAULT_TIMEOUT) -> Callable[[F], F]:
    """Add --address and --timeout."""

    def decorate(function: F) -> F:
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


def version_choice(function: F) -> F:
    """Add --version and --label, which exclude each other."""
    function = click.option("--label", metavar="LABEL", help="The version that this label points at.")(function)
    return click.option(
        "--version",
        type=click.IntRange(min=1),
        metavar="NUMBER",
        help="A version. [default: the newest that is AVAILABLE]",
    )(function)
