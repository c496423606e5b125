"""What is left of a process's threads at its end, and who is told of signals."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from maas_server import process


def test_our_threads_that_do_not_end_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LAST_THREADS_SECONDS", 0.01)
    end = threading.Event()
    threads = [threading.Thread(target=end.wait, name=name) for name in ("maas-stuck", "other")]
    for thread in threads:
        thread.start()
    try:
        left = process.threads_left()
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert "maas-stuck" in left
    assert "other" not in left
    assert "maas-stuck" not in process.threads_left()


def test_threads_of_which_python_does_not_know_are_named_and_their_owner_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "_left_running", [])
    owner = object()
    assert "maas-io" not in process.threads_left()
    process.leave_running("maas-io", owner)
    assert "maas-io" in process.threads_left()
    assert any(kept is owner for _, kept in process._left_running)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_that_end_a_process_are_told_for_as_long_as_somebody_wants_them(number: signal.Signals) -> None:
    told: asyncio.Queue[signal.Signals] = asyncio.Queue()
    with process.signals_to(told.put_nowait):
        os.kill(os.getpid(), number)
        assert await told.get() is number
    assert not asyncio.get_running_loop().remove_signal_handler(number)
