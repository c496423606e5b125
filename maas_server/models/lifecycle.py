"""Which versions are wanted, and what to do next about them: pure functions from states to actions.

The policy preserves availability: what serves goes on serving until what is wanted is AVAILABLE in its place. A
version that failed is left alone until its files or configuration change.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from maas_server.models.config import VersionPolicy


class State(enum.IntEnum):
    """States of a version, numbered as in maas.v1.VersionState.

    Valid transitions: START -> LOADING -> AVAILABLE -> UNLOADING -> END, and START or LOADING -> END.
    """

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True, slots=True)
class Slot:
    """One generation of a version: what was made, or is being made, of one state of its files."""

    id: int
    """Ascending in order of creation."""
    version: int
    source: str
    """Identity of the files and configuration that it is made from."""
    state: State
    failed: bool = False
    """At END because it could not be loaded."""


@dataclass(frozen=True, slots=True)
class Start:
    """Make a new slot for a version from its present source."""

    version: int


@dataclass(frozen=True, slots=True)
class Load:
    """Load a slot that is at START."""

    slot: int


@dataclass(frozen=True, slots=True)
class Unload:
    """Route requests away from an AVAILABLE slot, drain it and end it."""

    slot: int


@dataclass(frozen=True, slots=True)
class Discard:
    """End a slot at START that nobody wants any more."""

    slot: int


Action = Start | Load | Unload | Discard


def select_versions(
    policy: VersionPolicy, on_disk: Collection[int], failed: Collection[int], labelled: Collection[int]
) -> frozenset[int]:
    """Return the versions that a policy wants of those on disk.

    The newest N are the newest N that did not fail, so that a broken newest version costs nothing but itself, also
    after a restart. A version that a label points at is wanted as well.
    """
    if policy.all:
        wanted = set(on_disk)
    elif policy.specific is not None:
        wanted = set(policy.specific) & set(on_disk)
    else:
        usable = sorted(set(on_disk) - set(failed), reverse=True)
        wanted = set(usable[: policy.latest or 1])
    return frozenset(wanted | (set(labelled) & set(on_disk)))


def failed_versions(slots: Sequence[Slot], sources: Mapping[int, str]) -> frozenset[int]:
    """Return the versions whose present source is known not to load, and of which no earlier source serves either."""
    serving = {slot.version for slot in slots if slot.state == State.AVAILABLE}
    return frozenset(
        slot.version
        for slot in slots
        if slot.failed and sources.get(slot.version) == slot.source and slot.version not in serving
    )


def next_actions(
    wanted: Mapping[int, str],
    slots: Sequence[Slot],
    *,
    exists: bool = True,
    dismissed: Collection[int] = (),
    max_loading: int = 1,
) -> list[Action]:
    """Return what to do now.

    `wanted` maps versions to the source that they are to be made from; `dismissed` versions end at once, whatever
    serves in their place, and so does everything of a model that no longer `exists`. The newest versions load first.
    """
    actions: list[Action] = []
    current = {(slot.version, slot.source): slot for slot in slots if slot.state < State.UNLOADING or slot.failed}
    for version in sorted(wanted, reverse=True):
        if (version, wanted[version]) not in current:
            actions.append(Start(version))
    loading = sum(slot.state == State.LOADING for slot in slots)
    for slot in sorted(slots, key=lambda slot: slot.version, reverse=True):
        if slot.state != State.START:
            continue
        if wanted.get(slot.version) != slot.source:
            actions.append(Discard(slot.id))
        elif loading < max_loading:
            actions.append(Load(slot.id))
            loading += 1
    actions += [Unload(slot.id) for slot in slots if _may_unload(slot, wanted, slots, exists, dismissed)]
    return actions


def _may_unload(
    slot: Slot, wanted: Mapping[int, str], slots: Sequence[Slot], exists: bool, dismissed: Collection[int]
) -> bool:
    if slot.state != State.AVAILABLE or wanted.get(slot.version) == slot.source:
        return False
    if slot.version in dismissed or not exists:
        return True
    if slot.version in wanted:
        # Replaced in place: only its own successor relieves it.
        return _is_available(slot.version, wanted[slot.version], slots)
    settled = all(_is_settled(version, source, slots) for version, source in wanted.items())
    return settled and any(_is_available(version, source, slots) for version, source in wanted.items())


def _is_available(version: int, source: str, slots: Sequence[Slot]) -> bool:
    return any(slot.version == version and slot.source == source and slot.state == State.AVAILABLE for slot in slots)


def _is_settled(version: int, source: str, slots: Sequence[Slot]) -> bool:
    return _is_available(version, source, slots) or any(
        slot.version == version and slot.source == source and slot.failed for slot in slots
    )
