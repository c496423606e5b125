"""JSON to values and back, in steps: whoever waits for Python's lock gets it in between."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from typing import Any

# About so many values are written at a time, which takes a few milliseconds.
_VALUES_AT_ONCE = 4096


def parse(text: str) -> Any:
    """Return the value; NaN, Infinity and -Infinity are taken as numbers.

    Raises:
        ValueError: it is no JSON, or a number has too many digits.
        RecursionError: it is nested too deep.
    """
    # Millions of new lists make the collector look at all of them again and again, in vain: none is garbage yet. No
    # other thread runs meanwhile, for the parser keeps Python's lock.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return json.loads(text)
    finally:
        if collecting:
            gc.enable()


def dump(value: object) -> bytes:
    """Return JSON in UTF-8, without spaces; numbers that JSON has no form for are NaN, Infinity and -Infinity."""
    return "".join(_pieces(value)).encode()


def _pieces(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        separator = "{"
        for key, each in value.items():
            yield f"{separator}{_text(str(key))}:"
            yield from _pieces(each)
            separator = ","
        yield "}" if value else "{}"
    elif isinstance(value, list) and value and (step := _VALUES_AT_ONCE // _weight(value[0])) < len(value):
        separator = "["
        for start in range(0, len(value), max(step, 1)):
            yield separator
            if step:
                yield _text(value[start : start + step])[1:-1]
            else:
                yield from _pieces(value[start])
            separator = ","
        yield "]"
    else:
        yield _text(value)


def _weight(value: object) -> int:
    """Return about how many values are in it, judged by the first one of each list."""
    if isinstance(value, list) and value:
        return len(value) * _weight(value[0])
    if isinstance(value, dict):
        return 1 + sum(map(_weight, value.values()))
    return 1


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
