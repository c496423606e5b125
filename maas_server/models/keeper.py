"""Carries out what the lifecycle decides: loads, routes, drains and closes, with the slow parts in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from maas_server.errors import LoadError, MaasError
from maas_server.models.changes import Changes
from maas_server.models.host import Deployment, Host
from maas_server.models.lifecycle import Discard, Load, Start, State, Unload
from maas_server.models.loader import Defaults, LoadedVersion, close_runner, load_version
from maas_server.models.loads import Loads
from maas_server.models.model_state import LiveSlot, ModelState
from maas_server.models.runner import Runner

log = structlog.get_logger(__name__)

# An unload that takes longer is logged and waited for again: a runner is never closed under a run.
_DRAIN_ROUND = 30.0
# For a version that became AVAILABLE while the server stopped: nobody asked it anything.
_LATE_DRAIN = 5.0


class Keeper:
    """Brings models to where they should be. Loop thread only; loads one version at a time."""

    def __init__(
        self,
        host: Host,
        changes: Changes,
        defaults: Defaults,
        find_runner: Callable[[str], Runner] | None,
        serving: Callable[[], bool],
    ) -> None:
        """`changes` hears of every transition. `serving`: whether there is anybody whom a load could disturb."""
        self._host = host
        self._changes = changes
        self._defaults = defaults
        self._find_runner = find_runner
        self._serving = serving
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loads = Loads(self._on_turn)
        self._waiting: dict[ModelState, None] = {}
        """Models that have something to load when it is their turn, in order."""
        self._deploys = ThreadPoolExecutor(1, "maas-deploy")
        self._drains = ThreadPoolExecutor(32, "maas-drain")

    async def stop(self, models: Iterable[ModelState], timeout: float) -> None:
        """Route away from and drain everything; wait at most `timeout` seconds. Nothing is started any more."""
        self._stopping = True
        deadline = time.monotonic() + timeout
        for model in models:
            for slot in list(model.available().values()):
                self._unload(model, slot, deadline)
            self._host.route(model.source.name, None)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=max(0.0, deadline - time.monotonic()))
        for pool in (self._deploys, self._drains):
            pool.shutdown(wait=False, cancel_futures=True)

    def reconcile(self, model: ModelState) -> None:
        """Do what the lifecycle wants, until it wants nothing more now; then publish the routes."""
        while not self._stopping:
            actions = [action for action in model.actions() if self._act(model, action)]
            if not actions:
                break
        model.forget_endings()
        if not self._stopping:
            for folder in model.take_unneeded():
                self._drains.submit(folder.close)
            self._host.route(model.source.name, model.route())
        self._changes.notify()

    def _act(self, model: ModelState, action: Start | Load | Unload | Discard) -> bool:
        """Begin an action; True if the states changed."""
        if isinstance(action, Start):
            return model.start(action.version) is not None
        slot = next(slot for slot in model.slots if slot.id == action.slot)
        if isinstance(action, Load):
            load = self._loads.begin(f"{slot.source.model}:{slot.source.version}")
            if load is None:
                self._waiting[model] = None
                return False
            slot.enter(State.LOADING)
            self._spawn(self._load(model, slot, load))
        elif isinstance(action, Unload):
            self._unload(model, slot, None)
        else:
            slot.enter(State.END, "not wanted any more")
        return True

    def _on_turn(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for model in waiting:
            self.reconcile(model)

    async def _load(self, model: ModelState, slot: LiveSlot, load: asyncio.TimerHandle) -> None:
        try:
            await self._bring_up(model, slot)
        finally:
            self._loads.end(load)
        self.reconcile(model)

    async def _bring_up(self, model: ModelState, slot: LiveSlot) -> None:
        loop = asyncio.get_running_loop()
        name, version = slot.source.model, slot.source.version
        log.info("version_loading", model=name, version=version)
        started = time.monotonic()
        quiet = self._serving()
        try:
            loaded = await self._loads.run(lambda: self._load_version(slot, quiet), quiet=quiet)
            # Not in the load's thread: its priority would be that of the threads that run the model.
            deployment = await loop.run_in_executor(self._deploys, self._deploy, loaded, slot)
        except MaasError as error:
            slot.enter(State.END, error.message, failed=True)
            log.error("version_failed", model=name, version=version, reason=error.message)
            return
        slot.loaded, slot.deployment = loaded, deployment
        slot.enter(State.AVAILABLE)
        plan = loaded.plan
        log.info(
            "version_available",
            model=name,
            version=version,
            seconds=round(time.monotonic() - started, 3),
            batching=plan.batching,
            max_batch_size=plan.max_batch_size,
            **({"reason": plan.batching_reason} if plan.batching_reason else {}),
        )
        if self._stopping:
            await self._drain(model, slot, time.monotonic() + _LATE_DRAIN)

    def _load_version(self, slot: LiveSlot, quiet: bool) -> LoadedVersion:
        return load_version(
            slot.source,
            slot.origin.config,
            folder=slot.origin.folder,
            triton=slot.origin.triton,
            defaults=self._defaults,
            find_runner=self._find_runner,
            quiet=quiet,
        )

    def _deploy(self, loaded: LoadedVersion, slot: LiveSlot) -> Deployment:
        try:
            return self._host.deploy(loaded.plan, loaded.runner)
        except MaasError:
            close_runner(loaded.runner, slot.source)
            raise
        except Exception as error:
            close_runner(loaded.runner, slot.source)
            log.warning("deploy_raised", model=slot.source.model, version=slot.source.version, exc_info=True)
            raise LoadError(f"the engine cannot take it: {type(error).__name__}: {error}") from error

    def _unload(self, model: ModelState, slot: LiveSlot, deadline: float | None) -> None:
        slot.enter(State.UNLOADING)
        self._host.route(model.source.name, model.route())
        self._spawn(self._drain(model, slot, deadline))

    async def _drain(self, model: ModelState, slot: LiveSlot, deadline: float | None) -> None:
        """Drain a slot that nothing is routed to; past `deadline` its runner is left as it is."""
        loop = asyncio.get_running_loop()
        name, version = slot.source.model, slot.source.version
        deployment, loaded = slot.deployment, slot.loaded
        assert deployment is not None, "only AVAILABLE slots are drained"
        assert loaded is not None
        if slot.state != State.UNLOADING:
            slot.enter(State.UNLOADING)
        self._changes.notify()
        timeout = _DRAIN_ROUND if deadline is None else max(0.0, deadline - time.monotonic())
        while not await loop.run_in_executor(self._drains, deployment.drain, timeout):
            log.warning("drain_slow", model=name, version=version, pending=deployment.counters().pending)
            if deadline is not None and time.monotonic() >= deadline:
                return
        slot.counters, slot.deployment = deployment.counters(), None
        await loop.run_in_executor(self._drains, close_runner, loaded.runner, slot.source)
        slot.enter(State.END, "unloaded")
        log.info("version_unloaded", model=name, version=version)
        self.reconcile(model)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
