"""How a version is to be served: the signature with its batching and padding decided.

Made by `models/loader.py` from signature, configuration and measurements; read by the engine, which hands it to the
core. Axes count from the front; None where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

AutoFill = Literal["none", "mask", "length"]


@dataclass(frozen=True, slots=True)
class InputPlan:
    """One input, as the core packs it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    batch_axis: int | None = None
    """None: shared by the rows of a batch; only requests with equal bytes in it run together."""
    pad_group: int | None = None
    """Index into `VersionPlan.pad_groups`."""
    pad_axis: int | None = None
    pad_value: float | int = 0
    auto_fill: AutoFill = "none"
    wire_shape: tuple[int, ...] | None = None
    """What clients send, where that is another shape: as many dimensions vary, in the same order."""


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """One output, as the core scatters it."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    sources: tuple[tuple[int, int] | None, ...]
    """Per dimension: (input, axis) that a varying size comes from; None: fixed, or not known before the run."""
    batch_axis: int | None = None
    pad_group: int | None = None
    pad_axis: int | None = None
    wire_shape: tuple[int, ...] | None = None
    """What clients get, where that is another shape."""
    any_shape: bool = False
    """Only the run tells rank and sizes: the file leaves them out, or the values of inputs decide."""
    labels: tuple[str, ...] = ()
    """Names of the classes that its elements stand for."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """T(n) and S(n) at one n."""

    rows: int
    seconds: float
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """How long and how many requests of a priority level may wait; 0: no limit."""

    default_timeout_us: int = 0
    allow_timeout_override: bool = False
    """Whether a request's own timeout, if shorter, takes its place."""
    timeout_action: Literal["reject", "delay"] = "reject"
    max_queue_size: int = 0
    """In requests."""


@dataclass(frozen=True, slots=True)
class QueuePlan:
    """Who goes first, and which sizes a batch should have."""

    priority_levels: int = 1
    """1 is the highest."""
    default_priority: int = 1
    policy: QueuePolicy = QueuePolicy()
    priority_policies: Mapping[int, QueuePolicy] = field(default_factory=dict)
    """Instead of `policy`, by level."""
    preferred_batch_sizes: tuple[int, ...] = ()
    """Ascending; those above `VersionPlan.max_batch_size` count for nothing."""


@dataclass(frozen=True, slots=True)
class VersionPlan:
    """All that the engine must know to serve one version."""

    model: str
    version: int
    inputs: tuple[InputPlan, ...]
    outputs: tuple[OutputPlan, ...]
    pad_groups: tuple[tuple[int, ...], ...] = ()
    """Per group: the lengths to round up to, ascending."""
    batching: bool = True
    batching_reason: str = ""
    """Why batching is off, or why padding is, when they are."""
    max_batch_size: int = 1
    max_request_rows: int = 1024
    max_queue_rows: int = 4096
    max_queue_delay_us: int = 0
    queue: QueuePlan = QueuePlan()
    instances: int = 1
    threads: int = 1
    """CPU threads of one run."""
    default_deadline_us: int = 0
    """Of requests that bring none; 0: these have none."""
    weight: float = 1.0
    """Of its share of the device's time, when several models want it."""
    curve: tuple[CurvePoint, ...] = field(default=())
    row_difference: float = -1.0
    """Largest relative difference between a row alone and in company, as checked at load; -1: not checked."""
