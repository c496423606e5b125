"""/openapi.json and /docs."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from maas_server.http.schemas import SCHEMAS

pytestmark = pytest.mark.asyncio(loop_scope="module")


def references(value: Any) -> set[str]:
    return set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(value)))


async def test_the_document_is_whole(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    used = references(document["paths"])
    assert used == set(SCHEMAS), "every schema is used, and there is one for every use"
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    identifiers = [operation["operationId"] for operation in operations]
    assert len(set(identifiers)) == len(identifiers) > 40
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            assert operation["summary"]


async def test_every_path_that_is_documented_is_served(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        concrete = re.sub(r"{\w+}", "1", path)
        for method in ("get", "post"):
            response = await client.request(method, concrete)
            assert (response.status_code == 405) == (method not in methods), (method, path, response.text)


class Links(HTMLParser):
    """Gathers what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.targets: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("href", "src"):
                self.targets.add(value or "")
            elif name == "id":
                self.ids.add(value or "")


async def test_the_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    links = Links()
    links.feed(response.text)
    assert not links.tags & {"script", "link", "img", "iframe"}
    assert links.targets == {"openapi.json"} | {f"#{name}" for name in links.ids}
    assert links.ids == set(SCHEMAS)
    for path in (await client.get("/openapi.json")).json()["paths"]:
        assert path in response.text
