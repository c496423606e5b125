"""Runs one GraphQL request. Imported when the first one comes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import structlog
from graphql import ExecutionResult, GraphQLError, OperationType, execute, get_operation_ast, parse, validate

from maas_server.errors import InternalError, MaasError
from maas_server.front import Front
from maas_server.http import graphql_limits as limits
from maas_server.http.failures import error_body
from maas_server.http.graphql_asked import Asked
from maas_server.http.graphql_schema import Resolvers, build
from maas_server.http.models import Models

log = structlog.get_logger(__name__)

# An answer to a query with many mistakes does not have to name them all.
_MAX_ERRORS = 20


class Executor:
    """The schema with its resolvers."""

    def __init__(self, front: Front, models: Models) -> None:
        """Build the schema."""
        self._schema = build()
        self._root = Resolvers(front, models)

    async def run(
        self, query: str, variables: dict[str, Any], operation: str | None, asked: Asked
    ) -> tuple[dict[str, Any], bool]:
        """Return the response, and whether anything was executed."""
        try:
            if len(query.encode()) > limits.MAX_TEXT_BYTES:
                raise GraphQLError(f"the query has more than {limits.MAX_TEXT_BYTES} bytes; use variables")
            document = parse(query, max_tokens=limits.MAX_TOKENS)
            if errors := validate(self._schema, document, max_errors=_MAX_ERRORS):
                return _response(ExecutionResult(None, errors)), False
            limits.check_cost(document)
            chosen = get_operation_ast(document, operation)
            if chosen is not None and chosen.operation is not OperationType.QUERY:
                raise GraphQLError(f"there is no {chosen.operation.value} here, only queries")
        except RecursionError:
            return _response(ExecutionResult(None, [GraphQLError("the query is nested too deep")])), False
        except GraphQLError as error:
            return _response(ExecutionResult(None, [error])), False
        result = execute(
            self._schema, document, self._root, variable_values=variables, operation_name=operation, context_value=asked
        )
        if isinstance(result, Awaitable):
            result = await result
        return _response(result, executed=True), True


def _response(result: ExecutionResult, *, executed: bool = False) -> dict[str, Any]:
    response: dict[str, Any] = {}
    if result.errors:
        response["errors"] = [_error(error) for error in result.errors]
    if executed:
        response["data"] = result.data
    return response


def _error(error: GraphQLError) -> dict[str, Any]:
    told: dict[str, Any] = dict(error.formatted)
    original = error.original_error
    if original is None or isinstance(original, GraphQLError):
        return told
    if isinstance(original, UnicodeEncodeError):
        return {**told, "message": "a string in the request is no Unicode text"}
    if not isinstance(original, MaasError):
        log.error("handler_failed", exc_info=original)
        original = InternalError("the server failed; its log says why")
    details = error_body(original)
    return {**told, "message": details.pop("error"), "extensions": details}
