"""Tells whoever waits that something changed. One event loop's thread only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

_PAUSE_RATIO = 20
# Unit: seconds.
_LONGEST_PAUSE = 0.5


def pause_after(busy: float) -> float:
    """Return how long a watcher that was busy with a change for some seconds waits for the next one."""
    return min(_PAUSE_RATIO * busy, _LONGEST_PAUSE)


class Changes:
    """A signal without content; changes that nobody was there to see are joined into one."""

    def __init__(self) -> None:
        self._count = 0
        self._next = asyncio.Event()
        """Set and replaced at each change."""

    def notify(self) -> None:
        """Something changed."""
        self._count += 1
        self._next.set()
        self._next = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition` holds; it is looked at now and after each change."""
        while not condition():
            await self._next.wait()

    async def watch(self) -> AsyncIterator[None]:
        """Yield at once, then after each change.

        A watcher that looks at all models after each change would make the start of a large repository quadratic, so
        the next change is shown after a pause as many times as long as the watcher was busy with the last one.
        """
        seen = -1
        while True:
            if seen == self._count:
                await self._next.wait()
            seen = self._count
            started = time.monotonic()
            yield
            busy = time.monotonic() - started
            await asyncio.sleep(pause_after(busy))
