"""`maas check`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from pathlib import Path

import click

from maas_server.models.check import Finding, check_repository
from maas_server.observe import logs

_COLORS = {"error": "red", "warning": "yellow", "info": "green"}


@click.command(epilog="Example: maas check models/ && maas serve models/")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print each finding as one line of JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors and warnings only.")
def check(path: Path, as_json: bool, quiet: bool) -> None:
    """Validate a repository without serving it.

    PATH is what `maas serve` would be given. Every version that would be served is loaded, warmed up and measured.
    The exit code is 1 when one could not be served.
    """
    logs.configure(level="warning")
    counts: Counter[str] = Counter()
    for finding in check_repository(path):
        counts[finding.severity] += 1
        if as_json:
            click.echo(json.dumps(dataclasses.asdict(finding)))
        elif not quiet or finding.severity != "info":
            click.echo(_text(finding))
    if not as_json:
        click.echo(f"{_number(counts['error'], 'error')}, {_number(counts['warning'], 'warning')}")
    sys.exit(1 if counts["error"] else 0)


def _text(finding: Finding) -> str:
    severity = click.style(f"{finding.severity:7}", fg=_COLORS[finding.severity])
    version = f":{finding.version}" if finding.version else ""
    about = f"{finding.model}{version}  " if finding.model else ""
    return f"{severity}  {about}{finding.field}: {finding.message}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
