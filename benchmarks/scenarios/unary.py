"""Tiny model, one row per RPC, 64 in flight: what a request costs beside the RPC that carries it."""

from __future__ import annotations

from benchmarks import models
from benchmarks.bench import Bench, alternate, compared
from benchmarks.load import Call, burst
from benchmarks.methods import ECHO
from benchmarks.processes import reference, serve
from benchmarks.report import Goal, Result


def run(bench: Bench) -> Result:
    """Compare with an echo of the same bytes."""
    repository = bench.repository()
    model = models.tiny(repository)
    body = model.request().SerializeToString()
    ours = Call.predict(bench.folder, model)
    echoed = Call.write(bench.folder, ECHO, [body], reply=(len(body), len(body)))
    count = bench.count(20_000)

    with serve(repository) as server, reference("echo", policy=server.scheduling_policy()) as echo:
        model.check(server.target)
        rounds = alternate(
            bench.rounds,
            ours=lambda: burst(server, ours, count, model=model.name).cpu_us,
            echo=lambda: burst(echo, echoed, count).cpu_us,
        )
    return compared(
        rounds,
        "ours",
        "echo",
        name="unary",
        unit="CPU-µs/request",
        reference_name="grpc.aio echo",
        goal=Goal("<=", 1.15),
    )
