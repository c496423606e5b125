"""Runs of ONNX models that are ended from outside."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from maas_server.errors import InvalidRequest
from maas_server.models.onnx_runner import OnnxRunner
from maas_server.models.runner import Cancellable, RunBatch, RunnerLane, RunnerOptions
from tests.models import onnx_models
from tests.models.test_guard import endless

SECONDS = 30
# More than preparing a run takes.
CPU_SECONDS = 0.05


def loaded(tmp_path: Path, proto: onnx.ModelProto) -> OnnxRunner:
    runner = OnnxRunner()
    runner.load(onnx_models.save(proto, tmp_path / "model.onnx"), RunnerOptions())
    return runner


def batch_of(value: float) -> RunBatch:
    return RunBatch(0, (np.full(1, value, np.float32),), (np.empty(1, np.float32),))


class Runs(threading.Thread):
    """One run in a thread of its own."""

    def __init__(self, lane: RunnerLane, batch: RunBatch) -> None:
        super().__init__(daemon=True)
        self._lane = lane
        self._batch = batch
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._lane.run(self._batch)
        except Exception as error:
            self.error = error

    def until_under_way(self) -> None:
        """Wait until the thread has computed for a while."""
        assert self.ident is not None
        clock = time.pthread_getcpuclockid(self.ident)
        deadline = time.monotonic() + SECONDS
        while time.clock_gettime(clock) < CPU_SECONDS:
            assert time.monotonic() < deadline
            self.join(0.001)
            assert self.is_alive()


def test_a_run_under_way_ends_and_the_next_one_runs(tmp_path: Path) -> None:
    runner = loaded(tmp_path, endless())
    assert isinstance(runner, Cancellable)
    lane = runner.lane()
    runs = Runs(lane, batch_of(1))
    runs.start()
    runs.until_under_way()
    lane.cancel()
    runs.join(SECONDS)
    assert not runs.is_alive()
    assert isinstance(runs.error, RuntimeError)
    lane.renew()
    quick = batch_of(0)
    assert lane.run(quick) is quick.outputs


def test_the_other_lanes_go_on(tmp_path: Path) -> None:
    runner = loaded(tmp_path, endless())
    one, other = runner.lane(), runner.lane()
    runs = Runs(other, batch_of(1))
    runs.start()
    runs.until_under_way()
    one.cancel()
    with pytest.raises(RuntimeError):
        one.run(batch_of(1))
    runner.run(batch_of(0))
    assert runs.is_alive()
    other.cancel()
    runs.join(SECONDS)
    assert not runs.is_alive()


def test_a_cancelled_run_stops_among_its_nodes(tmp_path: Path) -> None:
    layers = [f"h{index}" for index in range(400)]
    nodes = [
        helper.make_node("MatMul", [source, "w"], [target])
        for source, target in zip(["x", *layers], [*layers, "y"], strict=True)
    ]
    proto = onnx_models.model(
        nodes,
        [onnx_models.value("x", ["batch", 32])],
        [onnx_models.value("y", ["batch", 32])],
        [onnx_models.weights("w", 32, 32)],
    )
    lane = loaded(tmp_path, proto).lane()
    x = np.ones((64, 32), np.float32)
    y = np.full((64, 32), 7, np.float32)
    batch = RunBatch(1, (x,), (y,))
    lane.cancel()
    with pytest.raises(RuntimeError):
        lane.run(batch)
    # The last node writes there.
    assert (y == 7).all(), "it ran to its end"
    lane.renew()
    lane.run(batch)
    assert not (y == 7).all()


def test_bad_values_are_still_told_from_failures(tmp_path: Path) -> None:
    lane = loaded(tmp_path, onnx_models.embedding(masked=False, vocabulary=5)).lane()
    batch = RunBatch(1, (np.array([[9]], np.int64),), (None,))
    lane.cancel()
    with pytest.raises(RuntimeError) as caught:
        lane.run(batch)
    assert not isinstance(caught.value, InvalidRequest)
    lane.renew()
    with pytest.raises(InvalidRequest):
        lane.run(batch)
