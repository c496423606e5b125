"""Mosec beside both of our fronts: the same model, on the same core, each asked in its own cheapest way."""

from __future__ import annotations

import tempfile
import urllib.request
from pathlib import Path

import numpy as np

from benchmarks import models
from benchmarks.bench import Bench, alternate, median, median_ratio
from benchmarks.fronts import CONNECTIONS, STREAMS, both, saturate
from benchmarks.load import Call, burst
from benchmarks.peers.environments import mosec
from benchmarks.processes import Server
from benchmarks.report import Goal, Result

PATH = "/inference"
_SECONDS = 30.0
# So many times Mosec's requests per CPU-second. Half of what a row of the perceptron costs is arithmetic.
GOALS = {"tiny": 3.0, "mlp": 1.2}


def run(bench: Bench, kind: str) -> Result:
    """Compare the CPU time of a request there with that behind our compiled front."""
    repository = bench.repository()
    model = models.tiny(repository) if kind == "tiny" else models.mlp(repository)
    ours = Call.predict(bench.folder, model)
    answer = model.answer.astype(np.float32).nbytes
    theirs = Call.write_http1(bench.folder, PATH, model.row.tobytes(), reply=(answer, answer))
    started = mosec(model, Path(tempfile.mkdtemp(dir=bench.folder)))
    with both(repository) as fronts, Server.start_listening(started.command, started.port, started.folder) as other:
        _check(other, model)
        for server in fronts:
            model.check(server.target)
        rounds = alternate(
            bench.rounds,
            # HTTP/1.1 has one request at a time on a connection.
            peer=lambda: burst(other, theirs, bench.count(10_000), connections=CONNECTIONS * STREAMS, streams=1).cpu_us,
            compiled=lambda: saturate(fronts.compiled, ours, bench.count(40_000), model).cpu_us,
            grpcio=lambda: saturate(fronts.grpcio, ours, bench.count(20_000), model).cpu_us,
        )
    return Result(
        name=f"mosec-{kind}",
        value=median(rounds, "compiled"),
        unit="CPU-µs/request",
        reference=median(rounds, "peer"),
        reference_name="mosec, same core",
        goal=Goal(">=", GOALS[kind]),
        ratio=median_ratio(rounds, "peer", "compiled"),
        details={"grpcio_front_us": median(rounds, "grpcio")},
    )


def _check(server: Server, model: models.Model) -> None:
    """Ask, and compare the answer with numpy's.

    Raises:
        AssertionError: they differ.
    """
    url = f"http://{server.target}{PATH}"
    with urllib.request.urlopen(urllib.request.Request(url, data=model.row.tobytes()), timeout=_SECONDS) as reply:
        content = reply.read()
    np.testing.assert_allclose(np.frombuffer(content, np.float32), model.answer[0], rtol=1e-4, atol=1e-4)
