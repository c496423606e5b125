"""Keeps the models of a repository loaded, routed and up to date.

Everything here runs on the event loop's thread. What is wanted comes from the repository's scans and from callers;
`lifecycle.next_actions` decides what to do about it, and the keeper does it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Literal

import structlog

from maas_server._stubs.tensorflow_serving import model_server_config_pb2
from maas_server.errors import InvalidRequest, LoadError, MaasError, NotAvailable, NotFound, Violation
from maas_server.models.catalog import Catalog, no_version
from maas_server.models.changes import Changes
from maas_server.models.config import LABEL_PATTERN
from maas_server.models.host import Host, Mode
from maas_server.models.keeper import Keeper
from maas_server.models.lifecycle import State
from maas_server.models.loader import Defaults
from maas_server.models.model_state import ModelState, Wishes
from maas_server.models.overrides import LoadOverrides
from maas_server.models.reload import first_problem
from maas_server.models.repository import Repository
from maas_server.models.runner import Runner
from maas_server.models.served import absolute_path, served_models
from maas_server.models.views import NOT_LOADED, ModelView, VersionView

__all__ = ["NOT_LOADED", "Control", "LoadOverrides", "ModelView", "Registry", "State", "VersionView"]

log = structlog.get_logger(__name__)

Control = Literal["poll", "explicit"]


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
        find_runner: Callable[[str], Runner] | None = None,
    ) -> None:
        """`poll_interval` in seconds; 0: scan only when asked to by `scan` (and by loads of unknown versions)."""
        self._poll_interval = poll_interval
        self._started = False
        self._initially_settled = False
        self._stopping = False
        self._polling: asyncio.Task[None] | None = None
        self._overriding = asyncio.Lock()
        self._override: asyncio.Task[ModelView] | None = None
        self._changes = Changes()
        self._keeper = Keeper(host, self._changes, defaults or Defaults(), find_runner, self._serving)
        self._catalog = Catalog(repository, host, self._keeper, self._changes.notify, follow_policy=control == "poll")

    async def start(self) -> None:
        """Scan for the first time and begin to load and to poll; `ready` tells when the first loads are done.

        Raises:
            ConfigError: the repository's path is no place for models.
        """
        await self.scan()
        if self._poll_interval > 0:
            self._polling = asyncio.create_task(self._poll(time.monotonic() + self._catalog.settle_limit()))
        else:
            self._begin()

    async def stop(self, timeout: float = 30.0) -> None:
        """Take every model out of the engine, answering what was accepted; wait at most `timeout` seconds."""
        self._stopping = True
        if self._polling is not None:
            self._polling.cancel()
        self._changes.notify()
        await self._keeper.stop(self._catalog.models.values(), timeout)
        self._catalog.stop()

    async def scan(self) -> None:
        """Look at the repository now and act on what changed.

        Raises:
            ConfigError: the repository cannot be read; everything stays as it is.
        """
        await self._catalog.scan()

    def ready(self) -> bool:
        """Whether the first scan is done, what it found was tried, and not everything that is wanted failed."""
        models = self._catalog.models.values()
        if self._started and not self._initially_settled:
            self._initially_settled = all(model.settled() for model in models)
        if not self._initially_settled:
            return False
        return any(model.available() for model in models) or not any(model.wants_anything() for model in models)

    def _serving(self) -> bool:
        """Whether callers may have come: what is loaded before has the machine for itself."""
        return self.ready() and any(model.available() for model in self._catalog.models.values())

    def rejected(self) -> tuple[tuple[str, str], ...]:
        """Return the paths in the repository that are no models or versions, and why."""
        return self._catalog.rejected

    def status(self, model: str = "", version: int = 0) -> tuple[ModelView, ...]:
        """Return all models, sorted by name, or one model, or one version of it.

        Raises:
            NotFound: the named model or version is not known.
            InvalidRequest: a version without a model.
        """
        if not model:
            if version:
                raise InvalidRequest(
                    "a version was named without a model", violations=[Violation("model", "required with version")]
                )
            return tuple(self._catalog.models[name].view() for name in sorted(self._catalog.models))
        view = self._model(model).view(version)
        if version and not view.versions:
            raise no_version(model, version)
        return (view,)

    def modes(self) -> Iterator[tuple[str, int, Mode]]:
        """Yield model, version and scheduling mode of all that is AVAILABLE."""
        for name, state in self._catalog.models.items():
            for version, slot in state.available().items():
                if slot.deployment is not None:
                    yield name, version, slot.deployment.mode()

    async def watch(self) -> AsyncIterator[None]:
        """Yield at once, then after each change; changes while the caller is busy are joined into one."""
        async for _ in self._changes.watch():
            yield

    async def load(self, model: str, version: int = 0, *, overrides: LoadOverrides | None = None) -> ModelView:
        """Load one version (0: what the version policy wants) and return when it is AVAILABLE.

        With `overrides` the model is loaded as they say, until it is loaded without or unloaded; without, as it is
        in the repository. Overrides that do not load leave everything as it was, also when their caller is gone.

        Raises:
            NotFound: no such model or version in the repository, also after looking again.
            LoadError: it did not load; the message says why.
            NotAvailable: its files are missing or still changing; or files came with the call, and the repository
                decides what is loaded.
            InvalidRequest: the overrides are wrong.
            ConfigError: the repository cannot be read, or the overriding configuration is wrong.
        """
        if overrides is None or overrides == LoadOverrides():
            await self._catalog.end_override(model)
            return await self._load(await self._catalog.find(model, version), version)
        # One at a time: each goes back to what it found, which must be something that was loaded.
        await self._overriding.acquire()
        self._override = asyncio.create_task(self._load_overridden(model, version, overrides))
        self._override.add_done_callback(self._on_overridden)
        return await asyncio.shield(self._override)

    def _on_overridden(self, task: asyncio.Task[ModelView]) -> None:
        self._overriding.release()
        if not task.cancelled():
            task.exception()  # Seen, also when its caller is gone.

    async def _load_overridden(self, model: str, version: int, overrides: LoadOverrides) -> ModelView:
        state, before = await self._catalog.override(model, overrides)
        override = state.override
        try:
            if version and version not in state.source.versions and not state.source.error:
                raise no_version(model, version)
            return await self._load(state, version)
        except MaasError:
            # Somebody may have unloaded the model meanwhile, or loaded it as it is in the repository.
            if state.override is override and self._catalog.models.get(model) is state:
                if before is None:
                    state.dismiss(0)
                state.restore(before or Wishes(None, {}, set()), self._catalog.on_disk.get(model))
                self._keeper.reconcile(state)
            raise

    async def _load(self, state: ModelState, version: int) -> ModelView:
        model = state.source.name
        if state.source.error:
            raise LoadError(f"model {model!r} cannot be loaded: {state.source.error}")
        versions = state.pin(version)
        if not versions:
            raise LoadError(f"model {model!r} has no version that its version policy wants")
        wanted = state.sources()
        self._keeper.reconcile(state)
        await self._changes.until(
            lambda: self._stopping or all(_is_done(state, each, wanted[each]) for each in versions)
        )
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
            raise no_version(model, version)
        if not version and state.override is not None:
            state.set_override(None, self._catalog.on_disk.get(model))
        versions = set(state.dismiss(version))
        self._keeper.reconcile(state)
        await self._changes.until(
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
                raise no_version(model, version)
            raise NotAvailable(
                f"a label moves only to an AVAILABLE version; {model}:{version} is {views[0].state.name}",
                reason="VERSION_NOT_AVAILABLE",
            )
        state.set_label(label, version)
        log.info("label_set", model=model, label=label, version=version)
        self._keeper.reconcile(state)
        return state.view()

    async def reload(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Serve exactly the models of `config` from now on, and return when what is new is AVAILABLE.

        Models that it does not name are unloaded. It holds until the next call, or until the models.config that the
        server was started with changes. A configuration that is refused changes nothing; one whose models do not
        load is in force.

        Raises:
            ConfigError: it is wrong.
            PermissionDenied: a base path lies where nothing may be served from.
            NotFound: a base path is not there, or a label's version.
            LoadError: a model did not load.
            NotAvailable: a label's version is not AVAILABLE.
        """
        models = served_models(config, "the configuration of the call", absolute_path)
        await self._catalog.serve(models)
        log.info("models_reloaded", models=[each.name for each in models])
        deadline = time.monotonic() + self._catalog.settle_limit()
        states = [self._catalog.models[each.name] for each in models if each.name in self._catalog.models]
        while any(each.source.settling for each in states) and time.monotonic() < deadline:
            await asyncio.sleep(self._catalog.settle_pause())
            await self.scan()
        await self._changes.until(lambda: self._stopping or all(each.settled() for each in states))
        if problem := first_problem(models, self._catalog.models):
            raise problem

    async def _poll(self, first_until: float) -> None:
        """Scan again and again; files that were written just before the start are waited for until `first_until`."""
        failing = ""
        while True:
            settling = self._catalog.settling()
            if not settling or time.monotonic() >= first_until:
                self._begin()
            pause = self._catalog.settle_pause() if settling else self._poll_interval
            await asyncio.sleep(min(pause, self._poll_interval))
            try:
                await self.scan()
                failing = ""
            # A share that is away for a while must not end the polling; what is loaded goes on serving.
            except (MaasError, OSError) as error:
                if str(error) != failing:
                    log.warning("scan_failed", reason=str(error))
                failing = str(error)
            # Nor must our own mistakes, which would leave a server that never again looks at the repository.
            except Exception as error:
                if repr(error) != failing:
                    log.error("scan_raised", exc_info=True)
                failing = repr(error)

    def _begin(self) -> None:
        """What was found by now is what the start waits for."""
        if not self._started:
            self._started = True
            self._changes.notify()

    def _model(self, name: str) -> ModelState:
        state = self._catalog.models.get(name)
        if state is None:
            raise NotFound(f"no model {name!r}", reason="MODEL_NOT_FOUND")
        return state


def _is_done(state: ModelState, version: int, key: str) -> bool:
    mine = [slot for slot in state.slots if slot.source.version == version and slot.key == key]
    # An older slot of the same source may be on its way out.
    return not mine or max(mine, key=lambda slot: slot.id).state in (State.AVAILABLE, State.END)
