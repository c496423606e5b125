"""The models that there are: those of the repository's last scan, and those that calls brought.

Everything here runs on the event loop's thread; only what looks at files is done by a thread of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from maas_server.errors import InvalidRequest, NotAvailable, NotFound
from maas_server.models.host import Host
from maas_server.models.keeper import Keeper
from maas_server.models.lifecycle import State
from maas_server.models.model_state import ModelState, Wishes
from maas_server.models.overrides import LoadOverrides, make_override
from maas_server.models.reload import check_places
from maas_server.models.repository import Repository
from maas_server.models.served import ServedModel, is_model_name
from maas_server.models.sources import ModelSource, Snapshot

log = structlog.get_logger(__name__)


class Catalog:
    """Follows a repository, and tells the keeper which models changed."""

    def __init__(
        self, repository: Repository, host: Host, keeper: Keeper, notify: Callable[[], None], *, follow_policy: bool
    ) -> None:
        """`notify` is called after each scan. `follow_policy`: as for `ModelState`."""
        self.models: dict[str, ModelState] = {}
        self.on_disk: dict[str, ModelSource] = {}
        """What the last scan saw."""
        self.rejected: tuple[tuple[str, str], ...] = ()
        self._repository = repository
        self._host = host
        self._keeper = keeper
        self._notify = notify
        self._follow_policy = follow_policy
        self._told: dict[str, dict[str, str]] = {}
        self._lock = asyncio.Lock()
        self._files = ThreadPoolExecutor(1, "maas-scan")

    def stop(self) -> None:
        """Scan no more, and leave nothing behind."""
        for state in self.models.values():
            state.remove_private_files()
        self._files.shutdown(wait=False, cancel_futures=True)

    async def scan(self) -> None:
        """Look at the repository now and act on what changed.

        Raises:
            ConfigError: the repository cannot be read; everything stays as it is.
        """
        async with self._lock:
            loop = asyncio.get_running_loop()
            self._apply(await loop.run_in_executor(self._files, self._repository.scan))

    async def serve(self, models: Sequence[ServedModel]) -> None:
        """Let these be the repository's models, all of them, and forget what callers asked for.

        Raises:
            PermissionDenied: a base path lies where nothing may be served from.
            NotFound: a base path is not there, or a label's version.
        """
        loop = asyncio.get_running_loop()
        async with self._lock:
            await loop.run_in_executor(self._files, check_places, models, self._repository)
            await loop.run_in_executor(self._files, self._repository.serve, models)
            snapshot = await loop.run_in_executor(self._files, self._repository.scan)
            for name, state in self.models.items():
                state.forget_wishes()
                if name not in snapshot.models:
                    state.dismiss(0)
                    self._keeper.reconcile(state)
            self._apply(snapshot)

    async def find(self, model: str, version: int) -> ModelState:
        """Return the model once the version is visible; looks again while it is not, for as long as files settle.

        Raises:
            NotFound: there is none of that name and number.
            NotAvailable: its files are missing or still changing.
        """
        deadline = time.monotonic() + self.settle_limit()
        while True:
            await self.scan()
            state = self.models.get(model)
            if state is None or not state.exists:
                raise NotFound(f"no model {model!r} in the repository", reason="MODEL_NOT_FOUND")
            source = state.source
            waiting = version in source.pending if version else bool(source.pending)
            if not waiting or source.error or time.monotonic() >= deadline:
                break
            await asyncio.sleep(self.settle_pause())
        if source.error or (version in source.versions if version else source.versions):
            return state
        if waiting:
            why = source.pending[version or max(source.pending)]
            raise NotAvailable(f"{model}:{version or max(source.pending)}: {why}", reason="VERSION_NOT_COMPLETE")
        raise no_version(model, version)

    async def override(self, model: str, overrides: LoadOverrides) -> tuple[ModelState, Wishes | None]:
        """Put what a call brought in the place of what is on disk.

        Returns the model, and what callers had asked of it before; None: there was no such model.

        Raises:
            NotAvailable: files came, and the repository decides what is loaded.
            NotFound: there is no such model, and no files came.
            InvalidRequest: what came is wrong.
        """
        if overrides.files and self._follow_policy:
            raise NotAvailable("models come with calls only where callers decide what is loaded: --control explicit")
        if not is_model_name(model):
            raise InvalidRequest(f"model {model[:128]!r}: expected a name of at most 128 printable bytes")
        await self.scan()
        loop = asyncio.get_running_loop()
        override = await loop.run_in_executor(self._files, make_override, model, overrides, self.on_disk.get(model))
        # What is on disk now: another scan may have come between.
        disk = self.on_disk.get(model)
        source = override.apply(model, disk)
        if source is None:
            raise NotFound(f"no model {model!r} in the repository", reason="MODEL_NOT_FOUND")
        state = self.models.get(model)
        before = None if state is None else state.wishes()
        if state is None:
            state = self.models[model] = ModelState(source, follow_policy=self._follow_policy)
        state.set_override(override, disk)
        self._tell_not_honoured(state)
        return state, before

    async def end_override(self, model: str) -> None:
        """Put what is on disk back in its place.

        Raises:
            NotFound: nothing is.
        """
        state = self.models.get(model)
        if state is None or state.override is None:
            return
        await self.scan()
        if model not in self.on_disk:
            raise NotFound(f"no model {model!r} in the repository; it was loaded from a call", reason="MODEL_NOT_FOUND")
        state.set_override(None, self.on_disk[model])

    def settling(self) -> bool:
        """Whether something on disk will count as soon as it kept still for long enough."""
        return any(model.exists and model.source.settling for model in self.models.values())

    def settle_pause(self) -> float:
        """Return the seconds after which to look again while something settles."""
        return self._repository.settle / 4 + 0.01

    def settle_limit(self) -> float:
        """Return the seconds in which everything settles that keeps still."""
        return 2 * self._repository.settle + 1.0

    def _apply(self, snapshot: Snapshot) -> None:
        for path, why in set(snapshot.rejected) - set(self.rejected):
            log.warning("path_rejected", path=path, reason=why)
        self.rejected = snapshot.rejected
        self.on_disk = snapshot.models
        for name in snapshot.models.keys() | self.models.keys():
            self._apply_model(name, snapshot.models.get(name))
        self._notify()

    def _apply_model(self, name: str, source: ModelSource | None) -> None:
        state = self.models.get(name)
        if state is None:
            if source is None:
                return
            state = self.models[name] = ModelState(source, follow_policy=self._follow_policy)
            changed = True
        else:
            changed = state.update(source)
        if changed and source is not None:
            if source.error:
                log.warning("model_unusable", model=name, reason=source.error)
            self._tell_not_honoured(state)
        if changed:
            self._keeper.reconcile(state)
        if not state.exists and all(slot.state == State.END for slot in state.slots):
            self.models.pop(name, None)
            self._told.pop(name, None)
            self._host.route(name, None)
            log.info("model_removed", model=name)

    def _tell_not_honoured(self, state: ModelState) -> None:
        """Log once per model and configuration what of it has no effect."""
        name, fields = state.source.name, {each.field: each.why for each in state.source.not_honoured()}
        if fields and self._told.get(name) != fields:
            log.info("config_not_honoured", model=name, fields=fields)
        self._told[name] = fields


def no_version(model: str, version: int) -> NotFound:
    """Return the error for a version that a model does not have."""
    return NotFound(f"model {model!r} has no version {version}", reason="VERSION_NOT_FOUND")
