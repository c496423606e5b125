"""A multilayer perceptron, single rows, saturated: how much of the core the arithmetic gets beside the RPCs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks import models
from benchmarks.bench import Bench, alternate, compared, median
from benchmarks.load import Call, burst
from benchmarks.methods import ECHO
from benchmarks.processes import SERVER_CORE, reference, serve
from benchmarks.report import Goal, Result

BATCH = 32


def run(bench: Bench) -> Result:
    """Compare rows per second, less what the RPCs cost an echo that moves as many bytes, with the session's own."""
    repository = bench.repository()
    model = models.mlp(repository)
    request = model.request()
    body, reply = request.SerializeToString(), model.reply_bytes(request)
    answer = bench.folder / "mlp-reply"
    answer.write_bytes(bytes(reply[0]))
    ours = Call.predict(bench.folder, model, request)
    echoed = Call.write(bench.folder, ECHO, [body], reply=(reply[0], reply[0]))
    count = bench.count(20_000)

    with serve(repository) as server:
        policy = server.scheduling_policy()
        with reference("echo", answer, policy=policy) as echo:
            model.check(server.target)
            rounds = alternate(
                bench.rounds,
                ours=lambda: burst(server, ours, count, model=model.name).cpu_us,
                echo=lambda: burst(echo, echoed, count).cpu_us,
                session=lambda: session_us(model.path, policy),
            )
    for each in rounds:
        each["net"] = 1e6 / (each["ours"] - each["echo"])
        each["alone"] = 1e6 / each["session"]
    return compared(
        rounds,
        "net",
        "alone",
        name="mlp",
        unit="rows/s less RPCs",
        reference_name=f"onnxruntime, batch {BATCH}",
        goal=Goal(">=", 0.9),
        details={
            "server_us": median(rounds, "ours"),
            "echo_us": median(rounds, "echo"),
            "onnxruntime_us": median(rounds, "session"),
        },
    )


def session_us(path: Path, policy: str) -> float:
    """Return what a row costs a session that does nothing else."""
    command = [sys.executable, "-m", "benchmarks.references", policy, "loop", str(path), str(BATCH)]
    pinned = ["taskset", "-c", str(SERVER_CORE), *command]
    return float(subprocess.run(pinned, capture_output=True, text=True, check=True).stdout)
