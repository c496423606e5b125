"""The command line, `maas`. Commands are imported when they are called, so that `maas --help` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

import maas_server

# In the order of the help: command, its module below this package, and what it does.
_COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("serve", "Serve models over gRPC and HTTP."),
    "predict": ("predict", "Send one prediction and show the answer."),
    "status": ("status", "Show models and their versions, or one in detail."),
    "load": ("control", "Load a version, or what the model's version policy wants."),
    "unload": ("control", "Drain and unload a version, or all of them."),
    "label": ("control", "Point a label at a version, or remove it."),
    "check": ("check", "Validate a repository without serving it."),
    "bench": ("bench", "Put a model under load and measure."),
    "doctor": ("doctor", "Show what is installed for serving, and what to do about each gap."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is called, and not for the list of commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """Return the names of the commands, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command; None: there is no such command."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"maas_server.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; our errors become one message on standard error."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            # Only here: what the errors import takes longer than all of `maas --help`.
            from maas_server.cli.failures import to_failure
            from maas_server.errors import MaasError

            if isinstance(error, MaasError):
                raise to_failure(error) from error
            raise


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: maas serve models/ --grpc-port 8001",
)
@click.version_option(maas_server.__version__, prog_name="maas")
def main() -> None:
    """Serve models over gRPC and HTTP, and talk to a server that does."""
