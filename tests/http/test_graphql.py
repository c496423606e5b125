"""GraphQL: models, versions, status, predictions, and its limits."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from typing import Any, cast

import httpx
import pytest
from graphql import get_introspection_query

from maas_server.errors import Unimplemented
from maas_server.front import Front
from maas_server.http.caller import Caller
from maas_server.http.graphql_routes import GraphQLRoutes
from maas_server.http.large_json import LargeJson
from maas_server.http.messages import Request
from maas_server.http.models import Models

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREDICT = """
query Ask($inputs: [TensorInput!]!, $version: Long) {
  predict(model: "scaled", version: $version, inputs: $inputs) { model version outputs { name datatype shape data } }
}
"""
INPUTS = [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [[1, 2, 3, 4]]}]


async def ask(client: httpx.AsyncClient, query: str, status: int = 200, **fields: Any) -> dict[str, Any]:
    response = await client.post("/graphql", json={"query": query, **fields})
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_models_versions_status_and_signature(client: httpx.AsyncClient) -> None:
    query = """{ model(name: "scaled") {
        name defaultVersion reason labels { name version }
        versions { version state reason runner signature { inputs { name datatype shape optional } }
                   batching { enabled maxBatchSize } counters { failed queuedRows } }
        first: versions(version: 1) { version }
    } }"""
    model = (await ask(client, query))["data"]["model"]
    assert (model["name"], model["defaultVersion"]) == ("scaled", 2)
    assert model["labels"] == [{"name": "stable", "version": 1}]
    assert model["first"] == [{"version": 1}]
    newest = model["versions"][0]
    assert (newest["version"], newest["state"]) == (2, "AVAILABLE")
    assert newest["signature"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4], "optional": False}]
    assert newest["counters"] == {"failed": 0, "queuedRows": 0}


async def test_models_are_listed(client: httpx.AsyncClient) -> None:
    everything = (await ask(client, "{ models { name } }"))["data"]["models"]
    assert {"name": "scaled"} in everything
    assert (await ask(client, '{ models(name: "nobody") { name } }'))["data"] == {"models": []}
    assert (await ask(client, '{ model(name: "nobody") { name } }'))["data"] == {"model": None}


@pytest.mark.parametrize(("version", "factor"), [(None, 3), (1, 2)])
async def test_a_model_is_run(client: httpx.AsyncClient, version: int | None, factor: int) -> None:
    answer = await ask(client, PREDICT, variables={"inputs": INPUTS, "version": version})
    output = {"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [factor * each for each in (1, 2, 3, 4)]}
    assert answer == {"data": {"predict": {"model": "scaled", "version": version or 2, "outputs": [output]}}}


async def test_inputs_may_stand_in_the_query(client: httpx.AsyncClient) -> None:
    query = """{ predict(model: "scaled", version: 2, outputs: ["y"],
        inputs: [{name: "x", datatype: "FP32", shape: [1, 4], data: [1, 2.5, -3, 4]}]) { outputs { data } } }"""
    assert (await ask(client, query))["data"]["predict"]["outputs"] == [{"data": [3, 7.5, -9, 12]}]


async def test_queries_can_be_asked_by_get(client: httpx.AsyncClient) -> None:
    params = {"query": "query($n: String!) { model(name: $n) { name } }", "variables": json.dumps({"n": "scaled"})}
    assert (await client.get("/graphql", params=params)).json() == {"data": {"model": {"name": "scaled"}}}


async def test_tools_may_ask_for_the_schema(client: httpx.AsyncClient) -> None:
    answer = await ask(client, get_introspection_query())
    assert "Prediction" in {each["name"] for each in answer["data"]["__schema"]["types"]}


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([{**INPUTS[0], "data": ["a"] * 4}], "INVALID_REQUEST"),
        ([{**INPUTS[0], "name": "z"}], "INVALID_REQUEST"),
    ],
)
async def test_errors_carry_the_same_details(client: httpx.AsyncClient, inputs: Any, reason: str) -> None:
    answer = await ask(client, PREDICT, variables={"inputs": inputs})
    (error,) = answer["errors"]
    assert answer["data"] is None
    assert error["path"] == ["predict"]
    assert error["extensions"]["code"] == "INVALID_ARGUMENT"
    assert error["extensions"]["reason"] == reason
    assert error["extensions"]["violations"]


async def test_an_unknown_model_is_not_found(client: httpx.AsyncClient) -> None:
    query = PREDICT.replace("scaled", "nobody")
    (error,) = (await ask(client, query, variables={"inputs": INPUTS}))["errors"]
    assert error["extensions"]["reason"] == "MODEL_NOT_FOUND"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "Syntax Error"),
        ("{ models { name }", "Syntax Error"),
        ("{ models { nothing } }", "Cannot query field 'nothing'"),
        ("mutation { models { name } }", "mutation"),
        ("{ models { " + "name " * 2000 + "} }", "tokens"),
        ("{ models { name } } # " + "x" * (64 << 10), "use variables"),
        ("{ " + " ".join(f"a{n}: models {{ name }}" for n in range(260)) + " }", "fields; 500 are the most"),
        (
            "{ ...F10 } fragment F0 on Query { models { name } } "
            + " ".join(f"fragment F{n} on Query {{ ...F{n - 1} ...F{n - 1} }}" for n in range(1, 11)),
            "fields; 500 are the most",
        ),
        ("{ ...F } fragment F on Query { ...F }", "Cannot spread fragment"),
        (
            "{ " + " ".join(f'a{n}: predict(model: "m", inputs: []) {{ version }}' for n in range(17)) + " }",
            "17 predictions; 16 are the most",
        ),
        ("{ " + "... { " * 400 + "models { name }" + " }" * 401, "nested too deep"),
        ('{ __type(name: "Query") ' + "{ ofType " * 20 + "{ name }" + " }" * 21, "levels; 20 are the most"),
    ],
)
async def test_wrong_and_greedy_queries_are_refused(client: httpx.AsyncClient, query: str, told: str) -> None:
    answer = await ask(client, query, status=400)
    assert told in json.dumps(answer["errors"])
    assert "data" not in answer


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "query: expected a string, got null"),
        ({"query": 5}, "query: expected a string"),
        ({"query": "{a}", "variables": []}, "variables: expected an object"),
        ({"query": "{a}", "operationName": 1}, "operationName: expected a string"),
    ],
)
async def test_requests_that_are_no_graphql(client: httpx.AsyncClient, body: Any, told: str) -> None:
    response = await client.post("/graphql", json=body)
    assert response.status_code == 400
    assert told in response.json()["error"]


@pytest.mark.parametrize("version", [1.5, "1", True])
async def test_a_version_is_a_whole_number(client: httpx.AsyncClient, version: object) -> None:
    answer = await ask(client, PREDICT, variables={"inputs": INPUTS, "version": version})
    assert "whole number" in answer["errors"][0]["message"]


async def test_without_the_extra_the_answer_says_what_to_install(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unused() -> bytes:
        return b"{}"

    # Of a server that has not imported it yet.
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "graphql" else find(name))
    (route,) = GraphQLRoutes(cast(Front, None), cast(Models, None)).routes()
    request = Request(
        "POST", {}, {}, {}, read=unused, gone=cast(Any, asyncio.Event().wait), large=LargeJson(100), caller=Caller
    )
    with pytest.raises(Unimplemented, match=r"pip install .maas-server\[graphql\]"):
        await route.operations["POST"].handler(request)
