"""`maas doctor`."""

from __future__ import annotations

import dataclasses
import json
import sys
from importlib import metadata

import click

from maas_server.devices.find import Machine, find
from maas_server.devices.report import Finding, examine
from maas_server.models.runner import ENTRY_POINT_GROUP

_COLORS = {"ok": "green", "note": "yellow", "problem": "red"}


@click.command(epilog="Example: maas doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print each finding as one line of JSON.")
def doctor(as_json: bool) -> None:
    """Show what is installed for serving, and what to do about each gap.

    A note is a gap that leaves something unused, such as a GPU. The exit code is 1 when there is a problem: what is
    installed cannot work. That there is no GPU is neither.
    """
    runners = tuple(sorted({entry.name for entry in metadata.entry_points(group=ENTRY_POINT_GROUP)}))
    findings = examine(find(Machine(), runners=runners))
    for finding in findings:
        click.echo(json.dumps(dataclasses.asdict(finding)) if as_json else _text(finding))
    sys.exit(1 if any(finding.status == "problem" for finding in findings) else 0)


def _text(finding: Finding) -> str:
    status = click.style(f"{finding.status:7}", fg=_COLORS[finding.status])
    remedy = f"\n{'':9}-> {finding.remedy}" if finding.remedy else ""
    return f"{status}  {finding.name}: {finding.found}{remedy}"
