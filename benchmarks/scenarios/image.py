"""The same image as int8 and as floats: what a quarter of the bytes saves the server."""

from __future__ import annotations

from benchmarks import models
from benchmarks.bench import Bench, alternate, compared
from benchmarks.load import Call, burst
from benchmarks.processes import serve
from benchmarks.report import Goal, Result

# Few in flight, as with clients that send images.
CONNECTIONS, STREAMS = 4, 2


def run(bench: Bench) -> Result:
    """Compare the server's cost of a quantized image with that of the same image in FP32."""
    repository = bench.repository()
    model = models.image(repository)
    requests = {"int8": model.int8_request(), "fp32": model.request()}
    calls = {name: Call.predict(bench.folder, model, request) for name, request in requests.items()}
    count = bench.count(4_000)

    with serve(repository) as server:
        model.check(server.target)
        model.check(server.target, quantize="int8")

        def cost(name: str) -> float:
            return burst(server, calls[name], count, model=model.name, connections=CONNECTIONS, streams=STREAMS).cpu_us

        rounds = alternate(bench.rounds, int8=lambda: cost("int8"), fp32=lambda: cost("fp32"))
    return compared(
        rounds,
        "int8",
        "fp32",
        name="image",
        unit="CPU-µs/request",
        reference_name="602 KB FP32",
        goal=Goal("<=", 0.5),
    )
