"""The scenarios by name, in the order in which they run. Each takes a Bench and returns a Result."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.bench import Bench
from benchmarks.report import Result
from benchmarks.scenarios import dequantize, image, lone, memory, mlp, protocols, size, startup, stream, unary

SCENARIOS: Mapping[str, Callable[[Bench], Result]] = {
    "unary": unary.run,
    "stream": stream.run,
    "model_infer": protocols.model_infer,
    "tensorflow": protocols.tensorflow,
    "mlp": mlp.run,
    "lone": lone.run,
    "dequantize": dequantize.run,
    "image": image.run,
    "startup": startup.run,
    "size": size.run,
    "memory": memory.run,
}
