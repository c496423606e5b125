"""What ends the run of one lane, against lanes that run nothing."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from maas_server.lane import CurrentRun
from maas_server.models.runner import Array, RunBatch

SECONDS = 30


class FakeLane:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.told: list[str] = []

    def run(self, batch: RunBatch) -> Sequence[Array]:
        raise NotImplementedError

    def cancel(self) -> None:
        self.told.append("cancel")
        self.cancelled.set()

    def renew(self) -> None:
        self.told.append("renew")
        self.cancelled.clear()


@pytest.fixture
def lane() -> FakeLane:
    return FakeLane()


@pytest.fixture
def current(lane: FakeLane) -> CurrentRun:
    return CurrentRun(lane)


def test_a_run_under_way_is_ended_and_the_next_is_as_always(current: CurrentRun, lane: FakeLane) -> None:
    assert current.begin(1)
    current.cancel(1)
    assert lane.told == ["cancel"]
    assert current.end()
    assert lane.told == ["cancel", "renew"]
    assert current.begin(2)
    assert not current.end()


def test_a_run_that_is_over_is_not_missed_by_the_next(current: CurrentRun, lane: FakeLane) -> None:
    assert current.begin(1)
    assert not current.end()
    current.cancel(1)
    assert current.begin(2)
    current.cancel(1)
    assert not current.end()
    assert lane.told == []


def test_a_run_that_has_not_begun_never_does(current: CurrentRun, lane: FakeLane) -> None:
    current.cancel(4)
    assert not current.begin(4)
    assert not current.end()
    assert "cancel" not in lane.told
    assert current.begin(5)
    assert not current.end()


def test_what_comes_late_does_not_undo_what_came_before(current: CurrentRun) -> None:
    current.cancel(7)
    current.cancel(6)
    assert not current.begin(7)


def test_nothing_that_was_begun_is_nothing_that_was_cancelled(current: CurrentRun) -> None:
    assert not current.end()
    current.cancel(1)
    assert not current.end()


def test_the_next_run_begins_after_the_last_was_cancelled_to_the_end() -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(FakeLane):
        def cancel(self) -> None:
            entered.set()
            assert go_on.wait(SECONDS)
            super().cancel()

    lane = Slow()
    current = CurrentRun(lane)
    assert current.begin(1)
    with ThreadPoolExecutor(2) as threads:
        canceller = threads.submit(current.cancel, 1)
        assert entered.wait(SECONDS)
        ender = threads.submit(current.end)
        # Time enough for one that does not wait.
        wait([ender], 0.02)
        go_on.set()
        assert ender.result(SECONDS)
        canceller.result(SECONDS)
    assert lane.told == ["cancel", "renew"]


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
@pytest.mark.parametrize("seed", range(4))
def test_only_runs_that_were_cancelled_end_early_whatever_the_moment(seed: int) -> None:
    lane = FakeLane()
    current = CurrentRun(lane)
    rng = random.Random(seed)
    runs = 1000
    doomed = {number for number in range(1, runs + 1) if rng.random() < 0.5}
    at = 0
    over = threading.Event()

    def cancel_what_runs() -> None:
        done = 0
        while not over.is_set():
            number = at
            if number != done and number in doomed:
                # By now another run may be under way.
                current.cancel(number)
                done = number

    with ThreadPoolExecutor(1) as threads:
        canceller = threads.submit(cancel_what_runs)
        try:
            for number in range(1, runs + 1):
                at = number
                began = current.begin(number)
                # As long as a run might take, so that some are ended, some are over before.
                hit = began and lane.cancelled.wait(rng.choice((0, 0, 1e-5, 1e-4)))
                ended = current.end()
                assert not lane.cancelled.is_set(), f"run {number} left something behind"
                if number not in doomed:
                    assert began, f"run {number} was held back"
                    assert not hit, f"run {number} was ended"
                    assert not ended, f"run {number} is said to be cancelled"
                assert ended or not hit
        finally:
            over.set()
        canceller.result()
    assert "cancel" in lane.told
