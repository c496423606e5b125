"""The scenarios by name, in the order in which they run. Each takes a Bench and returns a Result, or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.bench import Bench
from benchmarks.report import Result
from benchmarks.scenarios import (
    deadlines,
    dequantize,
    front,
    front_connections,
    front_large,
    front_where,
    goodput,
    gpu_kernels,
    image,
    lone,
    low_load,
    memory,
    mlp,
    neighbours,
    protocols,
    size,
    startup,
    stream,
    unary,
)

SCENARIOS: Mapping[str, Callable[[Bench], Result | Sequence[Result]]] = {
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
    "goodput": goodput.usual,
    "goodput_50ms": goodput.tight,
    "goodput_1s": goodput.loose,
    "goodput_slow": goodput.slow,
    "goodput_fast": goodput.fast,
    "bursts": deadlines.in_bursts,
    "mixed_deadlines": deadlines.mixed,
    "two_models": neighbours.two_models,
    "two_tenants": neighbours.two_tenants,
    "loading": neighbours.loading,
    "low_load": low_load.run,
    "front": front.unary,
    "front_where": front_where.run,
    "front_mlp": front.perceptron,
    "front_stream": front.streamed,
    "front_large": front_large.run,
    "front_connections": front_connections.run,
    "front_alone": front.alone,
    "gpu_pack": gpu_kernels.pack,
    "gpu_upload": gpu_kernels.upload,
}
