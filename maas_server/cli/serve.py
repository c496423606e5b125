"""`maas serve`; its options are made from the settings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from maas_server.settings import CONFIG_VARIABLE, ENV_PREFIX, Settings, load_settings

F = TypeVar("F", bound=Callable[..., Any])

_METAVARS: dict[Any, str] = {
    "seconds": "DURATION",
    "bytes": "SIZE",
    "mapping": "JSON",
    "file": "FILE",
    int: "NUMBER",
    str: "TEXT",
}


class SettingOption(click.Option):
    """An option made from a setting; knows the heading that the help shows it under."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help shows the settings under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)) is not None:
                groups.setdefault(getattr(param, "group", "Options"), []).append(record)
        for name, records in sorted(groups.items(), key=lambda item: item[0] == "Options"):
            with formatter.section(name):
                formatter.write_dl(records)


def settings_options(function: F) -> F:
    """Add an option for each setting but `path`, which is the argument."""
    for name, field in reversed(Settings.model_fields.items()):
        if name != "path":
            option = _option(name, field)
            function = click.option(*option.pop("param_decls"), **option)(function)
    return function


def _option(name: str, field: FieldInfo) -> dict[str, Any]:
    flag = "--" + name.replace("_", "-")
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    unit = extra["unit"]
    common: dict[str, Any] = {
        "cls": SettingOption,
        "group": extra["group"],
        "default": None,
        "help": f"{field.description} [env: {ENV_PREFIX}{name.upper()}; default: {_default(field.default, unit)}]",
    }
    if field.annotation is bool:
        return {"param_decls": [f"{flag}/--no-{flag[2:]}"], **common}
    if get_origin(field.annotation) is Literal:
        return {"param_decls": [flag], "type": click.Choice(get_args(field.annotation)), **common}
    # Numbers are read by the settings, which say better what is wrong and what a unit may be.
    return {"param_decls": [flag], "type": str, "metavar": _METAVARS[unit or field.annotation], **common}


def _default(value: Any, unit: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if unit == "bytes":
        return f"{value >> 20}MiB"
    if value == "":
        return "none"
    return f"{value:g}s" if unit == "seconds" else str(value)


@click.command(
    cls=GroupedCommand,
    epilog="Example: maas serve models/ --host 0.0.0.0 --drain-delay 5s. A flag beats the environment, which beats "
    "the file of --config, which beats the default.",
)
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"A YAML file of settings, by their names with underscores. [env: {CONFIG_VARIABLE}]",
)
@settings_options
def serve(path: Path | None, config: Path | None, **flags: Any) -> None:
    """Serve models over gRPC and HTTP.

    PATH is a repository of models, one model's folder, one model file, or a models.config. [env: MAAS_PATH;
    default: models]
    """
    given = {name: value for name, value in {"path": path, **flags}.items() if value is not None}
    settings = load_settings(given, config)

    from maas_server.observe import logs
    from maas_server.server import run

    logs.configure(settings.log_format, settings.log_level)
    sys.exit(run(settings))
