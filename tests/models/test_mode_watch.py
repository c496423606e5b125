"""Changes of mode are logged, once each."""

from __future__ import annotations

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from maas_server.models.host import Mode
from maas_server.models.mode_watch import ModeWatch


@pytest.fixture(autouse=True)
def _default_logging() -> None:
    structlog.reset_defaults()


def test_a_change_is_logged_once_with_its_reason() -> None:
    modes: dict[tuple[str, int], Mode] = {("m", 1): "predictive", ("m", 2): "work_conserving"}
    watch = ModeWatch(lambda: [(*key, mode) for key, mode in modes.items()])
    with capture_logs() as logs:
        watch.look()
    assert logs == [], "the first mode is no change"

    modes["m", 1] = "work_conserving"
    with capture_logs() as logs:
        watch.look()
        watch.look()
    (log,) = logs
    assert (log["event"], log["log_level"]) == ("scheduling_mode", "warning")
    assert (log["model"], log["version"], log["mode"]) == ("m", 1, "work_conserving")
    assert "nothing is refused because of a prediction" in log["reason"]

    modes["m", 1] = "predictive"
    with capture_logs() as logs:
        watch.look()
    assert [(log["log_level"], log["mode"], log["reason"]) for log in logs] == [
        ("info", "predictive", "predictions hold again")
    ]


def test_a_version_that_comes_back_begins_anew() -> None:
    modes: list[tuple[str, int, Mode]] = [("m", 1, "predictive")]
    watch = ModeWatch(lambda: modes)
    with capture_logs() as logs:
        for now in ([("m", 1, "predictive")], [], [("m", 1, "work_conserving")]):
            modes[:] = now  # type: ignore[assignment]
            watch.look()
    assert logs == []


async def test_it_looks_at_once_and_again() -> None:
    looks = asyncio.Semaphore(0)

    def modes() -> list[tuple[str, int, Mode]]:
        looks.release()
        return []

    running = asyncio.create_task(ModeWatch(modes).run())
    async with asyncio.timeout(20):
        for _ in range(2):
            await looks.acquire()
    running.cancel()
