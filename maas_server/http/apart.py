"""Work on large bodies, in a thread of its own: probes, metrics and small requests do not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

# What is done with fewer bytes takes less than some milliseconds.
_SMALL_BYTES = 64 << 10
# One at a time: a body takes many times its size while it is values of Python.
_worker = ThreadPoolExecutor(1, thread_name_prefix="http-large-bodies")


async def apart(size: int, work: Callable[[], T]) -> T:
    """Return what `work` does with `size` bytes; here if they are few.

    Raises:
        Exception: what `work` raises.
    """
    if size < _SMALL_BYTES:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_worker, work)
