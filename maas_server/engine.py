"""The engine as the rest of the server sees it: versions are deployed into it and routed to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maas_server import _core
from maas_server.deployment import CoreDeployment
from maas_server.errors import InternalError
from maas_server.models.host import Deployment, Route
from maas_server.models.plan import VersionPlan
from maas_server.models.runner import Runner


@dataclass(frozen=True, slots=True)
class SharedMemoryRegion:
    """A piece of POSIX shared memory that a client registered; sizes in bytes."""

    name: str
    key: str
    offset: int
    byte_size: int


class Engine:
    """Owns the core; implements `models.host.Host`. All methods may be called from any thread."""

    def __init__(self, *, cpus: int) -> None:
        """`cpus`: how many the process may use at once; batching gathers only when they are scarce."""
        self.core = _core.Engine()
        self._cpus = cpus

    def deploy(self, plan: VersionPlan, runner: Runner) -> CoreDeployment:
        """Create the version's queue and start its runner threads."""
        deployment = CoreDeployment(plan, runner, cpus=self._cpus)
        deployment.start()
        return deployment

    def route(self, model: str, route: Route | None) -> None:
        """Replace who answers for `model`, atomically; None: the model is gone."""
        if route is None:
            self.core.drop_route(model)
            return
        self.core.set_route(
            model,
            versions={number: _core_version(deployment) for number, deployment in route.versions.items()},
            labels=dict(route.labels),
            default=route.default,
            known=set(route.known_versions),
        )

    def register_shared_memory(self, region: SharedMemoryRegion) -> None:
        """Open the region, so that requests may name it.

        Raises:
            CoreError: there is none, it is too small, or the name is taken.
        """
        self.core.register_shared_memory(region.name, region.key, region.offset, region.byte_size)

    def unregister_shared_memory(self, name: str = "") -> None:
        """Forget one region, or all of them; requests under way keep what they use."""
        if name:
            self.core.unregister_shared_memory(name)
        else:
            self.core.unregister_all_shared_memory()

    def shared_memory(self) -> Sequence[SharedMemoryRegion]:
        """Return what is registered, sorted by name."""
        return [SharedMemoryRegion(*each) for each in self.core.shared_memory()]


def _core_version(deployment: Deployment) -> Any:
    if not isinstance(deployment, CoreDeployment):
        raise InternalError(f"expected a deployment of this engine, got {type(deployment).__name__}")
    return deployment.core
