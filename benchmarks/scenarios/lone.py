"""One client, one request at a time: what batching and the core add to the latency of a plain server."""

from __future__ import annotations

import statistics
import time

import grpc

from benchmarks import models
from benchmarks.bench import Bench, alternate, compared
from benchmarks.methods import PREDICT
from benchmarks.processes import Server, reference, serve
from benchmarks.report import Goal, Result


def run(bench: Bench) -> Result:
    """Compare the median latency with that of a handler that calls the session directly."""
    repository = bench.repository()
    model = models.tiny(repository)
    count = bench.count(2_000)

    with serve(repository) as server, reference("plain", model.path, policy=server.scheduling_policy()) as plain:
        model.check(server.target)
        rounds = alternate(
            bench.rounds,
            ours=lambda: median_latency_us(server, model, count),
            plain=lambda: median_latency_us(plain, model, count),
        )
    return compared(
        rounds,
        "ours",
        "plain",
        name="lone",
        unit="µs, p50",
        reference_name="plain grpc.aio handler",
        goal=Goal("<=", 1.2),
    )


def median_latency_us(server: Server, model: models.Model, count: int) -> float:
    """Return how long one client of grpc's waits, alone and with one request at a time."""
    body = model.request().SerializeToString()
    with grpc.insecure_channel(server.target) as channel:
        predict: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PREDICT)
        model.check_reply(predict(body, timeout=10))
        taken = []
        for _ in range(count):
            started = time.perf_counter_ns()
            predict(body)
            taken.append(time.perf_counter_ns() - started)
    return statistics.median(taken) / 1e3
