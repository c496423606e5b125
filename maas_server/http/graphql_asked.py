"""What resolvers of GraphQL know of the request. Without GraphQL itself, which may not be installed."""

from __future__ import annotations

from dataclasses import dataclass

from maas_server.http.caller import Caller
from maas_server.http.large_json import LargeJson


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, beside its query."""

    large: LargeJson
    """Writes what has to be written as JSON."""
    caller: Caller
