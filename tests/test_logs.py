"""Logs: one line per event, for our events and for the standard library's."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from maas_server.observe import logs
from tests.logging_state import restored_logging


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    with restored_logging():
        yield


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_its_time_in_utc() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    structlog.get_logger("maas_server.server").info("drain_started", pending=12)
    (line,) = lines(stream)
    assert (line["event"], line["pending"], line["level"], line["logger"]) == (
        "drain_started",
        12,
        "info",
        "maas_server.server",
    )
    assert line["timestamp"].endswith("Z")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(line["timestamp"])).total_seconds()) < 60


def test_the_standard_librarys_logs_come_out_in_the_same_form() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    logging.getLogger("asyncio").warning("slow callback took %s s", 2, extra={"task": "t"})
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["logger"], line["task"]) == (
        "slow callback took 2 s",
        "warning",
        "asyncio",
        "t",
    )


@pytest.mark.parametrize(("level", "expected"), [("debug", ["d", "i", "w"]), ("info", ["i", "w"]), ("warning", ["w"])])
def test_the_level_holds_for_both(level: logs.LogLevel, expected: list[str]) -> None:
    stream = io.StringIO()
    logs.configure("json", level, stream)
    for logger in (structlog.get_logger("ours"), logging.getLogger("theirs")):
        logger.debug("d")
        logger.info("i")
        logger.warning("w")
    assert [line["event"] for line in lines(stream)] == expected * 2


def test_an_exception_stays_within_its_line() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    try:
        raise LookupError("lost")
    except LookupError:
        structlog.get_logger("ours").exception("load_failed")
        logging.getLogger("theirs").exception("failed")
    first, second = lines(stream)
    assert "LookupError: lost" in first["exception"]
    assert "LookupError: lost" in second["exception"]


def test_bound_context_appears_in_every_line() -> None:
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    with structlog.contextvars.bound_contextvars(model="digits"):
        structlog.get_logger("ours").info("loaded")
    assert lines(stream)[0]["model"] == "digits"


def test_a_terminal_gets_pretty_lines_and_a_pipe_gets_json() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        logs.configure("auto", "info", stream)
        structlog.get_logger("ours").info("started", port=8001)
    assert "\x1b[" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert lines(pipe)[0]["port"] == 8001


def test_pretty_lines_hold_plain_traces_without_the_values_of_variables() -> None:
    stream = io.StringIO()
    logs.configure("pretty", "info", stream)
    secret = "token-1234"
    try:
        raise LookupError("lost")
    except LookupError:
        structlog.get_logger("ours").exception("load_failed")
    text = stream.getvalue()
    assert "LookupError: lost" in text
    assert secret not in text
    assert "\x1b[" not in text


def test_configuring_again_replaces_the_output() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.configure("json", "info", first)
    logger = structlog.get_logger("ours")
    logger.info("one")
    logs.configure("json", "info", second)
    logger.info("two")
    assert [line["event"] for line in lines(first)] == ["one"]
    assert [line["event"] for line in lines(second)] == ["two"]
