"""Loading at low priority: what has it, and what must not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from maas_server import _core
from maas_server.models.background import Background, cpu_clock
from maas_server.models.config import ModelConfig
from maas_server.models.loader import LoadedVersion, load_version
from maas_server.models.onnx_runner import OnnxRunner
from maas_server.models.runner import Array, BackgroundLoading, RunBatch, Runner, RunnerOptions
from tests.models import onnx_models
from tests.models.conftest import source_of
from tests.models.fakes import FakeRunner

T = TypeVar("T")

SECONDS = 10

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="the policy is Linux's")


def in_new_thread(work: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def policy() -> int:
    return os.sched_getscheduler(0)


def threads() -> set[int]:
    return {int(task.name) for task in Path("/proc/self/task").iterdir()}


def policies_of_new(before: set[int], count: int) -> set[int]:
    """Return the policies of the threads that were not there before, once there are as many."""
    deadline = time.monotonic() + SECONDS
    # Threads that were joined are in the list for some moments more.
    while len(new := threads() - before) != count:
        assert time.monotonic() < deadline, f"expected {count} new threads, got {len(new)}"
        threading.Event().wait(0.001)
    return {os.sched_getscheduler(thread) for thread in new}


class Watched(OnnxRunner):
    """Remembers the priority at which it was run, and the threads that its session has."""

    def __init__(self) -> None:
        super().__init__()
        self.policies: set[int] = set()

    def run(self, batch: RunBatch) -> Sequence[Array]:
        self.policies.add(policy())
        return super().run(batch)


class Plain(FakeRunner):
    """Says nothing of backgrounds."""

    policies: set[int]

    def load(self, path: Path, options: RunnerOptions) -> None:
        self.policies = {policy()}

    def run(self, batch: RunBatch) -> Sequence[Array]:
        self.policies.add(policy())
        return super().run(batch)


def load(tmp_path: Path, runner: Runner, *, threads: int = 1, quiet: bool = True) -> LoadedVersion:
    path = onnx_models.save(onnx_models.linear(), tmp_path / "model.onnx")
    return load_version(source_of(path), ModelConfig(threads=threads), find_runner=lambda _: runner, quiet=quiet)


@pytest.mark.parametrize("count", [1, 3])
def test_a_quiet_load_has_the_lowest_priority_and_the_models_threads_have_not(tmp_path: Path, count: int) -> None:
    usual = policy()
    runner = Watched()
    before = threads()
    in_new_thread(lambda: load(tmp_path, runner, threads=count))
    assert runner.policies == {os.SCHED_IDLE}
    assert policies_of_new(before, count - 1) <= {usual}
    runner.close()


def test_a_model_loaded_anew_after_its_trial_has_usual_threads_too(tmp_path: Path) -> None:
    usual = policy()
    runner = OnnxRunner()
    path = onnx_models.save(onnx_models.linear(), tmp_path / "model.onnx")
    before = threads()

    def load_twice() -> None:
        with Background() as background:
            runner.load_in_background(path, RunnerOptions(threads=3), background.at_usual_priority)
            runner.reset()

    in_new_thread(load_twice)
    assert policies_of_new(before, 2) == {usual}
    runner.close()


def test_runners_that_do_not_offer_it_keep_their_priority(tmp_path: Path) -> None:
    usual = policy()
    runner = Plain()
    assert not isinstance(runner, BackgroundLoading)
    in_new_thread(lambda: load(tmp_path, runner))
    assert runner.policies == {usual}


def test_what_is_not_quiet_keeps_its_priority(tmp_path: Path) -> None:
    usual = policy()
    runner = Watched()
    in_new_thread(lambda: load(tmp_path, runner, quiet=False))
    assert runner.policies == {usual}
    runner.close()


def test_a_quiet_load_tells_the_same_as_another(tmp_path: Path) -> None:
    quiet = in_new_thread(lambda: load(tmp_path, OnnxRunner()))
    other = load(tmp_path, OnnxRunner(), quiet=False)
    assert quiet.digest == other.digest
    assert quiet.signature == other.signature
    assert (quiet.plan.batching, quiet.plan.outputs) == (other.plan.batching, other.plan.outputs)
    quiet.runner.close()
    other.runner.close()


def test_whether_runs_compute_alone_follows_from_the_options(tmp_path: Path) -> None:
    path = onnx_models.save(onnx_models.linear(), tmp_path / "model.onnx")

    def alone(threads: int, **options: object) -> bool:
        runner = OnnxRunner()
        runner.load(path, RunnerOptions(threads, options))
        told = runner.computes_alone()
        runner.close()
        return told

    assert alone(1)
    assert not alone(2)
    assert not alone(1, execution_mode="parallel", inter_op_threads=2)


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_the_cpu_time_of_a_background_is_not_the_servers() -> None:
    def work() -> None:
        with Background():
            burn(0.1)

    before, process = _core.serving_cpu_ns(), time.process_time()
    in_new_thread(work)
    assert time.process_time() - process >= 0.1
    assert _core.serving_cpu_ns() - before < 0.1e9
    before = _core.serving_cpu_ns()
    in_new_thread(lambda: burn(0.05))
    assert _core.serving_cpu_ns() - before >= 0.05e9


def test_more_threads_than_there_are_places_are_counted_as_ever() -> None:
    together = threading.Barrier(20)

    def leave() -> None:
        _core.leave_serving_cpu()
        _core.leave_serving_cpu()
        together.wait(10)

    before = _core.serving_cpu_ns()
    with ThreadPoolExecutor(20) as pool:
        for done in [pool.submit(leave) for _ in range(20)]:
            done.result()
    assert _core.serving_cpu_ns() - before >= 0


def test_a_cpu_clock_counts_its_own_thread_wherever_it_is_read() -> None:
    clock = cpu_clock()
    before = clock()
    in_new_thread(lambda: burn(0.05))
    waited = clock() - before
    burn(0.05)
    assert clock() - before - waited >= 0.05
    assert in_new_thread(clock) >= before + 0.05


def test_wakers_keep_to_periods_that_make_sense() -> None:
    for period in (0, 99, 100_001):
        with pytest.raises(ValueError, match="period_us"):
            _core.Waker(period)
    waker = _core.Waker(100)
    waker.close()
    waker.close()
