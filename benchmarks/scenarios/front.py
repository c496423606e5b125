"""The compiled front beside the grpcio front: what a request costs, alone, in a stream, and under a real model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import grpc
import numpy as np

from benchmarks import models
from benchmarks.bench import Bench, alternate, median, median_ratio
from benchmarks.fronts import CONNECTIONS, STREAMS, both, compiled
from benchmarks.load import Call, Load, burst
from benchmarks.methods import PREDICT
from benchmarks.open_loop.arrivals import Arrivals
from benchmarks.open_loop.generator import offer
from benchmarks.open_loop.kind import NEVER
from benchmarks.processes import Server
from benchmarks.report import Goal, Result
from benchmarks.scenarios import mlp, stream
from benchmarks.scenarios.overload import kind_of

REFERENCE = "grpcio front"
# One client asks so often: far from busy, and never twice at a time.
ALONE_PER_SECOND = 400


def unary(bench: Bench) -> Sequence[Result]:
    """Tiny model, one row per RPC, 64 in flight."""
    model = models.tiny(bench.repository())
    request = model.request()
    call = Call.write(bench.folder, PREDICT, [request.SerializeToString()], reply=model.reply_bytes(request))

    with both(model.path.parents[2]) as fronts:
        for server in (fronts.compiled, fronts.grpcio):
            model.check(server.target)

        def cost(server: Server, count: int) -> float:
            load = burst(server, call, count, model=model.name, connections=CONNECTIONS, streams=STREAMS)
            return load.cpu_us

        rounds = alternate(
            bench.rounds,
            compiled=lambda: cost(fronts.compiled, bench.count(100_000)),
            grpcio=lambda: cost(fronts.grpcio, bench.count(20_000)),
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
    request = model.request()
    call = Call.write(bench.folder, PREDICT, [request.SerializeToString()], reply=model.reply_bytes(request))
    loads: list[Load] = []

    with compiled(model.path.parents[2]) as server:
        policy = server.scheduling_policy()
        model.check(server.target)

        def rows_per_second() -> float:
            count = bench.count(40_000)
            loads.append(burst(server, call, count, model=model.name, connections=CONNECTIONS, streams=STREAMS))
            return 1e6 / loads[-1].cpu_us

        rounds = alternate(bench.rounds, ours=rows_per_second, alone=lambda: 1e6 / mlp.session_us(model.path, policy))
    return Result(
        name="front_mlp",
        value=median(rounds, "ours"),
        unit="rows/CPU-s",
        reference=median(rounds, "alone"),
        reference_name=f"onnxruntime, batch {mlp.BATCH}",
        goal=Goal(">=", 0.8),
        ratio=median_ratio(rounds, "ours", "alone"),
        details={"rows_per_second": statistics.median(load.per_second for load in loads[1:])},
    )


def streamed(bench: Bench) -> Result:
    """Tiny model over PredictStream, 64 requests per message."""
    model = models.tiny(bench.repository())
    call = stream.whole_stream(bench.folder, model)

    with both(model.path.parents[2]) as fronts:
        for server in (fronts.compiled, fronts.grpcio):
            stream.check(server.target, model)

        def cost(server: Server, count: int) -> float:
            return burst(server, call, count, model=model.name, connections=stream.STREAMS, streams=1).cpu_us

        rounds = alternate(
            bench.rounds,
            compiled=lambda: cost(fronts.compiled, bench.count(300)),
            grpcio=lambda: cost(fronts.grpcio, bench.count(50)),
        )
    return Result(
        name="front_stream",
        value=median(rounds, "compiled"),
        unit="CPU-µs/request",
        reference=median(rounds, "grpcio"),
        reference_name=REFERENCE,
        goal=Goal("<=", 2, "value"),
        ratio=median_ratio(rounds, "compiled", "grpcio"),
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
        for server in (fronts.compiled, fronts.grpcio):
            model.check(server.target)
        rounds = alternate(
            bench.rounds,
            compiled=lambda: p50_us(fronts.compiled),
            grpcio=lambda: p50_us(fronts.grpcio),
        )
        by_grpc = {
            f"{name}_grpc_client_us": _median_latency_us(server, model, bench.count(1000))
            for name, server in (("compiled", fronts.compiled), ("grpcio", fronts.grpcio))
        }
    return Result(
        name="front_alone",
        value=median(rounds, "compiled"),
        unit="µs, p50",
        reference=median(rounds, "grpcio"),
        reference_name=REFERENCE,
        goal=Goal("<=", 0.6),
        ratio=median_ratio(rounds, "compiled", "grpcio"),
        details=by_grpc,
    )


def _median_latency_us(server: Server, model: models.Model, count: int) -> float:
    body = model.request().SerializeToString()
    with grpc.insecure_channel(server.target) as channel:
        predict: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
        predict(body, timeout=10)
        taken = []
        for _ in range(count):
            started = time.perf_counter_ns()
            predict(body)
            taken.append(time.perf_counter_ns() - started)
    return statistics.median(taken) / 1e3
