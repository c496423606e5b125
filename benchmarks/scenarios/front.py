"""The compiled front beside the grpcio front: what a request costs, alone, in a stream, and under a real model."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from benchmarks import models
from benchmarks.bench import Bench, alternate, compared, median, median_ratio
from benchmarks.fronts import both, compiled, saturate
from benchmarks.load import Call, Load, burst
from benchmarks.open_loop.arrivals import Arrivals
from benchmarks.open_loop.generator import offer
from benchmarks.open_loop.kind import NEVER
from benchmarks.processes import Server
from benchmarks.report import Goal, Result
from benchmarks.scenarios import lone, mlp, stream
from benchmarks.scenarios.overload import kind_of

REFERENCE = "grpcio front"
# One client asks so often: far from busy, and never twice at a time.
ALONE_PER_SECOND = 400


def unary(bench: Bench) -> Sequence[Result]:
    """Tiny model, one row per RPC, 64 in flight."""
    model = models.tiny(bench.repository())
    call = Call.predict(bench.folder, model)

    with both(model.path.parents[2]) as fronts:
        for server in fronts:
            model.check(server.target)
        rounds = alternate(
            bench.rounds,
            compiled=lambda: saturate(fronts.compiled, call, bench.count(100_000), model).cpu_us,
            grpcio=lambda: saturate(fronts.grpcio, call, bench.count(20_000), model).cpu_us,
        )
    value, reference = median(rounds, "compiled"), median(rounds, "grpcio")
    ratio = median_ratio(rounds, "compiled", "grpcio")
    return [
        Result("front", value, "CPU-µs/request", reference, REFERENCE, Goal("<=", 0.07), ratio),
        Result("front in all", value, "CPU-µs/request", reference, REFERENCE, Goal("<=", 10, "value"), ratio),
    ]


def perceptron(bench: Bench) -> Result:
    """A multilayer perceptron, saturated with single rows: what of the core the arithmetic gets."""
    model = models.mlp(bench.repository())
    call = Call.predict(bench.folder, model)
    loads: list[Load] = []

    with compiled(model.path.parents[2]) as server:
        policy = server.scheduling_policy()
        model.check(server.target)

        def rows_per_second() -> float:
            loads.append(saturate(server, call, bench.count(40_000), model))
            return 1e6 / loads[-1].cpu_us

        rounds = alternate(bench.rounds, ours=rows_per_second, alone=lambda: 1e6 / mlp.session_us(model.path, policy))
    return compared(
        rounds,
        "ours",
        "alone",
        name="front_mlp",
        unit="rows/CPU-s",
        reference_name=f"onnxruntime, batch {mlp.BATCH}",
        goal=Goal(">=", 0.8),
        details={"rows_per_second": statistics.median(load.per_second for load in loads[1:])},
    )


def streamed(bench: Bench) -> Result:
    """Tiny model over PredictStream, 64 requests per message."""
    model = models.tiny(bench.repository())
    call = stream.whole_stream(bench.folder, model)

    with both(model.path.parents[2]) as fronts:
        for server in fronts:
            stream.check(server.target, model)

        def cost(server: Server, count: int) -> float:
            return burst(server, call, count, model=model.name, connections=stream.STREAMS, streams=1).cpu_us

        rounds = alternate(
            bench.rounds,
            compiled=lambda: cost(fronts.compiled, bench.count(300)),
            grpcio=lambda: cost(fronts.grpcio, bench.count(50)),
        )
    return compared(
        rounds,
        "compiled",
        "grpcio",
        name="front_stream",
        unit="CPU-µs/request",
        reference_name=REFERENCE,
        goal=Goal("<=", 2, "value"),
        details={"requests_per_message": stream.PER_MESSAGE},
    )


def alone(bench: Bench) -> Result:
    """One client, one request at a time, over raw HTTP/2: grpc's own client takes longer than either server."""
    model = models.tiny(bench.repository())
    kinds = [kind_of(model, NEVER)]
    times = np.arange(bench.count(1500)) / ALONE_PER_SECOND
    arrivals = Arrivals(times, np.zeros(len(times), np.int64), len(times) / ALONE_PER_SECOND)

    def p50_us(server: Server) -> float:
        outcome = offer(server.target, kinds, arrivals, connections=1)
        if not outcome.good().all():
            raise RuntimeError(f"one client alone: {outcome.by_status()}")
        return outcome.since_sent(outcome.good(), 0.5) * 1e6

    with both(model.path.parents[2]) as fronts:
        for server in fronts:
            model.check(server.target)
        rounds = alternate(
            bench.rounds,
            compiled=lambda: p50_us(fronts.compiled),
            grpcio=lambda: p50_us(fronts.grpcio),
        )
        by_grpc = {
            f"{name}_grpc_client_us": lone.median_latency_us(server, model, bench.count(1000))
            for name, server in fronts._asdict().items()
        }
    return compared(
        rounds,
        "compiled",
        "grpcio",
        name="front_alone",
        unit="µs, p50",
        reference_name=REFERENCE,
        goal=Goal("<=", 0.6),
        details=by_grpc,
    )
