from __future__ import annotations

from maas_server.models.arena import ShrinkPolicy

PEAK, SMALL = 1 << 20, 1 << 10


def test_shrinks_once_after_a_window_of_small_runs() -> None:
    policy = ShrinkPolicy(window=10)
    assert not policy.should_shrink(PEAK, 1.0)
    assert not policy.should_shrink(SMALL, 5.0)
    assert not policy.should_shrink(SMALL, 11.0)  # The window that holds the peak itself.
    assert policy.should_shrink(SMALL, 21.0)
    assert not policy.should_shrink(SMALL, 31.0)


def test_does_not_shrink_while_peaks_go_on() -> None:
    policy = ShrinkPolicy(window=10)
    for second in range(0, 100, 5):
        assert not policy.should_shrink(PEAK if second % 10 else SMALL, float(second + 1))


def test_small_peaks_are_left_alone() -> None:
    policy = ShrinkPolicy(window=10, floor=PEAK)
    policy.should_shrink(PEAK, 1.0)
    assert not any(policy.should_shrink(SMALL, float(second)) for second in range(2, 100))


def test_a_new_peak_can_be_given_back_again() -> None:
    policy = ShrinkPolicy(window=10)
    shrinks = [policy.should_shrink(PEAK if second % 50 == 0 else SMALL, float(second + 1)) for second in range(150)]
    assert sum(shrinks) == 3
