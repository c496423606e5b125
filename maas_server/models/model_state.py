"""One model inside the registry: its source, its slots, its labels and what callers asked for. Loop thread only."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from maas_server.models.host import Counters, Deployment, Route
from maas_server.models.lifecycle import Action, Slot, State, failed_versions, next_actions, select_versions
from maas_server.models.loader import LoadedVersion
from maas_server.models.overrides import Override, PrivateFolder
from maas_server.models.sources import ModelSource, VersionSource
from maas_server.models.views import NOT_LOADED, ModelView, VersionView

# Ended versions that ModelStatus still tells of when their files are gone.
_KEPT_ENDINGS = 8

_ids = itertools.count(1)


@dataclass(slots=True, eq=False)
class LiveSlot:
    """A slot with everything that belongs to it."""

    source: VersionSource
    key: str
    origin: ModelSource
    """What the model said of itself when the slot was made."""
    id: int = field(default_factory=lambda: next(_ids))
    state: State = State.START
    failed: bool = False
    reason: str = ""
    since_unix_ms: int = 0
    loaded: LoadedVersion | None = None
    deployment: Deployment | None = None
    counters: Counters = field(default_factory=Counters)
    """The last ones, once the deployment is gone."""

    def enter(self, state: State, reason: str = "", *, failed: bool = False) -> None:
        """Move to `state`."""
        self.state = state
        self.reason = reason
        self.failed = failed
        self.since_unix_ms = time.time_ns() // 1_000_000

    def pure(self) -> Slot:
        """Return what the lifecycle decides by."""
        return Slot(self.id, self.source.version, self.key, self.state, self.failed)

    def view(self) -> VersionView:
        """Return what others may know."""
        deployment = self.deployment
        counters = deployment.counters() if deployment is not None else self.counters
        serving = deployment if self.state == State.AVAILABLE else None
        loaded = self.loaded
        if loaded is None:
            return VersionView(self.source.version, self.state, self.reason, self.failed, self.since_unix_ms)
        return VersionView(
            version=self.source.version,
            state=self.state,
            reason=self.reason,
            failed=self.failed,
            since_unix_ms=self.since_unix_ms,
            signature=loaded.signature,
            plan=loaded.plan,
            digest=loaded.digest,
            runner=loaded.description,
            counters=counters,
            scheduling=serving.scheduling() if serving is not None else None,
            platform=loaded.platform,
            max_batch_size=loaded.max_batch_size,
            triton_config=loaded.triton_config,
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What callers asked for."""

    override: Override | None
    pinned: dict[int, str]
    dismissed: set[int]


class ModelState:
    """What is wanted of one model and what there is of it."""

    def __init__(self, source: ModelSource, *, follow_policy: bool) -> None:
        """`follow_policy`: the version policy decides what is loaded; otherwise only callers do.

        Models that a models.config names follow theirs always.
        """
        self.source = source
        self.slots: list[LiveSlot] = []
        self.exists = True
        self.override: Override | None = None
        self._private: list[PrivateFolder] = []
        """Folders of calls whose files may still be read."""
        self._follows_anyway = follow_policy
        self._pinned: dict[int, str] = {}
        """Versions that callers asked for, with the source as it was then."""
        self._dismissed: set[int] = set()
        self._set_labels: dict[str, int] = {}
        self._removed_labels: set[str] = set()

    @property
    def _follow_policy(self) -> bool:
        return self._follows_anyway or self.source.named is not None

    def wishes(self) -> Wishes:
        """Return what callers asked for, to be restored if it comes to nothing."""
        return Wishes(self.override, dict(self._pinned), set(self._dismissed))

    def restore(self, wishes: Wishes, disk: ModelSource | None) -> None:
        """Ask again for what callers asked for before."""
        self.set_override(wishes.override, disk)
        self._pinned, self._dismissed = dict(wishes.pinned), set(wishes.dismissed)

    def forget_wishes(self) -> None:
        """Forget what callers asked for: from now on the model is as its source says."""
        self.override = None
        self._pinned.clear()
        self._dismissed.clear()
        self._set_labels.clear()
        self._removed_labels.clear()

    def set_override(self, override: Override | None, disk: ModelSource | None) -> None:
        """From now on serve what a call says in place of what is on `disk`; None: what is on disk again."""
        self.override = override
        if override is not None and override.folder is not None and override.folder not in self._private:
            self._private.append(override.folder)
        self.update(disk)

    def update(self, disk: ModelSource | None) -> bool:
        """Take what a scan found (None: the model is gone); True if anything changed."""
        source = disk if self.override is None else self.override.apply(self.source.name, disk)
        if source is None:
            changed, self.exists = self.exists, False
            if self._follow_policy:
                self._pinned.clear()
                self._dismissed.clear()
            return changed
        changed = not self.exists or source != self.source
        if changed and self._follow_policy and self._identity(source) != self._identity(self.source):
            # What callers asked for holds until the model itself changes.
            self._pinned.clear()
            self._dismissed.clear()
        if source.config.labels != self.source.config.labels:
            self._set_labels.clear()
            self._removed_labels.clear()
        self.source, self.exists = source, True
        return changed

    def sources(self) -> dict[int, str]:
        """Return, per version on disk, the identity of its files and configuration."""
        return self._identity(self.source)

    @staticmethod
    def _identity(source: ModelSource) -> dict[int, str]:
        key = source.load_key()
        return {version: f"{files.path}\n{files.fingerprint}\n{key}" for version, files in source.versions.items()}

    def wanted(self) -> dict[int, str]:
        """Return the versions to serve and the source of each."""
        if not self._follow_policy:
            return dict(self._pinned)
        if not self.exists:
            return {}
        sources = self.sources()
        chosen = self._by_policy(failed_versions([slot.pure() for slot in self.slots], sources))
        return {version: sources[version] for version in chosen - self._dismissed} | self._pinned

    def _by_policy(self, failed: Iterable[int]) -> frozenset[int]:
        labelled = self.desired_labels().values()
        return select_versions(self.source.config.versions, self.source.versions, set(failed), set(labelled))

    def actions(self) -> list[Action]:
        """Return what the lifecycle wants done now; nothing is started while the configuration is wrong."""
        slots = [slot.pure() for slot in self.slots]
        dismissed = self._dismissed - set(self._pinned)
        on_disk = self.exists and bool(self.source.versions or self.source.pending)
        if self.source.error and on_disk:
            serving = {slot.version: slot.source for slot in slots if slot.state == State.AVAILABLE}
            return next_actions(serving, slots, dismissed=dismissed, max_loading=0)
        # Without a policy files may come and go: what callers loaded stays until they unload it.
        return next_actions(self.wanted(), slots, exists=on_disk or not self._follow_policy, dismissed=dismissed)

    def start(self, version: int) -> LiveSlot | None:
        """Make a slot for a version; earlier ends of the version are forgotten. None: its files are gone meanwhile."""
        files = self.source.versions.get(version)
        if files is None:
            return None
        self.slots = [slot for slot in self.slots if slot.source.version != version or slot.state != State.END]
        slot = LiveSlot(files, self.wanted().get(version, self.sources()[version]), self.source)
        slot.enter(State.START)
        self.slots.append(slot)
        return slot

    def pin(self, version: int) -> list[int]:
        """Want a version (0: what the policy wants) as it is on disk now, also if it failed before; return which."""
        sources = self.sources()
        versions = [version] if version else sorted(self._by_policy(()))
        if not version:
            self._pinned.clear()
            self._dismissed.clear()
        for each in versions:
            self._dismissed.discard(each)
            if version or not self._follow_policy:
                self._pinned[each] = sources[each]
        self.slots = [
            slot
            for slot in self.slots
            if not (slot.failed and slot.source.version in versions and slot.key == sources[slot.source.version])
        ]
        return versions

    def dismiss(self, version: int) -> list[int]:
        """Want a version (0: all of them) no more; return which."""
        known = {slot.source.version for slot in self.slots} | set(self.source.versions)
        versions = [version] if version else sorted(known)
        for each in versions:
            self._pinned.pop(each, None)
            self._dismissed.add(each)
        for label, target in list(self._set_labels.items()):
            if target in versions:
                del self._set_labels[label]
        return versions

    def available(self) -> dict[int, LiveSlot]:
        """Return, per version, the newest AVAILABLE slot."""
        return {
            slot.source.version: slot
            for slot in sorted(self.slots, key=lambda slot: slot.id)
            if slot.state == State.AVAILABLE
        }

    def desired_labels(self) -> dict[str, int]:
        """Return the labels of the configuration, overlaid by those that callers set or removed."""
        labels = {**self.source.config.labels, **self._set_labels}
        return {label: version for label, version in labels.items() if label not in self._removed_labels}

    def set_label(self, label: str, version: int) -> None:
        """Point a label at a version; 0 removes it. Holds until the configuration's labels change."""
        if version:
            self._set_labels[label] = version
            self._removed_labels.discard(label)
        else:
            self._set_labels.pop(label, None)
            self._removed_labels.add(label)

    def route(self) -> Route | None:
        """Return who answers; None when the model is gone."""
        live = self.available()
        known = {slot.source.version for slot in self.slots} | set(self.source.versions if self.exists else ())
        if not known or not (live or self.exists):
            return None
        deployments = {version: slot.deployment for version, slot in live.items() if slot.deployment is not None}
        labels = {label: version for label, version in self.desired_labels().items() if version in deployments}
        return Route(deployments, labels, max(deployments, default=0), frozenset(known - set(deployments)))

    def settled(self) -> bool:
        """Whether every wanted version is AVAILABLE or failed."""
        if self.source.error or not self.exists:
            return True
        for version, key in self.wanted().items():
            mine = [slot for slot in self.slots if slot.source.version == version and slot.key == key]
            if not any(slot.state == State.AVAILABLE or slot.failed for slot in mine):
                return False
        return True

    def wants_anything(self) -> bool:
        """Whether something is wanted of this model, were it only possible."""
        return bool(self.wanted() or self.source.error or any(slot.failed for slot in self.slots))

    def take_unneeded(self) -> list[PrivateFolder]:
        """Return the folders of calls that nobody needs any more; they are the caller's to close."""
        needed = [slot.source.private for slot in self.slots if slot.state != State.END]
        if self.override is not None:
            needed.append(self.override.folder)
        unneeded = [each for each in self._private if each not in needed]
        self._private = [each for each in self._private if each in needed]
        return unneeded

    def forget_endings(self) -> None:
        """Drop ended slots whose files are gone, but for the last few."""
        on_disk = set(self.source.versions) if self.exists else set()
        gone = [slot for slot in self.slots if slot.state == State.END and slot.source.version not in on_disk]
        for slot in gone[: max(0, len(gone) - _KEPT_ENDINGS)]:
            self.slots.remove(slot)

    def remove_private_files(self) -> None:
        """Remove the files of calls, needed or not: the server ends."""
        while self._private:
            self._private.pop().close()

    def view(self, version: int = 0) -> ModelView:
        """Return what others may know, of all versions or of one."""
        views = {each: self._version_view(each) for each in {slot.source.version for slot in self.slots}}
        if self.exists:
            for each in self.source.versions.keys() - views.keys():
                views[each] = VersionView(each, State.END, NOT_LOADED)
            for each, why in self.source.pending.items():
                views.setdefault(each, VersionView(each, State.START, why))
        shown = [views[each] for each in sorted(views, reverse=True) if version in (0, each)]
        available = self.available()
        return ModelView(
            name=self.source.name,
            versions=tuple(shown),
            labels={label: target for label, target in self.desired_labels().items() if target in available},
            default_version=max(available, default=0),
            reason=self.source.error if self.exists else "its files are gone",
        )

    def _version_view(self, version: int) -> VersionView:
        """Return the view of a version's slot that matters most: the one that serves, else the newest."""
        mine = sorted((slot for slot in self.slots if slot.source.version == version), key=lambda slot: slot.id)
        serving = [slot for slot in mine if slot.state == State.AVAILABLE]
        if not serving:
            return next((slot for slot in reversed(mine) if slot.state != State.END), mine[-1]).view()
        view = serving[-1].view()
        if mine[-1].failed:
            view = replace(view, reason=f"its changed files do not load: {mine[-1].reason}")
        return view
