"""A model's `maas.yaml`: every key optional, unknown ones refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Axis = Annotated[int, Field(ge=0, le=15)]
Version = Annotated[int, Field(ge=1, lt=2**63)]
Number = Annotated[int | float, Field(allow_inf_nan=False)]
# YAML has no tuples, so lists must pass for them in strict mode.
Buckets = Annotated[
    tuple[Annotated[int, Field(ge=1, le=1 << 30)], ...], Field(min_length=1, max_length=64, strict=False)
]
Shape = Annotated[tuple[Annotated[int, Field(ge=0, le=1 << 30)], ...], Field(max_length=16, strict=False)]
Versions = Annotated[tuple[Version, ...], Field(min_length=1, strict=False)]


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


class BatchingConfig(_Section):
    """How rows of several requests run together."""

    enabled: Literal["auto", True, False] = "auto"
    max_batch_size: Annotated[int, Field(ge=1, le=65536)] | None = None
    max_queue_delay_us: Annotated[int, Field(ge=0, le=60_000_000), BeforeValidator(_microseconds)] = 0
    max_queue_rows: Annotated[int, Field(ge=1, le=1 << 24)] | None = None
    max_request_rows: Annotated[int, Field(ge=1, le=1 << 24)] = 1024
    batch_axis: dict[str, Axis] | None = None


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
    batching: BatchingConfig = BatchingConfig()
    instances: Annotated[int, Field(ge=1, le=64)] = 1
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
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
    (ModelConfig, "padding"): PaddingConfig,
    (ModelConfig, "warmup"): WarmupConfig,
    (WarmupConfig, "inputs"): WarmupInput,
}
