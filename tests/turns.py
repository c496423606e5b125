"""Turns of the event loop, for tests that look at what is done between two of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# More than anything that a test waits for needs one after the other: a read, a task that it starts, what that calls.
_TURNS_TO_REST = 20


async def turn() -> None:
    """Let the loop go round once: whatever could run when this was called has run until it waits.

    No time passes. So a test begins a task and then looks at what it waits for; and a fake that has to wait for
    nothing leaves the loop to others, as what it stands for would.
    """
    await asyncio.sleep(0)


async def until_still(seen: Callable[[], int]) -> int:
    """Let everything run that can, and return what `seen` counts when it does not change any more."""
    last = -1
    while last != seen():
        last = seen()
        for _ in range(_TURNS_TO_REST):
            await turn()
    return last
