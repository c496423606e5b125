"""Tries a repository without serving it: what would load, what would not, and what was inferred."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from maas_server.errors import LoadError
from maas_server.models.declared import wire_shapes
from maas_server.models.instances import count_instances
from maas_server.models.lifecycle import select_versions
from maas_server.models.loader import Defaults, load_version
from maas_server.models.plan import VersionPlan
from maas_server.models.repository import Repository
from maas_server.models.runner import Runner
from maas_server.models.sources import ModelSource
from maas_server.models.triton_config import TRITON_CONFIG_NAME
from maas_server.models.triton_model import TritonModel

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
        field = "configuration" if model.versions else "versions"
        yield Finding("error", model.name, 0, field, model.error)
        return
    yield from _describe_config(model)
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
            loaded = load_version(
                model.versions[version],
                model.config,
                folder=model.folder,
                triton=model.triton,
                defaults=defaults,
                find_runner=find_runner,
            )
        except LoadError as error:
            yield Finding("error", model.name, version, "load", error.message)
            continue
        loaded.runner.close()
        yield Finding("info", model.name, version, "runner", loaded.description)
        yield from _describe(loaded.plan)


def _describe_config(model: ModelSource) -> Iterator[Finding]:
    """Tell what was read of other servers' configurations, and what of it is not honoured."""
    if model.named is not None:
        text = f"serves {model.named.base_path}"
        if model.named.labels:
            text += "; labels " + ", ".join(f"{label}: {version}" for label, version in model.named.labels.items())
        yield Finding("info", model.name, 0, "models.config", text)
    if model.triton is not None:
        yield Finding("info", model.name, 0, TRITON_CONFIG_NAME, _triton_text(model, model.triton))
    for each in model.not_honoured():
        yield Finding("warning", model.name, 0, each.field, f"not honoured: {each.why}")


def _triton_text(model: ModelSource, triton: TritonModel) -> str:
    config = model.config
    parts = [
        f"max_batch_size {triton.max_batch_size}",
        f"{len(triton.inputs) or 'all'} inputs",
        f"{len(triton.outputs) or 'all'} outputs",
        f"{count_instances(config.instances)} instances",
    ]
    reshaped = wire_shapes((*triton.inputs, *triton.outputs))
    parts += [f"{name} reshaped from {list(shape)}" for name, shape in reshaped.items()]
    if config.batching.max_queue_delay_us:
        parts.append(f"queue delay {config.batching.max_queue_delay_us} us")
    if config.output_labels:
        parts.append("labels of " + ", ".join(config.output_labels))
    if triton.warmups:
        parts.append(f"{len(triton.warmups)} warm-up samples")
    return "read: " + ", ".join(parts)


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
