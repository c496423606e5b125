"""Tiny model, one row per RPC, 64 in flight, in other protocols: what each costs beside our own Predict."""

from __future__ import annotations

from benchmarks import models
from benchmarks.bench import Bench, alternate, compared
from benchmarks.load import Call, burst
from benchmarks.methods import MODEL_INFER, TENSORFLOW_PREDICT
from benchmarks.processes import serve
from benchmarks.report import Goal, Result


def model_infer(bench: Bench) -> Result:
    """The Open Inference Protocol."""
    model = models.tiny(bench.repository())
    body = model.infer_request().SerializeToString()
    call = Call.write(bench.folder, MODEL_INFER, [body], reply=model.infer_reply_bytes())
    return _compare(bench, "model_infer", model, call, Goal("<=", 1.05))


def tensorflow(bench: Bench) -> Result:
    """TensorFlow Serving's Predict."""
    model = models.tiny(bench.repository())
    body = model.tensorflow_request().SerializeToString()
    call = Call.write(bench.folder, TENSORFLOW_PREDICT, [body], reply=model.tensorflow_reply_bytes())
    return _compare(bench, "tensorflow", model, call, Goal("<=", 1.1))


def _compare(bench: Bench, name: str, model: models.Model, call: Call, goal: Goal) -> Result:
    own = Call.predict(bench.folder, model)
    count = bench.count(20_000)
    with serve(model.path.parents[2]) as server:
        model.check(server.target)
        model.check_infer(server.target)
        model.check_tensorflow(server.target)
        rounds = alternate(
            bench.rounds,
            it=lambda: burst(server, call, count, model=model.name).cpu_us,
            own=lambda: burst(server, own, count, model=model.name).cpu_us,
        )
    return compared(
        rounds,
        "it",
        "own",
        name=name,
        unit="CPU-µs/request",
        reference_name="our own Predict",
        goal=goal,
    )
