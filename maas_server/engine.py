"""The engine as the rest of the server sees it: versions are deployed into it and routed to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from maas_server import _core
from maas_server.deployment import CoreDeployment
from maas_server.errors import InternalError
from maas_server.lane import CurrentRun
from maas_server.models.host import Deployment, Route
from maas_server.models.plan import VersionPlan
from maas_server.models.runner import Runner
from maas_server.settings import OTHER_TENANTS, TenantLimits


@dataclass(frozen=True, slots=True)
class SharedMemoryRegion:
    """A piece of POSIX shared memory that a client registered; sizes in bytes."""

    name: str
    key: str
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """What a tenant has in the server."""

    name: str
    """Empty: callers without a name; "(others)": those who came when there were too many."""
    weight: float
    rows_in_flight: int
    """Accepted, not answered."""
    rows: int
    """Accepted so far."""
    refused: int
    """Requests beyond its limits."""


class Engine:
    """Owns the core; implements `models.host.Host`. All methods may be called from any thread."""

    def __init__(
        self, *, cpus: int, tenants: Mapping[str, TenantLimits] | None = None, runs_yield: bool = False
    ) -> None:
        """`cpus`: how many the process may use at once. `tenants`: as in the settings.

        `runs_yield`: runs let the fronts have the CPU first where there is too little for both.
        """
        self.core = _core.Engine()
        self._cpus = cpus
        self._runs_yield = runs_yield
        # The only one there is: all versions run on the CPU.
        self._device = _core.Device(cpus)
        # By instance; each goes with its lane.
        self._current_runs: WeakValueDictionary[int, CurrentRun] = WeakValueDictionary()
        if tenants:
            by_name = {name: _policy(limits) for name, limits in tenants.items() if name != OTHER_TENANTS}
            self.core.set_tenants(_policy(tenants.get(OTHER_TENANTS, TenantLimits())), by_name)

    def deploy(self, plan: VersionPlan, runner: Runner) -> CoreDeployment:
        """Create the version's queue and start its runner threads."""
        deployment = CoreDeployment(plan, runner, device=self._device, cpus=self._cpus, yields=self._runs_yield)
        self._current_runs.update(deployment.current_runs())
        deployment.start()
        return deployment

    def end_runs(self, runs: Iterable[tuple[int, int]]) -> None:
        """End runs for which nobody waits any more, given by instance and number; those that are over are ignored."""
        for instance, number in runs:
            current = self._current_runs.get(instance)
            if current is not None:
                current.cancel(number)

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

    def tenants(self, most: int) -> Sequence[TenantUsage]:
        """Return what tenants of the settings, and others with something in flight, use; at most so many, by name."""
        return [TenantUsage(*each) for each in self.core.tenants(most)]

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


def _policy(limits: TenantLimits) -> _core.TenantPolicy:
    return _core.TenantPolicy(**limits.model_dump())


def _core_version(deployment: Deployment) -> Any:
    if not isinstance(deployment, CoreDeployment):
        raise InternalError(f"expected a deployment of this engine, got {type(deployment).__name__}")
    return deployment.core
