"""Requests of 600 KB: what the compiled front adds to receiving the bytes and writing them once into the batch."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing

from benchmarks import models
from benchmarks.bench import Bench, alternate, compared
from benchmarks.fronts import compiled
from benchmarks.load import Call, burst
from benchmarks.processes import Server, reference
from benchmarks.report import Goal, Result

# Few in flight, as with clients that send images.
CONNECTIONS, STREAMS = 4, 2
_ANSWER_SECONDS = 30.0
# Of what h2load hands to the kernel at once.
_FRAME_BYTES = 16_384


def run(bench: Bench) -> Result:
    """Compare the CPU time per request."""
    model = models.corner(bench.repository())
    body = model.request().SerializeToString()
    call = Call.predict(bench.folder, model)
    count = bench.count(5_000)

    with compiled(model.path.parents[2]) as server:
        model.check(server.target)
        with reference("receive", str(len(body)), policy=server.scheduling_policy()) as floor:
            rounds = alternate(
                bench.rounds,
                ours=lambda: (
                    burst(server, call, count, model=model.name, connections=CONNECTIONS, streams=STREAMS).cpu_us
                ),
                floor=lambda: _floor_us(floor, body, 4 * count),
            )
    return compared(
        rounds,
        "ours",
        "floor",
        name="front_large",
        unit="CPU-µs/request",
        reference_name="receive and copy once",
        goal=Goal("<=", 1.3),
        details={"request_bytes": len(body)},
    )


def _floor_us(server: Server, body: bytes, count: int) -> float:
    """Send as many bytes over as many connections, with as many messages ahead of their answers.

    In pieces as large as the frames of the other load, and from the same core. No protocol, no queue, no model.
    """
    ahead, each = STREAMS, count // CONNECTIONS
    before = server.cpu_seconds()
    with ExitStack() as stack:
        opened = [
            stack.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), _ANSWER_SECONDS)))
            for _ in range(CONNECTIONS)
        ]
        for number in range(each + ahead):
            for connection in opened:
                if number < each:
                    for start in range(0, len(body), _FRAME_BYTES):
                        connection.sendall(body[start : start + _FRAME_BYTES])
                if number >= ahead and connection.recv(1) != b"\1":
                    raise RuntimeError("the reference closed a connection")
    return (server.cpu_seconds() - before) / (each * CONNECTIONS) * 1e6
