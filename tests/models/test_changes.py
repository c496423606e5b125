"""Who is told of changes, and how often."""

from __future__ import annotations

import asyncio

import pytest

from maas_server.models.changes import Changes, pause_after
from tests.turns import turn


async def test_changes_while_a_watcher_is_busy_are_joined() -> None:
    changes = Changes()
    watch = changes.watch()
    await anext(watch)
    for _ in range(3):
        changes.notify()
    await anext(watch)
    another = asyncio.ensure_future(anext(watch))
    done, _ = await asyncio.wait({another}, timeout=0.05)
    assert not done
    changes.notify()
    await another


@pytest.mark.parametrize(
    ("busy", "pause"),
    # A look at few models, at a thousand, and a caller that is slow to take what it is told.
    [(0.0, 0.0), (50e-6, 1e-3), (0.02, 0.4), (10.0, 0.5)],
)
def test_a_watcher_rests_in_proportion_to_its_work(busy: float, pause: float) -> None:
    assert pause_after(busy) == pytest.approx(pause)


async def test_until_looks_at_every_change() -> None:
    changes = Changes()
    seen = 0

    def third() -> bool:
        nonlocal seen
        seen += 1
        return seen == 3

    waiting = asyncio.ensure_future(changes.until(third))
    for _ in range(2):
        await turn()
        assert not waiting.done()
        changes.notify()
    await asyncio.wait_for(waiting, 1)
