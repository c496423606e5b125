"""How a command fails: one message on standard error, and an exit code."""

from __future__ import annotations

from typing import IO, Any

import click

from maas_server.errors import ConfigError, MaasError


class CommandFailed(click.ClickException):
    """One of our errors, as the command line shows it."""

    def __init__(self, error: MaasError) -> None:
        super().__init__(error.message)
        self._error = error

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message, its status code, and the fields at fault."""
        error = self._error
        head = "" if isinstance(error, ConfigError) else f" ({error.reason})"
        click.echo(f"Error: {error.message}{head}", file=file, err=True)
        for violation in error.violations:
            click.echo(f"  {violation.field}: {violation.description}", file=file, err=True)
        if error.retry_after is not None:
            click.echo(f"  retry after {error.retry_after:g} s", file=file, err=True)


class SettingsWrong(CommandFailed):
    """Wrong settings are wrong usage, whether they came by flag, environment or file."""

    exit_code = 2


def to_failure(error: MaasError) -> CommandFailed:
    """Return what the command line raises for `error`."""
    return SettingsWrong(error) if isinstance(error, ConfigError) else CommandFailed(error)
