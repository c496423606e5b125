"""Requests and responses as the routes see them."""

from __future__ import annotations

import json
import math
import pickle
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maas_server.errors import InvalidRequest, Overloaded, Violation

if TYPE_CHECKING:
    from maas_server.http.caller import Caller
    from maas_server.http.large_json import LargeJson

JSON = "application/json"
OCTETS = "application/octet-stream"

Headers = Sequence[tuple[str, str]]

# What JSON lacks is taken and given by these names.
INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}
_DECODER = json.JSONDecoder(parse_constant=lambda name: INFINITIES.get(name, math.nan))
_LONG_NUMBER = 10**20
# Objects, arrays and values of bodies that come back from another process as they are.
_MAX_VALUES = 100_000


class Blob:
    """Bytes that pass between processes without a copy more."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | memoryview) -> None:
        """Keep `data`."""
        self.data = data

    def __reduce_ex__(self, _: object) -> tuple[type[Blob], tuple[Any, ...]]:
        """Pickle the bytes out of band."""
        return type(self), (pickle.PickleBuffer(self.data),)


class RawJson(Blob):
    """JSON text that stands for its value in what is dumped."""

    __slots__ = ()


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
    large: LargeJson
    """Does what there is to do with JSON."""
    caller: Callable[[], Caller]
    """Read from the headers who asks. Raises InvalidRequest."""

    async def json(self) -> dict[str, Any]:
        """Return the body, which has to be a JSON object; {} for none.

        Raises:
            InvalidRequest: it is something else.
        """
        body = await self.read()
        return await self.large.read(len(body), parse_few, Blob(body)) if body.strip() else {}


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


def dump(value: object) -> bytes:
    """Return JSON in UTF-8, without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def dump_within(value: object, most: int) -> bytes:
    """Return JSON as `dump` does, with the text of RawJson in place.

    Raises:
        Overloaded: it has more than `most` bytes.
    """
    mark = uuid.uuid4().hex
    texts: list[bytes | memoryview] = []
    size = 0

    def default(other: object) -> str:
        nonlocal size
        if not isinstance(other, RawJson):
            raise TypeError(f"{type(other).__name__} has no form in JSON")
        size += len(other.data)
        check_size(size, most)
        texts.append(other.data)
        return mark

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=default).encode()
    check_size(len(text) + size, most)
    if not texts:
        return text
    around = text.split(f'"{mark}"'.encode())
    return b"".join(piece for pair in zip(around, [*texts, b""], strict=True) for piece in pair)


def check_size(size: float, most: int) -> None:
    """Refuse an answer of `size` bytes of JSON if that is more than `most`.

    Raises:
        Overloaded: it is.
    """
    if size > most:
        raise Overloaded(
            f"the answer would have about {math.ceil(size)} bytes of JSON, and --max-message-bytes is {most}; ask for "
            "less, or for binary data (binary_data_output) of /v2/models/{model}/infer",
            reason="ANSWER_TOO_LARGE",
        )


def parse_few(text: Blob) -> dict[str, Any]:
    """Parse a JSON object as `parse_object` does, of few values, which may be long.

    Raises:
        InvalidRequest: it is none, or has too many values.
    """
    value = parse_object(text.data)
    check_few(value)
    return value


def check_few(value: dict[str, Any]) -> None:
    """Refuse what has more values than a body needs that is no tensor's.

    Raises:
        InvalidRequest: it has.
    """
    waiting: list[Any] = [value]
    count = 0
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            count += len(each)
            if count > _MAX_VALUES:
                raise InvalidRequest(f"the body has more than {_MAX_VALUES} values besides the data of tensors")
            waiting += each.values() if isinstance(each, dict) else each


def parse_object(text: bytes | memoryview) -> dict[str, Any]:
    """Parse a JSON object in UTF-8; NaN, Infinity and -Infinity are taken as numbers.

    Raises:
        InvalidRequest: it is none, or nested too deep, or a number in it has too many digits.
    """
    try:
        value = _DECODER.decode(str(text, "utf-8"))
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
    """Return what JSON calls the value, or a number itself, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value) if abs(value) < _LONG_NUMBER or isinstance(value, float) else "a number"
    names: dict[type, str] = {str: "a string", list: "an array", dict: "an object"}
    return names[type(value)] if type(value) in names else type(value).__name__


def wrong(field_path: str, expected: str, value: object) -> InvalidRequest:
    """Return the error for a field that has another type or value than expected."""
    return invalid(field_path, f"expected {expected}, got {kind(value)}")


def invalid(field_path: str, problem: str) -> InvalidRequest:
    """Return the error for one field."""
    return InvalidRequest(f"{field_path}: {problem}", violations=[Violation(field_path, problem)])
