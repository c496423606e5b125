"""/openapi.json, and /docs: the same as a page that needs no script and nothing from elsewhere."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from maas_server import __version__
from maas_server.http.messages import Request, Response, json_response
from maas_server.http.routing import Operation, Route
from maas_server.http.schemas import SCHEMAS

_PARAMETERS = {
    "model": "Its name; a slash in it may stand as it is or as %2F.",
    "version": "The number of a version.",
    "label": "A label, such as stable.",
    "region": "The name of a region.",
}
_ABOUT = (
    "Models over REST: the Open Inference Protocol with Triton's extensions, TensorFlow Serving's interface, health "
    "and metrics. Errors are objects with the text as `error`, the gRPC code as `code`, a `reason` and, where fields "
    "are wrong, `violations`. Tensors may travel as binary data behind the JSON of an inference request, whose length "
    "the header Inference-Header-Content-Length then gives. Bodies may be compressed with gzip or deflate. The "
    "headers grpc-timeout and x-envoy-expected-rq-timeout-ms say how long the caller of a prediction waits."
)
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222;background:#fff}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:#f4f4f4;padding:.6rem;overflow:auto}
summary{cursor:pointer;padding:.25rem 0}details details{margin-left:1rem}
.method{display:inline-block;min-width:3.5rem;font-weight:600}h2{margin-top:2rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse}td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#262626}h2{border-color:#444}}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def documentation_routes(routes: Sequence[Route]) -> list[Route]:
    """Return the routes that tell of `routes`, and of themselves."""
    own: list[Route] = []

    @cache
    def document() -> dict[str, Any]:
        return openapi([*routes, *own])

    async def as_json(_: Request) -> Response:
        return json_response(document())

    async def as_page(_: Request) -> Response:
        headers = (("content-security-policy", _POLICY), ("x-content-type-options", "nosniff"))
        return Response(page(document()).encode(), content_type="text/html; charset=utf-8", headers=headers)

    own += [
        Route("/openapi.json", {"GET": Operation(as_json, "This interface as OpenAPI 3.1")}, "Documentation"),
        Route("/docs", {"GET": Operation(as_page, "The same to read", content_type="text/html")}, "Documentation"),
    ]
    return own


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    paths = {
        route.template: {
            method.lower(): _operation(route, method, operation) for method, operation in route.operations.items()
        }
        for route in routes
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "maas_server",
            "version": __version__,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _operation(route: Route, method: str, operation: Operation) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "description": _PARAMETERS[name], "schema": {"type": "string"}}
        for name in route.names
    ]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in operation.query.items()]
    ok: dict[str, Any] = {"description": "Success"}
    if operation.response:
        ok["content"] = {operation.content_type: {"schema": _reference(operation.response)}}
    elif operation.content_type != "application/json":
        ok["content"] = {operation.content_type.partition(";")[0]: {"schema": {"type": "string"}}}
    described: dict[str, Any] = {
        "operationId": _identifier(method, route.template),
        "summary": operation.summary,
        "tags": [route.tag],
        "responses": {
            "200": ok,
            "default": {"description": "Failure", "content": {"application/json": {"schema": _reference("Error")}}},
        },
    }
    if parameters:
        described["parameters"] = parameters
    if operation.request:
        described["requestBody"] = {"content": {"application/json": {"schema": _reference(operation.request)}}}
    return described


def _identifier(method: str, template: str) -> str:
    words = "".join(character if character.isalnum() else " " for character in template).split()
    return "_".join([method.lower(), *words])


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def page(document: Mapping[str, Any]) -> str:
    """Return an OpenAPI document of ours as HTML."""
    return "".join(_page(document))


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>{_text(info['title'])}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{_text(info['title'])} <small>{_text(info['version'])}</small></h1><p>{_text(info['description'])}</p>"
    yield '<p>The same for programs: <a href="openapi.json">openapi.json</a></p>'
    for tag in document["tags"]:
        yield f"<h2>{_text(tag['name'])}</h2>"
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if tag["name"] in operation["tags"]:
                    yield from _described(path, method, operation)
    yield "<h2>Schemas</h2>"
    for name, schema in document["components"]["schemas"].items():
        yield f'<details id="{_text(name)}"><summary><code>{_text(name)}</code></summary>{_json(schema)}</details>'
    yield "</body></html>"


def _described(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<details><summary><code><span class="method">{method.upper()}</span>{_text(path)}</code> '
    yield f"{_text(operation['summary'])}</summary>"
    if parameters := operation.get("parameters"):
        yield "<table>"
        for each in parameters:
            description = _text(each.get("description", ""))
            yield f"<tr><td><code>{_text(each['name'])}</code><td>{each['in']}<td>{description}</tr>"
        yield "</table>"
    for what, content in (
        ("Request", operation.get("requestBody", {}).get("content", {})),
        ("Answer", operation["responses"]["200"].get("content", {})),
        ("Failure", operation["responses"]["default"]["content"]),
    ):
        for kind, body in content.items():
            yield f"<p>{what}: <code>{_text(kind)}</code> {_link(body['schema'])}</p>"
    yield "</details>"


def _link(schema: Mapping[str, Any]) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return f'<a href="#{_text(name)}">{_text(name)}</a>' if name else ""


def _json(value: object) -> str:
    return f"<pre>{_text(json.dumps(value, indent=2))}</pre>"


def _text(text: str) -> str:
    return html.escape(text)
