"""Keeps the models of a repository loaded, routed and up to date.

Everything here runs on the event loop's thread; scanning, loading and draining go to threads of their own, and what
to do next is decided by `lifecycle.next_actions` after each event.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import structlog

from maas_server.errors import InvalidRequest, LoadError, MaasError, NotAvailable, NotFound, Violation
from maas_server.models.config import LABEL_PATTERN
from maas_server.models.host import Deployment, Host
from maas_server.models.lifecycle import Discard, Load, Start, State, Unload
from maas_server.models.loader import Defaults, LoadedVersion, load_version
from maas_server.models.model_state import LiveSlot, ModelState
from maas_server.models.repository import ModelSource, Repository, Snapshot
from maas_server.models.runner import Runner
from maas_server.models.views import ModelView, VersionView

__all__ = ["Control", "ModelView", "Registry", "VersionView"]

log = structlog.get_logger(__name__)

Control = Literal["poll", "explicit"]

# An unload that takes longer is logged and waited for again: a runner is never closed under a run.
# The engine fails what still waits when the time is over, so it is long.
_DRAIN_ROUND = 600.0
# For a version that became AVAILABLE while the server stopped: nobody asked it anything.
_LATE_DRAIN = 5.0


class Registry:
    """The models of one repository.

    With control "poll" the version policies and the files decide what is loaded, and what callers load or unload
    holds until the files or the configuration of the model change. With "explicit" only callers decide.
    """

    def __init__(
        self,
        repository: Repository,
        host: Host,
        *,
        control: Control = "poll",
        poll_interval: float = 1.0,
        defaults: Defaults | None = None,
        default_threads: int = 1,
        find_runner: Callable[[str], Runner] | None = None,
    ) -> None:
        """`poll_interval` in seconds; 0: scan only when asked to by `scan` (and by loads of unknown versions)."""
        self._repository = repository
        self._host = host
        self._control = control
        self._poll_interval = poll_interval
        self._defaults = defaults or Defaults(threads=default_threads)
        self._find_runner = find_runner
        self._models: dict[str, ModelState] = {}
        self._rejected: tuple[tuple[str, str], ...] = ()
        self._scanned = False
        self._initially_settled = False
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._polling: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        """Set and replaced at each change."""
        self._changes = 0
        self._scan_lock = asyncio.Lock()
        self._scans = ThreadPoolExecutor(1, "maas-scan")
        self._loads = ThreadPoolExecutor(1, "maas-load")
        self._drains = ThreadPoolExecutor(32, "maas-drain")

    async def start(self) -> None:
        """Scan, begin to poll, and return when each version that was wanted first is AVAILABLE or failed.

        Raises:
            ConfigError: the repository's path is no place for models.
        """
        await self.scan()
        if self._poll_interval > 0:
            self._polling = self._spawn(self._poll())
        await self._until(lambda: self._initially_settled or self._stopping)

    async def stop(self, timeout: float = 30.0) -> None:
        """Take every model out of the engine, answering what was accepted; wait at most `timeout` seconds."""
        self._stopping = True
        if self._polling is not None:
            self._polling.cancel()
        deadline = time.monotonic() + timeout
        for name, model in self._models.items():
            for slot in list(model.available().values()):
                self._unload(model, slot, deadline)
            self._host.route(name, None)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=max(0.0, deadline - time.monotonic()))
        for pool in (self._scans, self._loads, self._drains):
            pool.shutdown(wait=False, cancel_futures=True)

    async def scan(self) -> None:
        """Look at the repository now and act on what changed.

        Raises:
            ConfigError: the repository cannot be read; everything stays as it is.
        """
        async with self._scan_lock:
            loop = asyncio.get_running_loop()
            snapshot = await loop.run_in_executor(self._scans, self._repository.scan)
            self._apply(snapshot)

    def ready(self) -> bool:
        """Whether the first scan is done, what it found was tried, and not everything that is wanted failed."""
        if not self._initially_settled:
            return False
        models = self._models.values()
        return any(model.available() for model in models) or not any(model.wants_anything() for model in models)

    def rejected(self) -> tuple[tuple[str, str], ...]:
        """Return the paths in the repository that are no models or versions, and why."""
        return self._rejected

    def status(self, model: str = "", version: int = 0) -> tuple[ModelView, ...]:
        """Return all models, sorted by name, or one model, or one version of it.

        Raises:
            NotFound: the named model or version is not known.
        """
        if not model:
            if version:
                raise InvalidRequest(
                    "a version was named without a model", violations=[Violation("model", "required with version")]
                )
            return tuple(self._models[name].view() for name in sorted(self._models))
        view = self._model(model).view(version)
        if version and not view.versions:
            raise _no_version(model, version)
        return (view,)

    async def watch(self) -> AsyncIterator[None]:
        """Yield at once, then after each change; changes while the caller is busy are joined into one."""
        seen = -1
        while True:
            if seen == self._changes:
                await self._changed.wait()
            seen = self._changes
            yield

    async def load(self, model: str, version: int = 0) -> ModelView:
        """Load one version (0: what the version policy wants) and return when it is AVAILABLE.

        Raises:
            NotFound: no such model or version in the repository, also after looking again.
            LoadError: it did not load; the message says why.
        """
        state = await self._find_on_disk(model, version)
        if state.source.error:
            raise LoadError(f"model {model!r} cannot be loaded: {state.source.error}")
        versions = state.pin(version)
        if not versions:
            raise LoadError(f"model {model!r} has no version that its version policy wants")
        wanted = state.sources()
        self._reconcile(state)
        await self._until(lambda: self._stopping or all(_is_done(state, each, wanted[each]) for each in versions))
        failures = [
            f"{model}:{slot.source.version}: {slot.reason}"
            for slot in state.slots
            if slot.failed and slot.source.version in versions and slot.key == wanted[slot.source.version]
        ]
        if failures:
            raise LoadError("; ".join(failures))
        missing = [each for each in versions if each not in state.available()]
        if missing:
            raise LoadError(f"{model}:{missing[0]} was unloaded again before it was AVAILABLE")
        return state.view()

    async def unload(self, model: str, version: int = 0) -> ModelView:
        """Drain and unload one version (0: all of them) and return when they ended.

        Raises:
            NotFound: no such model or version is known.
        """
        state = self._model(model)
        if version and not state.view(version).versions:
            raise _no_version(model, version)
        versions = set(state.dismiss(version))
        self._reconcile(state)
        await self._until(
            lambda: not any(slot.source.version in versions and slot.state != State.END for slot in state.slots)
        )
        return state.view()

    async def set_label(self, model: str, label: str, version: int) -> ModelView:
        """Point a label at a version; 0 removes it.

        Raises:
            InvalidRequest: the label is no name.
            NotFound: the model, the version or the label to remove is not known.
            NotAvailable: the version is not AVAILABLE.
        """
        if len(label) > 128 or not re.fullmatch(LABEL_PATTERN, label):
            text = "expected 1 to 128 letters, digits, '-', '_' and '.', not only digits"
            raise InvalidRequest(f"label {label[:128]!r}: {text}", violations=[Violation("label", text)])
        state = self._model(model)
        if not version and label not in state.desired_labels():
            raise NotFound(f"model {model!r} has no label {label!r}", reason="LABEL_NOT_FOUND")
        if version and version not in state.available():
            views = state.view(version).versions
            if not views:
                raise _no_version(model, version)
            raise NotAvailable(
                f"a label moves only to an AVAILABLE version; {model}:{version} is {views[0].state.name}",
                reason="VERSION_NOT_AVAILABLE",
            )
        state.set_label(label, version)
        log.info("label_set", model=model, label=label, version=version)
        self._reconcile(state)
        return state.view()

    async def _poll(self) -> None:
        failing = ""
        while True:
            await asyncio.sleep(self._poll_interval)
            try:
                await self.scan()
                failing = ""
            # A share that is away for a while must not end the polling; what is loaded goes on serving.
            except (MaasError, OSError) as error:
                if str(error) != failing:
                    log.warning("scan_failed", error=str(error))
                failing = str(error)

    def _apply(self, snapshot: Snapshot) -> None:
        for path, why in set(snapshot.rejected) - set(self._rejected):
            log.warning("path_rejected", path=path, reason=why)
        self._rejected = snapshot.rejected
        for name in snapshot.models.keys() | self._models.keys():
            source = snapshot.models.get(name)
            self._apply_model(name, source)
        self._scanned = True
        self._notify()

    def _apply_model(self, name: str, source: ModelSource | None) -> None:
        state = self._models.get(name)
        if state is None:
            if source is None:
                return
            state = self._models[name] = ModelState(source, follow_policy=self._control == "poll")
            changed = True
        else:
            changed = state.update(source)
        if changed and source is not None and source.error:
            log.warning("model_unusable", model=name, reason=source.error)
        if changed:
            self._reconcile(state)
        if not state.exists and all(slot.state == State.END for slot in state.slots):
            self._models.pop(name, None)
            self._host.route(name, None)
            log.info("model_removed", model=name)

    def _reconcile(self, model: ModelState) -> None:
        """Do what the lifecycle wants, until it wants nothing more now; then publish the routes."""
        while not self._stopping:
            actions = [action for action in model.actions() if self._act(model, action)]
            if not actions:
                break
        model.forget_endings()
        if not self._stopping:
            self._host.route(model.source.name, model.route())
        self._notify()

    def _act(self, model: ModelState, action: Start | Load | Unload | Discard) -> bool:
        """Begin an action; True if the states changed."""
        if isinstance(action, Start):
            return model.start(action.version) is not None
        slot = next(slot for slot in model.slots if slot.id == action.slot)
        if isinstance(action, Load):
            slot.enter(State.LOADING)
            self._spawn(self._load(model, slot))
        elif isinstance(action, Unload):
            self._unload(model, slot, None)
        else:
            slot.enter(State.END, "not wanted any more")
        return True

    async def _load(self, model: ModelState, slot: LiveSlot) -> None:
        loop = asyncio.get_running_loop()
        name, version = slot.source.model, slot.source.version
        log.info("version_loading", model=name, version=version)
        started = time.monotonic()
        try:
            loaded, deployment = await loop.run_in_executor(self._loads, self._load_and_deploy, model, slot)
        except MaasError as error:
            slot.enter(State.END, error.message, failed=True)
            log.error("version_failed", model=name, version=version, reason=error.message)
            self._reconcile(model)
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
        self._reconcile(model)

    def _load_and_deploy(self, model: ModelState, slot: LiveSlot) -> tuple[LoadedVersion, Deployment]:
        loaded = load_version(slot.source, model.source.config, defaults=self._defaults, find_runner=self._find_runner)
        try:
            return loaded, self._host.deploy(loaded.plan, loaded.runner)
        except MaasError:
            loaded.runner.close()
            raise
        except Exception as error:
            loaded.runner.close()
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
        self._notify()
        timeout = _DRAIN_ROUND if deadline is None else max(0.0, deadline - time.monotonic())
        while not await loop.run_in_executor(self._drains, deployment.drain, timeout):
            log.warning("drain_slow", model=name, version=version, pending=deployment.counters().pending)
            if deadline is not None and time.monotonic() >= deadline:
                return
        slot.counters, slot.deployment = deployment.counters(), None
        await loop.run_in_executor(self._drains, loaded.runner.close)
        slot.enter(State.END, "unloaded")
        log.info("version_unloaded", model=name, version=version)
        self._reconcile(model)

    async def _find_on_disk(self, model: str, version: int) -> ModelState:
        """Return the model once the version is visible; looks again while it is not, for as long as files settle."""
        deadline = time.monotonic() + 2 * self._repository.settle + 1.0
        while True:
            await self.scan()
            state = self._models.get(model)
            if state is None or not state.exists:
                raise NotFound(f"no model {model!r} in the repository", reason="MODEL_NOT_FOUND")
            source = state.source
            waiting = version in source.pending if version else bool(source.pending)
            if not waiting or source.error or time.monotonic() >= deadline:
                break
            await asyncio.sleep(min(0.1, self._repository.settle / 4 + 0.01))
        if source.error or (version in source.versions if version else source.versions):
            return state
        if waiting:
            why = source.pending[version or max(source.pending)]
            raise NotAvailable(f"{model}:{version or max(source.pending)}: {why}", reason="VERSION_NOT_COMPLETE")
        raise _no_version(model, version)

    def _model(self, name: str) -> ModelState:
        state = self._models.get(name)
        if state is None:
            raise NotFound(f"no model {name!r}", reason="MODEL_NOT_FOUND")
        return state

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    def _notify(self) -> None:
        if self._scanned and not self._initially_settled:
            self._initially_settled = all(model.settled() for model in self._models.values())
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _is_done(state: ModelState, version: int, key: str) -> bool:
    mine = [slot for slot in state.slots if slot.source.version == version and slot.key == key]
    return not mine or any(slot.state in (State.AVAILABLE, State.END) for slot in mine)


def _no_version(model: str, version: int) -> NotFound:
    return NotFound(f"model {model!r} has no version {version}", reason="VERSION_NOT_FOUND")
