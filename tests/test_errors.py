"""Errors of any origin can be sent."""

from __future__ import annotations

import pytest

from maas_server.errors import LoadError, error_text


class Silent(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_message_that_is_no_unicode_is_escaped() -> None:
    assert LoadError("a file \udcff and a café").message == "a file \\udcff and a café"


def test_a_message_has_room_in_headers() -> None:
    message = LoadError("x" * 1_000_000).message
    assert len(message) == 2000
    assert message.endswith("x...")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("seven"), "seven"),
        (ValueError(), "ValueError"),
        (SystemExit(3), "3"),
        (UnicodeError("\ud800"), "\\ud800"),
        (Silent("lost"), "Silent"),
    ],
)
def test_every_error_has_a_text(error: BaseException, text: str) -> None:
    assert error_text(error) == text
