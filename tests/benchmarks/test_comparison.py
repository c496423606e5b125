"""What the benchmarks make of their measurements, and what they refuse to take for an answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import load, report
from benchmarks.bench import alternate, median, median_ratio
from benchmarks.load import Call
from benchmarks.report import Circumstances, Goal, Result, append_to_history, table

GOOD_REPORT = """
finished in 250.00ms, 400.00 req/s, 12.00KB/s
requests: 100 total, 100 started, 100 done, 100 succeeded, 0 failed, 0 errored, 0 timeout
traffic: 10.00KB (10240) total, 1.00KB (1024) headers (space savings 90.00%), 4.88KB (5000) data
"""


def result(ratio: float, value: float = 7.0, goal: Goal = Goal("<=", 1.15)) -> Result:  # noqa: B008 - frozen.
    return Result("unary", value, "CPU-µs/request", 6.5, "echo", goal, ratio)


@pytest.mark.parametrize(
    ("goal", "ratio", "value", "met"),
    [
        (Goal("<=", 1.15), 1.15, 99, True),
        (Goal("<=", 1.15), 1.16, 0, False),
        (Goal(">=", 0.8), 0.8, 0, True),
        (Goal(">=", 0.8), 0.79, 99, False),
        (Goal("<=", 60, of="value"), 99, 60, True),
        (Goal("<=", 60, of="value"), 0, 60.1, False),
    ],
)
def test_a_goal_is_met_by_its_ratio_or_value(goal: Goal, ratio: float, value: float, met: bool) -> None:
    assert result(ratio, value, goal).met is met


def test_sides_take_turns_and_the_first_round_does_not_count() -> None:
    turns = iter([100.0, 1.0, 2.0, 4.0, 9.0, 3.0])
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return next(turns)

    rounds = alternate(2, ours=lambda: side("ours"), echo=lambda: side("echo"))

    assert order == ["ours", "echo"] * 3
    assert rounds == [{"ours": 2.0, "echo": 4.0}, {"ours": 9.0, "echo": 3.0}]
    assert median(rounds, "ours") == 5.5
    assert median_ratio(rounds, "ours", "echo") == 1.75


def test_the_table_marks_what_missed_its_goal() -> None:
    head, good, bad = table([result(1.0), result(2.0)]).splitlines()
    assert head.split()[0] == "scenario"
    assert good.endswith("yes")
    assert bad.endswith("NO")


def test_history_keeps_the_result_with_its_circumstances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "HISTORY", tmp_path / "history")
    monkeypatch.setenv("MAAS_FRONT", "compiled")
    circumstances = Circumstances.observe("SCHED_BATCH")
    assert "MAAS_FRONT=compiled" in circumstances.header()

    append_to_history(result(1.0), circumstances)
    append_to_history(result(2.0), circumstances)

    (file,) = (tmp_path / "history").iterdir()
    assert file.name.endswith(f"-{circumstances.commit}.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["met"] for line in lines] == [True, False]
    assert lines[0]["settings"]["MAAS_FRONT"] == "compiled"
    wanted = {"name", "value", "unit", "reference", "ratio", "goal", "met", "commit", "cpu", "versions"}
    assert wanted | {"scheduling_policy", "load_average"} <= set(lines[0])


@pytest.mark.parametrize(
    ("bytes_per_reply", "report_text"),
    [
        ((51, 60), GOOD_REPORT),
        ((40, 49), GOOD_REPORT),
        ((50, 50), GOOD_REPORT.replace("100 succeeded", "99 succeeded")),
        ((50, 50), "h2load: could not connect"),
    ],
    ids=["too short", "too long", "one failed", "nothing"],
)
def test_answers_of_the_wrong_size_or_number_are_refused(bytes_per_reply: tuple[int, int], report_text: str) -> None:
    with pytest.raises(RuntimeError, match="not every answer is good"):
        load.check_report(report_text, Call("/a/b", Path("body"), reply_bytes=bytes_per_reply), 100)


def test_answers_of_the_right_size_are_taken() -> None:
    load.check_report(GOOD_REPORT, Call("/a/b", Path("body"), reply_bytes=(50, 50)), 100)
    assert load.seconds_of(GOOD_REPORT) == 0.25


def test_a_call_is_written_as_framed_messages(tmp_path: Path) -> None:
    call = Call.write(tmp_path, "/a/b", [b"xyz", b""], requests=2, reply=(10, 20))
    assert call.body.read_bytes() == b"\0\0\0\0\3xyz" + b"\0\0\0\0\0"
    assert call.reply_bytes == (15, 25)
