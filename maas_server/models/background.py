"""Work that takes nothing from what is served, as threads of loads.py do it while others serve.

Why and how: docs/adr/0012-loading-in-the-background.md.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import TypeVar

from maas_server import _core

T = TypeVar("T")

# Costs less than 1 % of a processor.
_WAKE_EVERY_US = 250


class Background:
    """Low priority for the thread that enters this, and a thread of the usual one for what must not have it.

    There is no way back without privileges, so the thread that enters is to end soon after it leaves.
    """

    def __init__(self) -> None:
        """Nothing is changed yet."""
        self._usual = ThreadPoolExecutor(1, "maas-load-usual")

    def __enter__(self) -> Background:
        # Threads are started as the one that starts them is: this one before.
        self._usual.submit(int).result()
        _lower_priority()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._usual.shutdown()

    def at_usual_priority(self, work: Callable[[], T]) -> T:
        """Return what `work` does in the other thread."""
        return self._usual.submit(work).result()


@contextmanager
def beside_background() -> Iterator[None]:
    """For as long as another thread is in a `Background`: see csrc/bindings/waker.h.

    Where there is more than one processor, threads that are kept waiting go to another.
    """
    if len(os.sched_getaffinity(0)) > 1:
        yield
        return
    waker = _core.Waker(_WAKE_EVERY_US)
    try:
        yield
    finally:
        waker.close()


def _lower_priority() -> None:
    _core.leave_serving_cpu()
    if sys.platform == "linux":
        # Where the system refuses, loading is as it is elsewhere.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def cpu_clock() -> Callable[[], float]:
    """Return a clock that any thread may read: the CPU time of the calling thread, while it lives. Unit: seconds."""
    return partial(time.clock_gettime, time.pthread_getcpuclockid(threading.get_ident()))
