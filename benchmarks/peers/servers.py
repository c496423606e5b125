"""Requests per CPU-second of other Python model servers, beside ours: same model, same core, same load."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import models
from benchmarks.bench import Bench, alternate, median, median_ratio
from benchmarks.load import Call, burst
from benchmarks.methods import MODEL_INFER
from benchmarks.peers.environments import PEERS
from benchmarks.processes import Server, serve
from benchmarks.report import Goal, Result

# So many times the requests per CPU-second of the peer.
GOALS = {"tiny": 5.0, "mlp": 2.0}


def run(bench: Bench, peer: str, kind: str) -> Result:
    """Compare the CPU time of a request at the peer with ours."""
    repository = bench.repository()
    model = models.tiny(repository) if kind == "tiny" else models.mlp(repository)
    body = model.infer_request().SerializeToString()
    call = Call.write(bench.folder, MODEL_INFER, [body], reply=model.infer_reply_bytes())
    started = PEERS[peer](model, Path(tempfile.mkdtemp(dir=bench.folder)))
    with serve(repository) as ours, Server.start_listening(started.command, started.port, started.folder) as other:
        # Peers add parameters of their own, always the same.
        size = len(model.check_infer(other.target))
        theirs = Call.write(bench.folder, MODEL_INFER, [body], reply=(size, size))
        model.check_infer(ours.target)
        rounds = alternate(
            bench.rounds,
            peer=lambda: burst(other, theirs, bench.count(3_000)).cpu_us,
            ours=lambda: burst(ours, call, bench.count(20_000), model=model.name).cpu_us,
        )
    return Result(
        name=f"{peer}-{kind}",
        value=median(rounds, "ours"),
        unit="CPU-µs/request",
        reference=median(rounds, "peer"),
        reference_name=f"{peer}, same core",
        goal=Goal(">=", GOALS[kind]),
        ratio=median_ratio(rounds, "peer", "ours"),
    )
