"""Tries a repository without serving it: what would load, what would not, and what was inferred."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maas_server.errors import LoadError
from maas_server.models.lifecycle import select_versions
from maas_server.models.loader import Defaults, load_version
from maas_server.models.plan import VersionPlan
from maas_server.models.repository import ModelSource, Repository
from maas_server.models.runner import Runner

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found."""

    severity: Severity
    model: str
    """Empty: about the repository."""
    version: int
    """0: about the model."""
    field: str
    """What it is about: a path, a key of maas.yaml, or a part of what was inferred."""
    message: str


def check_repository(
    path: Path, *, defaults: Defaults | None = None, find_runner: Callable[[str], Runner] | None = None
) -> Iterator[Finding]:
    """Load every version that would be served, one after the other, and tell what comes of it. Blocks.

    Files are taken as they are, without waiting for them to settle.

    Raises:
        ConfigError: the path is no place for models.
    """
    snapshot = Repository(path, settle=0.0).scan()
    for where, why in snapshot.rejected:
        yield Finding("warning", "", 0, where, why)
    if not snapshot.models:
        yield Finding("error", "", 0, str(path), "there is no model")
    for model in snapshot.models.values():
        yield from _check_model(model, defaults or Defaults(), find_runner)


def _check_model(
    model: ModelSource, defaults: Defaults, find_runner: Callable[[str], Runner] | None
) -> Iterator[Finding]:
    if model.error:
        yield Finding("error", model.name, 0, "maas.yaml" if model.versions else "versions", model.error)
        return
    for version, why in model.pending.items():
        yield Finding("warning", model.name, version, "files", why)
    labels = model.config.labels
    for label, version in labels.items():
        if version not in model.versions:
            yield Finding("warning", model.name, version, f"labels.{label}", "there is no such version")
    wanted = select_versions(model.config.versions, model.versions, (), labels.values())
    if not wanted:
        yield Finding("error", model.name, 0, "versions", "the version policy wants none of the versions there are")
    for version in sorted(wanted, reverse=True):
        try:
            loaded = load_version(model.versions[version], model.config, defaults=defaults, find_runner=find_runner)
        except LoadError as error:
            yield Finding("error", model.name, version, "load", error.message)
            continue
        loaded.runner.close()
        yield Finding("info", model.name, version, "runner", loaded.description)
        yield from _describe(loaded.plan)


def _describe(plan: VersionPlan) -> Iterator[Finding]:
    def finding(severity: Severity, field: str, message: str) -> Finding:
        return Finding(severity, plan.model, plan.version, field, message)

    axes = [f"{info.name}: {info.batch_axis}" for info in plan.inputs if info.batch_axis is not None]
    if axes:
        yield finding("info", "batch axis", ", ".join(axes))
    if plan.batching:
        checked = (
            f"rows differ by {plan.row_difference:.2g} at most" if plan.row_difference >= 0 else "rows not checked"
        )
        yield finding("info", "batching", f"on, up to {plan.max_batch_size} rows; {checked}")
        if plan.batching_reason:
            yield finding("warning", "padding", plan.batching_reason)
    else:
        yield finding("warning", "batching", f"off: {plan.batching_reason}")
    for number, buckets in enumerate(plan.pad_groups):
        names = [f"{info.name}: {info.pad_axis}" for info in plan.inputs if info.pad_group == number]
        yield finding("info", f"padding.{number}", f"{', '.join(names)} to {', '.join(map(str, buckets))}")
    if plan.curve:
        last = plan.curve[-1]
        text = f"{plan.curve[0].seconds * 1e3:.3g} ms for 1 row"
        more = f", {last.seconds * 1e3:.3g} ms for {last.rows}" if last.rows > 1 else ""
        yield finding("info", "latency", text + more)
