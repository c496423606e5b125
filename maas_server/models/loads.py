"""Where the keeper has versions loaded: one at a time, each in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from maas_server.models.background import beside_background

log = structlog.get_logger(__name__)

T = TypeVar("T")

# How long the others wait for a load; one that hangs must not keep them for ever. Unit: seconds.
PATIENCE = 60.0


class Loads:
    """Says whose turn it is to load. Loop thread only.

    One at a time, because what a load measures is the process's: its memory, and how long runs take on all cores. One
    that outlasts the others' patience goes on beside the next.
    """

    def __init__(self, on_turn: Callable[[], None], *, patience: float = PATIENCE) -> None:
        """`on_turn` is called when `begin` may be called again after it was refused."""
        self._on_turn = on_turn
        self._patience = patience
        self._current: asyncio.TimerHandle | None = None

    def begin(self, what: str) -> asyncio.TimerHandle | None:
        """Take the turn; None if it is another's. What it returns is for `end`."""
        if self._current is not None:
            return None
        self._current = asyncio.get_running_loop().call_later(self._patience, self._lose_patience, what)
        return self._current

    def end(self, load: asyncio.TimerHandle) -> None:
        """The load is over, well or not."""
        load.cancel()
        if self._current is load:
            self._pass_turn()

    def _lose_patience(self, what: str) -> None:
        log.warning("load_slow", load=what, seconds=self._patience)
        self._pass_turn()

    def _pass_turn(self) -> None:
        self._current = None
        self._on_turn()

    async def run(self, work: Callable[[], T], *, quiet: bool) -> T:
        """Return what `work` does in a new thread. `quiet`: its priority is, or becomes, the lowest."""
        if not quiet:
            return await _in_thread(work)
        with beside_background():
            return await _in_thread(work)


def _in_thread(work: Callable[[], T]) -> Awaitable[T]:
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name="maas-load", daemon=True).start()
    return asyncio.wrap_future(future)
