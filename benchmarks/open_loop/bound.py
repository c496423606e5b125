"""How many requests any server of a given capacity could have answered in time, had it known them all beforehand."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from benchmarks.open_loop.arrivals import Arrivals


def most_in_time(arrivals: Arrivals, deadlines: Sequence[float], capacity: float) -> int:
    """Return the most requests that end by their deadlines, one after the other, each taking 1 / `capacity` seconds.

    `deadlines`: by kind. All take the same time, so earliest deadline first, without those that would be late, is the
    best there is, but for what a request in service makes a more urgent one wait: less than one request.
    """
    step = 1.0 / capacity
    waiting: list[float] = []
    clock, served, following = 0.0, 0, 0
    times, kinds = arrivals.times.tolist(), arrivals.kinds.tolist()
    while following < len(times) or waiting:
        if not waiting:
            clock = max(clock, times[following])
        while following < len(times) and times[following] <= clock:
            heapq.heappush(waiting, times[following] + deadlines[kinds[following]])
            following += 1
        while waiting and heapq.heappop(waiting) >= clock + step:
            clock += step
            served += 1
            break
    return served
