"""Tells whoever waits that something changed. One event loop's thread only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable


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
        """Yield at once, then after each change."""
        seen = -1
        while True:
            if seen == self._count:
                await self._next.wait()
            seen = self._count
            yield
