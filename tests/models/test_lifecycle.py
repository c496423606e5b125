"""The policy as rows of literal snapshots."""

from __future__ import annotations

import pytest

from maas_server.models.config import VersionPolicy
from maas_server.models.lifecycle import (
    Action,
    Discard,
    Load,
    Slot,
    Start,
    State,
    Unload,
    failed_versions,
    next_actions,
    select_versions,
)

START, LOADING, AVAILABLE, UNLOADING, END = State.START, State.LOADING, State.AVAILABLE, State.UNLOADING, State.END


def slot(number: int, version: int, state: State, source: str = "a", *, failed: bool = False) -> Slot:
    return Slot(number, version, source, state, failed)


@pytest.mark.parametrize(
    ("policy", "on_disk", "failed", "labelled", "expected"),
    [
        (VersionPolicy(latest=1), {1, 2, 3}, set(), set(), {3}),
        (VersionPolicy(latest=2), {1, 2, 3}, set(), set(), {2, 3}),
        (VersionPolicy(latest=5), {1, 2}, set(), set(), {1, 2}),
        (VersionPolicy(latest=1), set(), set(), set(), set()),
        # A broken newest version leaves its place to the next one.
        (VersionPolicy(latest=1), {1, 2, 3}, {3}, set(), {2}),
        (VersionPolicy(latest=2), {1, 2, 3}, {2}, set(), {1, 3}),
        (VersionPolicy(all=True), {1, 2, 3}, {3}, set(), {1, 2, 3}),
        (VersionPolicy(specific=(1, 4)), {1, 2, 3}, set(), set(), {1}),
        # What a label points at is wanted as well, if it is there.
        (VersionPolicy(latest=1), {1, 2, 3}, set(), {1, 9}, {1, 3}),
    ],
)
def test_selects_versions(
    policy: VersionPolicy, on_disk: set[int], failed: set[int], labelled: set[int], expected: set[int]
) -> None:
    assert select_versions(policy, on_disk, failed, labelled) == expected


@pytest.mark.parametrize(
    ("wanted", "slots", "expected"),
    [
        # From nothing: one at a time, the newest first.
        ({1: "a"}, [], [Start(1)]),
        ({1: "a", 2: "a"}, [], [Start(2), Start(1)]),
        ({1: "a"}, [slot(1, 1, START)], [Load(1)]),
        ({1: "a", 2: "a"}, [slot(1, 1, START), slot(2, 2, START)], [Load(2)]),
        ({1: "a", 2: "a"}, [slot(1, 1, START), slot(2, 2, LOADING)], []),
        ({1: "a"}, [slot(1, 1, LOADING)], []),
        ({1: "a"}, [slot(1, 1, AVAILABLE)], []),
        # A new version takes over only once it is AVAILABLE.
        ({2: "a"}, [slot(1, 1, AVAILABLE)], [Start(2)]),
        ({2: "a"}, [slot(1, 1, AVAILABLE), slot(2, 2, LOADING)], []),
        ({2: "a"}, [slot(1, 1, AVAILABLE), slot(2, 2, AVAILABLE)], [Unload(1)]),
        ({2: "a"}, [slot(1, 1, UNLOADING), slot(2, 2, AVAILABLE)], []),
        # One that failed is left alone, and so is what serves instead.
        ({2: "a"}, [slot(1, 1, AVAILABLE), slot(2, 2, END, failed=True)], []),
        ({2: "b"}, [slot(1, 1, AVAILABLE), slot(2, 2, END, failed=True)], [Start(2)]),
        # Of several wanted, all are settled before anything goes.
        ({2: "a", 3: "a"}, [slot(1, 1, AVAILABLE), slot(2, 2, AVAILABLE), slot(3, 3, LOADING)], []),
        ({2: "a", 3: "a"}, [slot(1, 1, AVAILABLE), slot(2, 2, AVAILABLE), slot(3, 3, END, failed=True)], [Unload(1)]),
        # Back to an older version.
        ({1: "a"}, [slot(1, 2, AVAILABLE), slot(2, 1, AVAILABLE)], [Unload(1)]),
        # Replaced in place: only its own successor relieves it.
        ({1: "b"}, [slot(1, 1, AVAILABLE)], [Start(1)]),
        ({1: "b"}, [slot(1, 1, AVAILABLE), slot(2, 1, LOADING, "b")], []),
        ({1: "b"}, [slot(1, 1, AVAILABLE), slot(2, 1, END, "b", failed=True)], []),
        ({1: "b"}, [slot(1, 1, AVAILABLE), slot(2, 1, AVAILABLE, "b")], [Unload(1)]),
        # Changed its mind before loading began.
        ({2: "a"}, [slot(1, 1, START), slot(2, 2, AVAILABLE)], [Discard(1)]),
        # Wanted again after it ended or while it ends.
        ({1: "a"}, [slot(1, 1, END)], [Start(1)]),
        ({1: "a"}, [slot(1, 1, UNLOADING)], [Start(1)]),
        # Nothing wanted although there is something on disk: what serves stays.
        ({}, [slot(1, 1, AVAILABLE)], []),
    ],
)
def test_preserves_availability(wanted: dict[int, str], slots: list[Slot], expected: list[Action]) -> None:
    assert next_actions(wanted, slots) == expected


def test_everything_of_a_model_that_is_gone_ends() -> None:
    slots = [slot(1, 1, AVAILABLE), slot(2, 2, START), slot(3, 3, LOADING)]
    assert next_actions({}, slots, exists=False) == [Discard(2), Unload(1)]


def test_a_dismissed_version_ends_whatever_serves_in_its_place() -> None:
    slots = [slot(1, 1, AVAILABLE), slot(2, 2, END, failed=True)]
    assert next_actions({2: "a"}, slots, dismissed={1}) == [Unload(1)]


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        ([slot(1, 1, END, failed=True)], {1}),
        ([slot(1, 1, END)], set()),
        ([slot(1, 1, END, "old", failed=True)], set()),
        # Its earlier files still serve: it keeps its place.
        ([slot(1, 1, AVAILABLE, "old"), slot(2, 1, END, failed=True)], set()),
    ],
)
def test_knows_which_versions_failed(slots: list[Slot], expected: set[int]) -> None:
    assert failed_versions(slots, {1: "a"}) == expected
