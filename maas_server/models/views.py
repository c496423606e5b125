"""What others may know of models: frozen pictures, as ModelStatus reports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from maas_server.models.host import Counters, Scheduling
from maas_server.models.lifecycle import State
from maas_server.models.plan import VersionPlan
from maas_server.models.runner import Signature

NOT_LOADED = "not loaded"


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version."""

    version: int
    state: State
    reason: str = ""
    """Why it ended, or what it waits for."""
    failed: bool = False
    """At END because it could not be loaded."""
    since_unix_ms: int = 0
    signature: Signature | None = None
    """None until it was loaded; so are the plan and the runner."""
    plan: VersionPlan | None = None
    digest: str = ""
    runner: str = ""
    counters: Counters = field(default_factory=Counters)
    scheduling: Scheduling | None = None
    """None unless it is AVAILABLE."""
    platform: str = ""
    """As Triton calls it: "onnxruntime_onnx", or the name of another package's runner."""
    max_batch_size: int = 0
    """Above 0: the first dimension of every tensor counts rows, and Triton's clients leave it out of a shape."""
    triton_config: bytes = b""
    """The inference.ModelConfig that was read from a config.pbtxt; empty: none was."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model."""

    name: str
    versions: tuple[VersionView, ...] = ()
    """Newest first."""
    labels: Mapping[str, int] | None = None
    default_version: int = 0
    """0: no version is AVAILABLE."""
    reason: str = ""
    """Why its folder or configuration cannot be used."""
