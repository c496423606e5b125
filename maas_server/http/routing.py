"""Which path is whose. Names of models may hold slashes, colons and dots, as they are or percent-encoded."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from maas_server.errors import InvalidRequest
from maas_server.http.messages import JSON, Request, Response

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of a path does, and what its documentation says."""

    handler: Handler
    summary: str
    request: str = ""
    """Name of the schema of the request's body; "": it has none."""
    response: str = ""
    """Name of the schema of the answer; "": its body is `content_type`'s, or empty."""
    content_type: str = JSON
    query: Mapping[str, Any] = field(default_factory=dict)
    """Schemas of the parameters that may follow a question mark."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path: a template such as `/v2/models/{model}/ready`, where only `model` may hold slashes."""

    template: str
    operations: Mapping[str, Operation]
    """By method."""
    tag: str

    @property
    def names(self) -> list[str]:
        """The parameters in the template."""
        return re.findall(r"{(\w+)}", self.template)


class Router:
    """Finds routes, the first that fits: list those that say more before those that say less."""

    def __init__(self, routes: Sequence[Route]) -> None:
        """Compile the templates."""
        self.routes = tuple(routes)
        self._patterns = [(re.compile(_pattern(route.template)), route) for route in routes]

    def find(self, raw_path: str) -> tuple[Route, dict[str, str]] | None:
        """Return the route of a path that is still percent-encoded, and its parameters, decoded.

        Raises:
            InvalidRequest: a parameter is no UTF-8.
        """
        for pattern, route in self._patterns:
            if match := pattern.fullmatch(raw_path):
                return route, {name: decode(value) for name, value in match.groupdict().items()}
        return None


def decode(text: str) -> str:
    """Undo percent-encoding.

    Raises:
        InvalidRequest: the bytes are no UTF-8.
    """
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the path is not UTF-8") from None


def _pattern(template: str) -> str:
    # Reluctant: of `a/versions/3` only `a` is the model, and a version is a whole segment.
    def group(match: re.Match[str]) -> str:
        return f"(?P<{match[1]}>.+?)" if match[1] == "model" else f"(?P<{match[1]}>[^/:]+)"

    return re.sub(r"{(\w+)}", group, template)
