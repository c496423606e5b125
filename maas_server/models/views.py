"""What others may know of models: frozen pictures, as ModelStatus reports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from maas_server.models.host import Counters
from maas_server.models.lifecycle import State
from maas_server.models.plan import VersionPlan
from maas_server.models.runner import Signature


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version."""

    version: int
    state: State
    reason: str = ""
    """Why it ended, or what it waits for."""
    since_unix_ms: int = 0
    signature: Signature | None = None
    """None until it was loaded; so are the plan and the runner."""
    plan: VersionPlan | None = None
    digest: str = ""
    runner: str = ""
    counters: Counters = field(default_factory=Counters)


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
