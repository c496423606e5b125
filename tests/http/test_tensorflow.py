"""TensorFlow Serving's REST interface."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from maas_server._stubs.tensorflow_serving import tensor_pb2
from maas_server.http import tensorflow_tensors
from tests.http.asking import violations

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREDICT = "/v1/models/scaled:predict"


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [[1, 2, 3, 4], [0, 0, 0, 1]]}, {"predictions": [[3, 6, 9, 12], [0, 0, 0, 3]]}),
        ({"instances": [{"x": [1, 2, 3, 4]}]}, {"predictions": [[3, 6, 9, 12]]}),
        ({"inputs": [[1, 2, 3, 4]]}, {"outputs": [[3, 6, 9, 12]]}),
        ({"inputs": {"x": [[1, 2, 3, 4]]}}, {"outputs": [[3, 6, 9, 12]]}),
        ({"signature_name": "serving_default", "inputs": [[1, 2, 3, 4]]}, {"outputs": [[3, 6, 9, 12]]}),
    ],
)
async def test_rows_and_columns(client: httpx.AsyncClient, body: dict[str, Any], answer: dict[str, Any]) -> None:
    response = await client.post(PREDICT, json=body)
    assert (response.status_code, response.json()) == (200, answer)


async def test_several_inputs_and_outputs_have_names(client: httpx.AsyncClient) -> None:
    path = "/v1/models/two_ways:predict"
    rows = await client.post(path, json={"instances": [{"a": [5, 6], "b": [1, 2]}, {"a": [1, 1], "b": [1, 1]}]})
    assert rows.json() == {
        "predictions": [{"difference": [4, 4], "sum": [6, 8]}, {"difference": [0, 0], "sum": [2, 2]}]
    }
    columns = await client.post(path, json={"inputs": {"a": [[5, 6]], "b": [[1, 2]]}})
    assert columns.json() == {"outputs": {"difference": [[4, 4]], "sum": [[6, 8]]}}


@pytest.mark.parametrize(
    ("path", "factor"),
    [("scaled", 3), ("scaled/versions/1", 2), ("scaled/versions/2", 3), ("scaled/labels/stable", 2)],
)
async def test_versions_and_labels(client: httpx.AsyncClient, path: str, factor: int) -> None:
    response = await client.post(f"/v1/models/{path}:predict", json={"instances": [[1, 1, 1, 1]]})
    assert response.json() == {"predictions": [[factor] * 4]}


async def test_strings_come_as_text_or_base64(client: httpx.AsyncClient) -> None:
    encoded = {"b64": base64.b64encode("ö".encode()).decode()}
    response = await client.post("/v1/models/strings:predict", json={"instances": ["ä", encoded]})
    assert response.json() == {"predictions": ["ä", "ö"]}


async def test_bytes_go_out_as_base64() -> None:
    proto = tensor_pb2.TensorProto(dtype=tensor_pb2.DT_STRING, string_val=[b"text", b"\xff"])
    proto.tensor_shape.dim.add(size=2)
    assert tensorflow_tensors.decode("names", proto) == ["text", {"b64": "/w=="}]
    assert tensorflow_tensors.decode("image_bytes", proto) == [{"b64": "dGV4dA=="}, {"b64": "/w=="}]


async def test_a_scalar_has_no_rows(client: httpx.AsyncClient) -> None:
    assert (await client.post("/v1/models/scalar:predict", json={"inputs": 2.5})).json() == {"outputs": 2.5}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, 'either "instances" or "inputs"'),
        ({"instances": [[1]], "inputs": [[1]]}, 'either "instances" or "inputs"'),
        ({"instances": []}, "an array that is not empty"),
        ({"instances": 5}, "an array that is not empty"),
        ({"instances": [[1, 2, 3, 4], [1]]}, "differ in length"),
        ({"instances": [{"x": [1, 2, 3, 4]}, {"y": [1]}]}, "as the first has"),
        ({"instances": [{"x": [1, 2, 3, 4]}, [1]]}, "as the first has"),
        ({"instances": [[1, 2, 3]]}, "expected 4"),
        ({"instances": [["a", "b", "c", "d"]]}, "expected numbers, got a string"),
        ({"instances": [[{"b64": "AA=="}] * 4]}, "expected numbers, got an object"),
        ({"inputs": {"y": [[1, 2, 3, 4]]}}, "no such input"),
        ({"inputs": None}, "expected numbers, got null"),
        ({"instances": [[1, 2, 3, 4]], "signature_name": 5}, "expected a string"),
    ],
)
async def test_wrong_predict_requests(client: httpx.AsyncClient, body: dict[str, Any], told: str) -> None:
    response = await client.post(PREDICT, json=body)
    assert response.status_code == 400, response.text
    assert told in response.json()["error"]


@pytest.mark.parametrize("text", ["%", "A", "ä", "AAA", "AA==="])
async def test_base64_garbage(client: httpx.AsyncClient, text: str) -> None:
    response = await client.post("/v1/models/strings:predict", json={"instances": [{"b64": text}]})
    assert response.status_code == 400
    assert "not base64" in violations(response)["inputs['x']"]


async def test_an_unknown_signature_is_refused(client: httpx.AsyncClient) -> None:
    body = {"instances": [[1, 2, 3, 4]], "signature_name": "other"}
    response = await client.post(PREDICT, json=body)
    assert response.status_code in (400, 412)
    assert "other" in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("nobody", 404, "Servable not found for request: Latest(nobody)"),
        ("scaled/versions/7", 404, "Servable not found for request: Specific(scaled, 7)"),
        ("scaled/labels/canary", 400, "Unrecognized servable version label: canary"),
        ("scaled/versions/x", 400, "expected digits"),
        ("scaled/versions/99999999999999999999", 400, "expected digits"),
    ],
)
async def test_models_that_are_not_there(client: httpx.AsyncClient, path: str, status: int, told: str) -> None:
    response = await client.post(f"/v1/models/{path}:predict", json={"instances": [[1, 2, 3, 4]]})
    assert response.status_code == status, response.text
    assert told in response.json()["error"]


async def test_status_is_tensorflow_servings_and_kserves(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v1/models/scaled")).json()
    fine = {"error_code": "OK", "error_message": ""}
    versions = [{"version": version, "state": "AVAILABLE", "status": fine} for version in ("2", "1")]
    assert told == {"model_version_status": versions, "name": "scaled", "ready": True}
    one = (await client.get("/v1/models/scaled/labels/stable")).json()
    assert [each["version"] for each in one["model_version_status"]] == ["1"]
    missing = await client.get("/v1/models/nobody")
    assert missing.status_code == 404
    assert "Could not find any versions of model nobody" in missing.json()["error"]
    assert "scaled" in (await client.get("/v1/models")).json()["models"]


async def test_metadata_has_the_signature(client: httpx.AsyncClient) -> None:
    told = (await client.get("/v1/models/scaled/versions/1/metadata")).json()
    assert told["model_spec"]["name"] == "scaled"
    assert told["model_spec"]["version"] == "1"
    signature = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in signature["inputs"]["x"]["tensor_shape"]["dim"]] == ["-1", "4"]


async def test_classify_and_regress_take_examples(client: httpx.AsyncClient) -> None:
    examples = [{"x": [1.0, 2.0, 3.0, 4.0]}, {"x": [4, 3.5, 2, 1]}]
    classified = await client.post("/v1/models/scaled:classify", json={"examples": examples})
    assert classified.status_code == 200, classified.text
    results = classified.json()["results"]
    assert [[score for _, score in row] for row in results] == [[3, 6, 9, 12], [12, 10.5, 6, 3]]
    shared = {"context": {"x": [1.0, 2.0, 3.0, 4.0]}, "examples": [{}]}
    assert (await client.post("/v1/models/scaled:classify", json=shared)).json()["results"] == results[:1]
    refused = await client.post("/v1/models/scaled:regress", json={"examples": examples})
    assert refused.status_code in (400, 412)


async def test_regress_gives_a_value_for_each_example(client: httpx.AsyncClient) -> None:
    examples = [{"x": 1.5}, {"x": [2.5]}]
    response = await client.post("/v1/models/lone:regress", json={"examples": examples})
    assert response.json() == {"results": [1.5, 2.5]}, response.text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "an array that is not empty"),
        ({"examples": []}, "an array that is not empty"),
        ({"examples": [5]}, "examples[0]: expected an object"),
        ({"examples": [{"x": None}]}, "all of one kind"),
        ({"examples": [{"x": [1, "a"]}]}, "all of one kind"),
        ({"examples": [{"x": {"b64": "%"}}]}, "not base64"),
        ({"examples": [{"x": 2**70}]}, "out of range"),
        ({"examples": [{"x": 1.0}], "context": 7}, "context: expected an object"),
    ],
)
async def test_wrong_examples(client: httpx.AsyncClient, body: dict[str, Any], told: str) -> None:
    response = await client.post("/v1/models/scaled:classify", json=body)
    assert response.status_code == 400, response.text
    assert told in response.json()["error"]
