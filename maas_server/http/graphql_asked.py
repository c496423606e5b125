"""What the resolvers of graphql_schema.py know of the request, told by graphql_routes.py.

Without GraphQL itself, which may not be installed.
"""

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
