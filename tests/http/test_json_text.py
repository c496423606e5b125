"""JSON written in pieces is the JSON that would be written at once."""

from __future__ import annotations

import gc
import json
import math
from typing import Any

import pytest

from maas_server.http import json_text


def at_once(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"a": {}, "b": [], "c": [[], []], "é\n": None},
        list(range(10_000)),
        [[n, n + 0.5] for n in range(9_000)],
        [[0.25] * 9_000, [0.5] * 9_000],
        [[[1] * 100] * 100] * 3,
        [[] for _ in range(9_000)],
        [{"y": [n] * 3_000, "z": "ü"} for n in range(5)],
        [{"y": n} for n in range(9_000)],
        {"outputs": [{"name": "y", "data": ["ä"] * 5_000}, {"name": "z", "data": [True, None] * 5_000}]},
        "text",
        1.5,
    ],
)
def test_pieces_are_the_whole(value: Any) -> None:
    assert json_text.dump(value).decode() == at_once(value)


def test_numbers_without_a_form_are_written_as_javascript_calls_them() -> None:
    assert json_text.dump([math.nan, math.inf, -math.inf]) == b"[NaN,Infinity,-Infinity]"


@pytest.mark.parametrize("value", [[0.5] * 100_000, [[0.5] * 1_000] * 100, [{"y": [0.5] * 1_000}] * 100])
def test_no_piece_is_long(value: Any) -> None:
    assert max(map(len, json_text._pieces({"data": value}))) < 100_000


def test_the_collector_waits_for_the_parser_and_goes_on_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(json, "loads", lambda _: seen.append(gc.isenabled()))
    json_text.parse("[]")
    assert seen == [False]
    assert gc.isenabled()


def test_the_collector_goes_on_after_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        json_text.parse("[")
    assert gc.isenabled()
