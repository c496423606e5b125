"""Offers a schedule of requests to a server, and returns what became of each.

Everything is prepared before the first instant; the loop then spins on its core, collects the requests that are due,
writes them with one call per connection, and reads what came.
"""

from __future__ import annotations

import gc
import select
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing

from benchmarks.open_loop.arrivals import Arrivals
from benchmarks.open_loop.connection import Connection
from benchmarks.open_loop.kind import NEVER, Kind
from benchmarks.open_loop.ledger import Ledger
from benchmarks.open_loop.outcome import Outcome

DEADLINE_EXCEEDED = 4
# From the end of the preparations to the first instant, and from the last one until nobody waits for answers that
# have no deadline.
_HEADSTART_SECONDS = 0.05
_PATIENCE_SECONDS = 30.0


def offer(target: str, kinds: Sequence[Kind], arrivals: Arrivals, *, connections: int = 4) -> Outcome:
    """Send each request at its instant over `connections` connections to `target`, "host:port".

    A request that has a deadline is given up at its end. Requests that the peer's windows or limits hold back wait for
    them, as a client's do.

    Raises:
        OSError: nobody listens there.
        RuntimeError: the peer does not speak gRPC.
    """
    host, _, port = target.rpartition(":")
    due = arrivals.times.tolist()
    ledger = Ledger(kinds, arrivals.kinds.tolist(), due)
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(Connection((host, int(port)), ledger))) for _ in range(connections)]
        # Pauses of the collector are requests that are late; nothing here makes cycles.
        gc.collect()
        gc.disable()
        try:
            _run(ledger, opened)
        finally:
            gc.enable()
    return Outcome.of(ledger, arrivals)


def _run(ledger: Ledger, connections: Sequence[Connection]) -> None:
    due, count, among = ledger.due, len(ledger.due), len(connections)
    queues = [_Deadlines(ledger, kind) for kind, each in enumerate(ledger.kinds) if each.deadline != NEVER]
    poll = select.epoll()
    by_descriptor = {each.fileno(): each for each in connections}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    clock = time.perf_counter
    begin = clock() + _HEADSTART_SECONDS
    until = (due[-1] if count else 0.0) + _PATIENCE_SECONDS
    following = 0
    with closing(poll):
        while following < count or ledger.open:
            now = clock() - begin
            first = following
            while following < count and due[following] <= now:
                connections[following % among].start(following, now)
                following += 1
            for queue in queues:
                if queue.next <= now:
                    for number in queue.expire(now):
                        connections[number % among].cancel(number)
            for connection in connections:
                connection.flush()
            if following > first:
                ledger.started[first:following] = [clock() - begin] * (following - first)
            for descriptor, _ in poll.poll(0):
                by_descriptor[descriptor].receive(clock() - begin)
            if now > until:
                break


class _Deadlines:
    """The requests of a kind in the order in which their callers give up, which is that in which they come."""

    def __init__(self, ledger: Ledger, kind: int) -> None:
        deadline = ledger.kinds[kind].deadline
        self._ledger = ledger
        self._numbers = [number for number, each in enumerate(ledger.kind_of) if each == kind]
        self._instants = [ledger.due[number] + deadline for number in self._numbers]
        self._instants.append(NEVER)
        self._position = 0
        self.next = self._instants[0]
        """The first instant that has not been looked at."""

    def expire(self, now: float) -> list[int]:
        """Give up those whose time has come, and return those that were still open."""
        position, expired = self._position, []
        ledger = self._ledger
        while self._instants[position] <= now:
            number = self._numbers[position]
            if ledger.is_open(number):
                ledger.expired[number] = True
                ledger.end(number, DEADLINE_EXCEEDED, now)
                expired.append(number)
            position += 1
        self._position = position
        self.next = self._instants[position]
        return expired
