"""Example runs that would take too much end, whatever the model makes of the values."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from maas_server.models.config import ModelConfig
from maas_server.models.guard import ProbeGuard
from maas_server.models.inspect import inspect, make_layout
from maas_server.models.onnx_runner import OnnxRunner
from maas_server.models.prober import RunFailed, find_recipe
from maas_server.models.runner import Array, RunBatch, RunnerOptions, Signature, TensorInfo
from tests.models import onnx_models
from tests.models.conftest import LoadModel
from tests.models.fakes import FakeRunner

NEVER = 3600.0
# More than malloc keeps of what earlier tests freed, so that the process grows by what a runner takes.
LIMIT = 64 << 20


def endless() -> onnx.ModelProto:
    """Loops for as long as its input is true."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_out"]), helper.make_node("Identity", ["v"], ["v_out"])],
        "body",
        [
            onnx_models.value("i", [], TensorProto.INT64),
            onnx_models.value("on", [], TensorProto.BOOL),
            onnx_models.value("v", [1]),
        ],
        [onnx_models.value("on_out", [], TensorProto.BOOL), onnx_models.value("v_out", [1])],
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["flags"], to=TensorProto.BOOL),
        helper.make_node("Squeeze", ["flags"], ["flag"]),
        helper.make_node("Loop", ["", "flag", "x"], ["y"], body=body),
    ]
    return onnx_models.model(nodes, [onnx_models.value("x", [1])], [onnx_models.value("y", [1])])


def filled() -> onnx.ModelProto:
    """Makes a tensor of the shape that it is asked for, and takes no dimension of 0 or 1."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("Slice", ["zeros", "one", "two", "axis"], ["second"]),
        helper.make_node("Reshape", ["second", "scalar"], ["y"]),
    ]
    weights = [
        onnx_models.constant("one", [1, 1], np.int64),
        onnx_models.constant("two", [2, 2], np.int64),
        onnx_models.constant("axis", [0, 1], np.int64),
        onnx_models.constant("scalar", [1], np.int64),
    ]
    return onnx_models.model(
        nodes, [onnx_models.value("shape", [2], TensorProto.INT64)], [onnx_models.value("y", [1])], weights
    )


class Hoarder(FakeRunner):
    """Keeps memory at each run, as arenas do, and refuses all values."""

    def __init__(self, nbytes: int) -> None:
        super().__init__()
        self.runs = 0
        self.resets = 0
        self.interrupted = threading.Event()
        self._nbytes = nbytes
        self._kept: list[Array] = []

    def run(self, batch: RunBatch) -> Sequence[Array]:
        self.runs += 1
        self._kept.append(np.ones(self._nbytes, np.uint8))
        raise ValueError("not these values")

    def interrupt(self) -> None:
        self.interrupted.set()

    def reset(self) -> None:
        self._kept.clear()
        self.resets += 1


class Slow(Hoarder):
    """Runs until it is interrupted."""

    def __init__(self) -> None:
        super().__init__(0)

    def run(self, batch: RunBatch) -> Sequence[Array]:
        self.runs += 1
        assert self.interrupted.wait(30)
        raise RuntimeError("interrupted")


SIGNATURE = Signature((TensorInfo("x", "FP32", (-1, -1)),), (TensorInfo("y", "FP32", (-1, 1)),))


def look(runner: FakeRunner, guard: ProbeGuard) -> None:
    with guard:
        find_recipe(runner, make_layout(SIGNATURE, (0,), ()), {}, guard)


def test_a_runner_that_takes_too_much_memory_is_not_run_again_and_gives_it_back() -> None:
    runner = Hoarder(2 * LIMIT)
    with pytest.raises(RunFailed, match="more than 64 MiB of memory"):
        look(runner, ProbeGuard(runner, max_bytes=LIMIT, seconds=NEVER))
    assert runner.runs == 1
    assert runner.resets == 1


def test_sizes_whose_memory_can_be_foretold_not_to_fit_are_not_tried() -> None:
    # Nothing at the first size, an eighth of the limit at the second: four times that fits, twelve times does not.
    runner = Hoarder(0)
    guard = ProbeGuard(runner, max_bytes=1 << 40, seconds=NEVER)
    grown = {8: 0, 32: 1 << 37}
    tried = []

    def run(batch: RunBatch) -> Sequence[Array]:
        tried.append(batch.inputs[0].shape[1])
        raise ValueError("not these values")

    runner.run = run  # type: ignore[method-assign]
    guard.growth = lambda: max(grown.get(size, 0) for size in (8, *tried))  # type: ignore[method-assign]
    with pytest.raises(RunFailed, match="not these values"):
        look(runner, guard)
    assert set(tried) == {8, 32, 1, 64}


def test_runs_that_never_end_are_interrupted() -> None:
    runner = Slow()
    with pytest.raises(RunFailed, match="more than 0 s"):
        look(runner, ProbeGuard(runner, seconds=0.05))
    assert runner.runs == 1


def test_modest_runs_are_left_alone() -> None:
    runner = Hoarder(0)
    with pytest.raises(RunFailed, match="not these values"):
        look(runner, ProbeGuard(runner))
    assert not runner.interrupted.is_set()
    assert runner.resets == 0


def test_an_endless_loop_ends_and_the_model_serves_afterwards(tmp_path: Path) -> None:
    runner = OnnxRunner()
    runner.load(onnx_models.save(endless(), tmp_path / "model.onnx"), RunnerOptions())
    guard = ProbeGuard(runner, seconds=0.1)
    with guard, pytest.raises(RuntimeError):
        runner.run(RunBatch(0, (np.ones(1, np.float32),), (None,)))
    assert "0 s" in guard.reason
    zero = np.zeros(1, np.float32)
    assert runner.run(RunBatch(0, (zero,), (None,)))[0].tolist() == [0]


def test_example_values_ask_for_no_enormous_tensors(load: LoadModel) -> None:
    """With a 16000 in both places it were a gigabyte; in four, more than there is."""
    plan = load(filled()).plan
    assert plan.curve[0].bytes < 64 << 20


def test_what_the_guard_says_is_the_reason_that_rows_are_not_batched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maas_server.models.inspect.ProbeGuard", functools.partial(ProbeGuard, seconds=0.1))
    runner = OnnxRunner()
    runner.load(onnx_models.save(endless(), tmp_path / "model.onnx"), RunnerOptions())
    found = inspect(runner, runner.signature(), ModelConfig(), ())
    assert found.recipe is None
    assert "example runs took more than 0 s" in found.reason
