"""Paths to routes, names of models with everything in them."""

from __future__ import annotations

import pytest

from maas_server.errors import InvalidRequest
from maas_server.http.messages import Request, Response
from maas_server.http.routing import Operation, Route, Router


async def nothing(_: Request) -> Response:
    return Response()


TEMPLATES = [
    "/v2/models/{model}/versions/{version}/infer",
    "/v2/models/{model}/versions/{version}",
    "/v2/models/{model}/infer",
    "/v2/models/{model}",
    "/v1/models/{model}/labels/{label}:predict",
    "/v1/models/{model}:predict",
    "/v1/models/{model}",
]


@pytest.fixture
def router() -> Router:
    return Router([Route(template, {"GET": Operation(nothing, "")}, "") for template in TEMPLATES])


@pytest.mark.parametrize(
    ("path", "template", "params"),
    [
        ("/v2/models/m/infer", TEMPLATES[2], {"model": "m"}),
        ("/v2/models/a/b/infer", TEMPLATES[2], {"model": "a/b"}),
        ("/v2/models/a%2Fb/infer", TEMPLATES[2], {"model": "a/b"}),
        ("/v2/models/a%2finfer", TEMPLATES[3], {"model": "a/infer"}),
        ("/v2/models/m/versions/3/infer", TEMPLATES[0], {"model": "m", "version": "3"}),
        ("/v2/models/a/versions/b/versions/3/infer", TEMPLATES[0], {"model": "a/versions/b", "version": "3"}),
        ("/v2/models/m.v1:x/versions/3", TEMPLATES[1], {"model": "m.v1:x", "version": "3"}),
        ("/v1/models/a:b:predict", TEMPLATES[5], {"model": "a:b"}),
        ("/v1/models/a%3Apredict", TEMPLATES[6], {"model": "a:predict"}),
        ("/v1/models/m/labels/stable:predict", TEMPLATES[4], {"model": "m", "label": "stable"}),
        ("/v2/models/n%C3%A4me", TEMPLATES[3], {"model": "näme"}),
    ],
)
def test_names_are_found_in_paths(router: Router, path: str, template: str, params: dict[str, str]) -> None:
    found = router.find(path)
    assert found is not None
    assert (found[0].template, found[1]) == (template, params)


@pytest.mark.parametrize("path", ["/", "/v2", "/v2/models", "/v2/models/", "/V2/models/m", "/v3/models/m", ""])
def test_other_paths_have_no_route(router: Router, path: str) -> None:
    assert router.find(path) is None


def test_a_name_that_is_no_utf8_is_refused(router: Router) -> None:
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        router.find("/v2/models/%ff%fe")
