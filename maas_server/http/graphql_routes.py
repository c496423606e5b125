"""/graphql, which needs the extra of this name."""

from __future__ import annotations

import importlib.util
from typing import Any

from maas_server.errors import InvalidRequest, Unimplemented
from maas_server.front import Front
from maas_server.http import tensors
from maas_server.http.graphql_asked import Asked
from maas_server.http.infer import while_present
from maas_server.http.infer_request import shape_of
from maas_server.http.messages import Blob, Request, Response, check_few, dump_within, parse_object, wrong
from maas_server.http.models import Models
from maas_server.http.routing import Operation, Route

_MISSING = 'GraphQL is not installed; pip install "maas-server[graphql]" brings it'


class GraphQLRoutes:
    """Serves GraphQL over HTTP."""

    def __init__(self, front: Front, models: Models) -> None:
        """Nothing is imported yet."""
        self._front = front
        self._models = models
        self._executor: Any = None

    def routes(self) -> list[Route]:
        """Return the route."""
        query = {name: {"type": "string"} for name in ("query", "variables", "operationName")}
        return [
            Route(
                "/graphql",
                {
                    "GET": Operation(self._get, "A GraphQL query", response="GraphQLResponse", query=query),
                    "POST": Operation(self._post, "A GraphQL request", "GraphQLRequest", "GraphQLResponse"),
                },
                "GraphQL",
            )
        ]

    async def _get(self, request: Request) -> Response:
        given: dict[str, Any] = dict(request.query)
        if "variables" in given:
            given["variables"] = parse_object(given["variables"].encode())
        await request.read()
        return await self._answer(request, given)

    async def _post(self, request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() == "application/graphql":
            text = await request.read()
            return await self._answer(request, {"query": _decoded(text)})
        body = await request.read()
        given = await while_present(request, request.large.read(len(body), read_graphql, Blob(body)))
        return await self._answer(request, given)

    async def _answer(self, request: Request, given: dict[str, Any]) -> Response:
        executor = self._load()
        query, variables, operation = given.get("query"), given.get("variables"), given.get("operationName")
        if not isinstance(query, str):
            raise wrong("query", "a string", query)
        if not isinstance(variables, dict | None):
            raise wrong("variables", "an object", variables)
        if not isinstance(operation, str | None):
            raise wrong("operationName", "a string", operation)
        work = executor.run(query, variables or {}, operation or None, Asked(request.large, request.caller()))
        response, executed = await while_present(request, work)
        return Response(dump_within(response, request.large.max_bytes), 200 if executed else 400)

    def _load(self) -> Any:
        if self._executor is None:
            if importlib.util.find_spec("graphql") is None:
                raise Unimplemented(_MISSING)
            from maas_server.http.graphql_execution import Executor

            self._executor = Executor(self._front, self._models)
        return self._executor


def read_graphql(text: Blob) -> dict[str, Any]:
    """Parse the body of a request, with the data of its tensors encoded.

    Raises:
        InvalidRequest: it is no JSON, or has too many values besides.
    """
    body = parse_object(text.data) if bytes(text.data).strip() else {}
    waiting: list[Any] = [body.get("variables")]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if isinstance(each.get("data"), list) and isinstance(each.get("datatype"), str):
                each["data"] = _encoded(each["data"], each["datatype"], each.get("shape"))
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
    check_few(body)
    return body


def _encoded(data: list[Any], datatype: str, shape: object) -> tensors.Encoded:
    try:
        return tensors.Encoded(tensors.encode(data, datatype, shape_of(shape, ""), ""))
    except InvalidRequest as error:
        return tensors.Encoded(b"", error.violations[0].description)
    except UnicodeEncodeError:
        return tensors.Encoded(b"", "a string is no Unicode text")


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("the query is not UTF-8") from None
