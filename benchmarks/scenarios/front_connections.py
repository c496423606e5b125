"""Thousands of open connections of which few are active: what the idle ones cost the others, and the memory of each."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import models
from benchmarks.bench import Bench, alternate, compared
from benchmarks.fronts import compiled, open_files
from benchmarks.open_loop import frames
from benchmarks.open_loop.arrivals import poisson
from benchmarks.open_loop.generator import offer
from benchmarks.open_loop.kind import NEVER
from benchmarks.processes import Server
from benchmarks.report import Goal, Result
from benchmarks.scenarios.overload import kind_of, seconds

OPEN, ACTIVE = 5_000, 200
PER_SECOND = 2_000.0
# Beside the connections themselves.
_OTHER_FILES = 1_000
_ANSWER_SECONDS = 10.0


def run(bench: Bench) -> Sequence[Result]:
    """Compare the tail of the latency with that of a server that has no idle connections."""
    model = models.tiny(bench.repository())
    repository = model.path.parents[2]
    kinds = [kind_of(model, NEVER)]

    def p99_ms(server: Server, what: str) -> float:
        outcome = offer(server.target, kinds, poisson(PER_SECOND, seconds(bench), seed=1), connections=ACTIVE)
        outcome.lateness().warn(f"front_connections {what}")
        if not outcome.good().all():
            raise RuntimeError(f"front_connections {what}: {outcome.by_status()}")
        return outcome.since_sent(outcome.good(), 0.99) * 1e3

    with ExitStack() as stack:
        stack.enter_context(open_files(OPEN + _OTHER_FILES))
        crowded = stack.enter_context(compiled(repository))
        empty = stack.enter_context(compiled(repository))
        for server in (crowded, empty):
            model.check(server.target)
            # What the active ones need is there before memory is compared.
            p99_ms(server, "warming up")
        before = crowded.resident_bytes()
        for _ in range(OPEN - ACTIVE):
            stack.enter_context(_idle(crowded))
        each = (crowded.resident_bytes() - before) / (OPEN - ACTIVE)
        rounds = alternate(
            bench.rounds,
            crowded=lambda: p99_ms(crowded, "crowded"),
            empty=lambda: p99_ms(empty, "empty"),
        )
    return [
        compared(
            rounds,
            "crowded",
            "empty",
            name="front_connections",
            unit="ms, p99",
            reference_name=f"{ACTIVE} connections alone",
            goal=Goal("<=", 1.5),
            details={"open": OPEN, "active": ACTIVE, "per_second": PER_SECOND},
        ),
        Result(
            name="idle connection",
            value=each / 1e3,
            unit="KB resident",
            reference=before / 1e3,
            reference_name="the process before them",
            goal=Goal("<=", 30, "value"),
            ratio=each / before,
        ),
    ]


def _idle(server: Server) -> socket.socket:
    """Connect, agree on settings, and do nothing more."""
    opened = socket.create_connection(("127.0.0.1", server.port), _ANSWER_SECONDS)
    opened.sendall(frames.PREFACE + frames.settings({}) + frames.frame(frames.SETTINGS, frames.ACK, 0))
    if not opened.recv(1 << 14):
        raise RuntimeError("the server closed a connection that is in order")
    return opened
