"""What a server does to its whole process: scheduling, where memory comes from, signals, which threads are left."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from maas_server.settings import Settings

log = structlog.get_logger(__name__)

# All threads that this package starts are called so; when all is done they need some moments to end.
_THREAD_PREFIX = "maas-"
_LAST_THREADS_SECONDS = 1.0
_TO_STOP = (signal.SIGTERM, signal.SIGINT)
# glibc's <malloc.h>; no Python package names it.
_M_ARENA_MAX = -8
_MALLOC_ARENAS = 2
# What `leave_running` was told of, and by which names.
_left_running: list[tuple[str, object]] = []


def leave_running(name: str, owner: object) -> None:
    """Keep the owner of threads of C++ that do not end, until the process does; `threads_left` names them."""
    _left_running.append((name, owner))


def threads_left() -> list[str]:
    """Return the names of our threads that do not end: a load, a run or a look at the disk that never returned.

    If there are any, the process must end by `os._exit`.
    """
    deadline = time.monotonic() + _LAST_THREADS_SECONDS
    threads = [thread for thread in threading.enumerate() if thread.name.startswith(_THREAD_PREFIX)]
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [thread.name for thread in threads if thread.is_alive()]
    return sorted(left + [name for name, _ in _left_running])


def set_scheduling(settings: Settings) -> None:
    """Schedule the process as the settings say; before any thread starts, because they inherit it."""
    if settings.scheduling != "batch" or sys.platform != "linux":
        return
    try:
        # Threads of grpc, loop and runners that wake each other then do so without preempting, which saves a quarter
        # of the CPU of an RPC.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    except OSError as error:
        log.warning("scheduling_unchanged", reason=str(error))


def limit_malloc_arenas() -> None:
    """Let all threads share a few of glibc's arenas; before any thread starts."""
    # Messages are allocated by one thread and freed by another; with an arena per thread, as glibc has it, large ones
    # leave holes in all of them, and the process grows by a third in the first minutes.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _MALLOC_ARENAS)


@contextmanager
def signals_to(handler: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Have the running loop call `handler` on SIGTERM and SIGINT, for as long as the block."""
    loop = asyncio.get_running_loop()
    for number in _TO_STOP:
        loop.add_signal_handler(number, handler, number)
    try:
        yield
    finally:
        for number in _TO_STOP:
            loop.remove_signal_handler(number)
