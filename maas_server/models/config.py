"""A model's `maas.yaml`: every key optional, unknown ones refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from maas_server.models.instances import Instances, parse_instances
from maas_server.models.plan import QueuePlan, QueuePolicy

CONFIG_NAME = "maas.yaml"
DEFAULT_BUCKETS = (8, 16, 32, 64, 128, 256, 512)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)")
_MICROSECONDS = {"us": 1, "ms": 1000, "s": 1_000_000}
LABEL_PATTERN = r"^[0-9]*[A-Za-z._-][A-Za-z0-9._-]*$"  # Not only digits: those would read as a version.


def _microseconds(value: object) -> object:
    """Turn "2ms" into 2000; anything but a string is left to the type."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError('expected microseconds, or a duration such as "500us" or "2ms"')
    return round(float(match[1]) * _MICROSECONDS[match[2]])


def _deadline(value: object) -> object:
    """Turn "200ms" into 200000. A bare number says no unit, and only 0 needs none."""
    if isinstance(value, str):
        return _microseconds(value)
    if type(value) in (int, float) and value != 0:
        raise ValueError('expected a duration such as "200ms" or "2s"')
    return value


def _version_policy(value: object) -> object:
    """Accept `all`, and a bare list of versions, for the mappings that they stand for."""
    if value == "all":
        return {"all": True}
    if isinstance(value, list):
        return {"specific": value}
    return value


def _warmup_input(value: object) -> object:
    return {"value": value} if isinstance(value, (int, float)) else value


def _warmup(value: object) -> object:
    return {"enabled": value} if isinstance(value, bool) else value


def _level(value: object) -> object:
    """Turn "3" into 3: keys of a maas.yaml are text."""
    return int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,10}", value) else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Axis = Annotated[int, Field(ge=0, le=15)]
Version = Annotated[int, Field(ge=1, lt=2**63)]
Number = Annotated[int | float, Field(allow_inf_nan=False)]
# YAML has no tuples, so lists must pass for them in strict mode.
Buckets = Annotated[
    tuple[Annotated[int, Field(ge=1, le=1 << 30)], ...], Field(min_length=1, max_length=64, strict=False)
]
Level = Annotated[int, BeforeValidator(_level), Field(ge=1, le=1 << 32)]
Shape = Annotated[tuple[Annotated[int, Field(ge=0, le=1 << 30)], ...], Field(max_length=16, strict=False)]
Versions = Annotated[tuple[Version, ...], Field(min_length=1, strict=False)]


def _inside_folder(path: str) -> str:
    if "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError("expected a file in the model's folder")
    return path


LabelFile = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_inside_folder)]


class VersionPolicy(_Section):
    """Which versions are wanted: the newest so many, all, or the ones listed."""

    latest: Annotated[int, Field(ge=1)] | None = None
    all: Literal[True] | None = None
    specific: Versions | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> VersionPolicy:
        if sum(choice is not None for choice in (self.latest, self.all, self.specific)) != 1:
            raise ValueError("expected one of {latest: N}, all, or a list of versions")
        return self


class QueuePolicyConfig(_Section):
    """How long and how many requests of a priority level may wait; 0: no limit."""

    default_timeout_us: Annotated[int, Field(ge=0, le=86_400_000_000), BeforeValidator(_microseconds)] = 0
    allow_timeout_override: bool = False
    timeout_action: Literal["reject", "delay"] = "reject"
    max_queue_size: Annotated[int, Field(ge=0, le=1 << 32)] = 0

    def plan(self) -> QueuePolicy:
        """Return what it means to the queue."""
        return QueuePolicy(**self.model_dump())


class BatchingConfig(_Section):
    """How rows of several requests run together."""

    enabled: Literal["auto", True, False] = "auto"
    max_batch_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    max_queue_delay_us: Annotated[int, Field(ge=0, le=60_000_000), BeforeValidator(_microseconds)] = 0
    max_queue_rows: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    max_request_rows: Annotated[int, Field(ge=1, le=1 << 24)] = 1024
    batch_axis: dict[str, Axis] | None = None
    priority_levels: Annotated[int, Field(ge=0, le=1 << 32)] = 0
    default_priority: Annotated[int, Field(ge=0, le=1 << 32)] = 0
    queue_policy: QueuePolicyConfig = QueuePolicyConfig()
    priority_policies: Annotated[dict[Level, QueuePolicyConfig], Field(max_length=1024)] = {}
    preferred_batch_sizes: Annotated[
        tuple[Annotated[int, Field(ge=1, le=65536)], ...], Field(max_length=1024, strict=False)
    ] = ()

    @model_validator(mode="after")
    def _consistent(self) -> BatchingConfig:
        levels = self.priority_levels or 1
        if self.default_priority > levels:
            raise ValueError(f"default_priority: expected 1 to priority_levels, {levels}, got {self.default_priority}")
        if self.priority_policies and max(self.priority_policies) > levels:
            raise ValueError(
                f"priority_policies: expected levels from 1 to priority_levels, {levels}, "
                f"got {max(self.priority_policies)}"
            )
        largest = max(self.preferred_batch_sizes, default=1)
        if self.max_batch_size is not None and largest > self.max_batch_size:
            raise ValueError(
                f"preferred_batch_sizes: expected 1 to max_batch_size, {self.max_batch_size}, got {largest}"
            )
        return self

    def queue_plan(self) -> QueuePlan:
        """Return who goes first and which sizes a batch should have; what names no level is of the lowest."""
        levels = self.priority_levels or 1
        return QueuePlan(
            priority_levels=levels,
            default_priority=self.default_priority or levels,
            policy=self.queue_policy.plan(),
            priority_policies={level: policy.plan() for level, policy in self.priority_policies.items()},
            preferred_batch_sizes=tuple(sorted(set(self.preferred_batch_sizes))),
        )


class PaddingConfig(_Section):
    """Inputs whose rows differ in length along one axis and are rounded up to common lengths."""

    inputs: Annotated[dict[str, Axis], Field(min_length=1)]
    values: dict[str, Number] = {}
    value: Number = 0
    buckets: Buckets = DEFAULT_BUCKETS
    outputs: dict[str, Axis] | None = None
    mask: str | None = None
    lengths: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> PaddingConfig:
        if any(low >= high for low, high in zip(self.buckets, self.buckets[1:], strict=False)):
            raise ValueError("buckets must ascend")
        strangers = sorted(set(self.values) - set(self.inputs))
        if strangers:
            raise ValueError(f"values names {strangers[0]!r}, which inputs does not")
        return self


class WarmupInput(_Section):
    """Example values of one input for the runs at load."""

    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    shape: Shape | None = None
    """The sizes of one row: the batch axis is taken as 1 whatever it says."""

    @model_validator(mode="after")
    def _consistent(self) -> WarmupInput:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high go together")
        if self.low is not None and self.high is not None and (self.value is not None or self.low > self.high):
            raise ValueError("expected either value, or low <= high")
        return self


class WarmupConfig(_Section):
    """The runs at load: warm-up, the check of rows, and the measurement."""

    enabled: bool = True
    inputs: dict[str, Annotated[WarmupInput, BeforeValidator(_warmup_input)]] = {}


class ModelConfig(_Section):
    """All that a maas.yaml can say."""

    runner: Annotated[str, Field(min_length=1, max_length=128)] = "onnx"
    runner_options: dict[str, Any] = {}
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$")] = "model.onnx"
    versions: Annotated[VersionPolicy, BeforeValidator(_version_policy)] = VersionPolicy(latest=1)
    labels: dict[Annotated[str, Field(pattern=LABEL_PATTERN, max_length=128)], Version] = {}
    output_labels: dict[str, LabelFile] = {}
    batching: BatchingConfig = BatchingConfig()
    instances: Annotated[Instances, BeforeValidator(parse_instances)] = 1
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    default_deadline: Annotated[int, Field(ge=0, le=86_400_000_000), BeforeValidator(_deadline)] = 0
    weight: Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)] = 1.0
    padding: Annotated[tuple[PaddingConfig, ...], Field(max_length=16, strict=False)] = ()
    warmup: Annotated[WarmupConfig, BeforeValidator(_warmup)] = WarmupConfig()

    def load_key(self) -> str:
        """Return what a loaded version depends on: equal keys mean that nothing has to be loaded anew."""
        return self.model_dump_json(exclude={"versions", "labels"})


def known_keys(path: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the keys that may stand beside the one at `path`, for naming the closest one to an unknown key."""
    section: type[_Section] = ModelConfig
    for part in path[:-1]:
        found = _SECTIONS.get((section, str(part)))
        section = found or section
    return tuple(section.model_fields)


_SECTIONS: Mapping[tuple[type[_Section], str], type[_Section]] = {
    (ModelConfig, "versions"): VersionPolicy,
    (ModelConfig, "batching"): BatchingConfig,
    (BatchingConfig, "queue_policy"): QueuePolicyConfig,
    (BatchingConfig, "priority_policies"): QueuePolicyConfig,
    (ModelConfig, "padding"): PaddingConfig,
    (ModelConfig, "warmup"): WarmupConfig,
    (WarmupConfig, "inputs"): WarmupInput,
}
