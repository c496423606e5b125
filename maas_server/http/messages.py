"""Requests and responses as the routes see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from maas_server.errors import InvalidRequest, Violation
from maas_server.http.apart import apart
from maas_server.http.json_text import dump, parse

JSON = "application/json"
OCTETS = "application/octet-stream"

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, once its route is found."""

    method: str
    params: Mapping[str, str]
    """What the route's template names, decoded; without those that the path leaves out."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case name; several of one name are joined by commas."""
    read: Callable[[], Awaitable[bytes]]
    """Read the whole body, within the limits, decompressed."""
    gone: Callable[[], Awaitable[None]]
    """Return when the caller has gone away. Only after `read`."""

    async def json(self) -> dict[str, Any]:
        """Return the body, which has to be a JSON object; {} for none.

        Raises:
            InvalidRequest: it is something else.
        """
        body = await self.read()
        return await apart(len(body), lambda: parse_object(body) if body.strip() else {})


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back."""

    body: bytes = b""
    status: int = 200
    content_type: str = JSON
    headers: Headers = field(default_factory=tuple)


def json_response(value: object, status: int = 200, headers: Headers = ()) -> Response:
    """Return `value` as JSON; numbers that JSON has no form for are written NaN, Infinity and -Infinity."""
    return Response(dump(value), status, headers=headers)


def parse_object(text: bytes | memoryview) -> dict[str, Any]:
    """Parse a JSON object in UTF-8; NaN, Infinity and -Infinity are taken as numbers.

    Raises:
        InvalidRequest: it is none, or nested too deep, or a number in it has too many digits.
    """
    try:
        value = parse(str(text, "utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise InvalidRequest("the JSON is nested too deep") from None
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"expected a JSON object, got {kind(value)}")
    return value


def whole_number(text: str, most: int) -> int | None:
    """Return the number that `text` spells in decimal digits; None: it is none, or more than `most`."""
    if not (text.isascii() and text.isdecimal()):
        return None
    # Python refuses to read thousands of digits, even if they are zeros.
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(most)) or int(digits) > most:
        return None
    return int(digits)


def kind(value: object) -> str:
    """Return what JSON calls the value, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return "a number"
    names: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}
    return names[type(value)] if type(value) in names else type(value).__name__


def wrong(field_path: str, expected: str, value: object) -> InvalidRequest:
    """Return the error for a field that has another type or value than expected."""
    return invalid(field_path, f"expected {expected}, got {kind(value)}")


def invalid(field_path: str, problem: str) -> InvalidRequest:
    """Return the error for one field."""
    return InvalidRequest(f"{field_path}: {problem}", violations=[Violation(field_path, problem)])
