"""Requests and answers of megabytes of JSON: done elsewhere, and refused where their answer would be too large."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from maas_server.http import (
    graphql_routes,
    infer_request,
    infer_response,
    messages,
    tensorflow_examples,
    tensorflow_tensors,
)
from tests.http.asking import binary_body, binary_tensor, tensor, violations
from tests.http.conftest import client_of, settings_for, write_repository
from tests.server.in_process import InProcessServer

MAX_BODY = 8 << 20
ROWS, COLUMNS = 60, 2_000
QUERY = "query ($inputs: [TensorInput!]!) { predict(model: %s, inputs: $inputs) { outputs { data } } }"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def large_client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    path: Path = tmp_path_factory.mktemp("models")
    write_repository(path)
    async with InProcessServer(settings_for(path, MAX_BODY)) as running, client_of(running) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_large_is_parsed_or_written_here(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, write = messages.parse_object, messages.dump_within

    def parse_small(text: bytes) -> dict[str, Any]:
        assert len(text) < 2 << 20
        return parse(text)

    def write_small(value: object, most: int) -> bytes:
        text = write(value, most)
        assert len(text) < 1 << 20
        return text

    for module in (messages, graphql_routes, infer_request, tensorflow_examples, tensorflow_tensors):
        monkeypatch.setattr(module, "parse_object", parse_small)
    for module in (infer_response, tensorflow_examples, tensorflow_tensors):
        monkeypatch.setattr(module, "dump_within", write_small)


def doubles(columns: int = COLUMNS) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal((ROWS, columns))


@pytest.mark.asyncio(loop_scope="module")
async def test_open_inference_in_json(large_client: httpx.AsyncClient) -> None:
    x = doubles()
    body = {"id": "1", "inputs": [tensor("x", "FP64", [ROWS, COLUMNS], x.tolist())]}
    answer = await large_client.post("/v2/models/doubles/infer", json=body)
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["outputs"][0]["data"]) == ("1", x.ravel().tolist())


@pytest.mark.asyncio(loop_scope="module")
async def test_binary_data_out_of_json_and_json_out_of_binary_data(large_client: httpx.AsyncClient) -> None:
    x = doubles()
    body: dict[str, Any] = {
        "inputs": [tensor("x", "FP64", [ROWS, COLUMNS], x.tolist())],
        "parameters": {"binary_data_output": True},
    }
    answer = await large_client.post("/v2/models/doubles/infer", json=body)
    assert answer.content.endswith(x.tobytes())
    content, headers = binary_body({"inputs": [binary_tensor("x", "FP64", x)]}, x.tobytes())
    answer = await large_client.post("/v2/models/doubles/infer", content=content, headers=headers)
    assert answer.json()["outputs"][0]["data"] == x.ravel().tolist()


@pytest.mark.asyncio(loop_scope="module")
async def test_tensorflow_servings_predict(large_client: httpx.AsyncClient) -> None:
    x = doubles().tolist()
    answer = await large_client.post("/v1/models/doubles:predict", json={"instances": x})
    assert answer.json() == {"predictions": x}
    answer = await large_client.post("/v1/models/doubles:predict", json={"inputs": x})
    assert answer.json() == {"outputs": x}


@pytest.mark.asyncio(loop_scope="module")
async def test_tensorflow_servings_regress(large_client: httpx.AsyncClient) -> None:
    examples = [{"x": float(each)} for each in range(1000)]
    body = {"examples": examples, "unknown": "long" * 600_000}
    answer = await large_client.post("/v1/models/lone:regress", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"results": [each["x"] for each in examples]}


@pytest.mark.asyncio(loop_scope="module")
async def test_graphql(large_client: httpx.AsyncClient) -> None:
    x = doubles()
    variables = {"inputs": [tensor("x", "FP64", [ROWS, COLUMNS], x.tolist())]}
    answer = await large_client.post("/graphql", json={"query": QUERY % '"doubles"', "variables": variables})
    assert answer.json() == {"data": {"predict": {"outputs": [{"data": x.ravel().tolist()}]}}}


@pytest.mark.asyncio(loop_scope="module")
async def test_wrong_fields_are_told_as_of_small_bodies(large_client: httpx.AsyncClient) -> None:
    wrong = tensor("x", "FP64", [ROWS, COLUMNS], [[0.25] * COLUMNS] * (ROWS - 1) + [["a"] * COLUMNS])
    padded = {"inputs": [wrong], "id": "long" * 500_000}
    answer = await large_client.post("/v2/models/doubles/infer", json=padded)
    assert violations(answer) == {"inputs[0].data": "expected numbers, got a string"}
    answer = await large_client.post("/graphql", json={"query": QUERY % '"doubles"', "variables": padded})
    (error,) = answer.json()["errors"]
    assert error["extensions"]["violations"][0]["field"] == "inputs[0].data"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("path", ["/v2/logging", "/v2/repository/index", "/graphql"])
async def test_large_bodies_may_only_be_tensors_or_few_values(large_client: httpx.AsyncClient, path: str) -> None:
    answer = await large_client.post(path, content=b'{"variables": [' + b"[]," * 800_000 + b"0]}")
    assert answer.status_code == 400
    assert "values besides the data of tensors" in answer.json()["error"]


@pytest.mark.asyncio(loop_scope="module")
async def test_answers_that_would_be_too_large_are_refused_before_they_are_written(
    large_client: httpx.AsyncClient,
) -> None:
    count = 3 << 20
    x = np.full((1, count), 255, np.uint8)
    content, headers = binary_body({"inputs": [binary_tensor("x", "UINT8", x)]}, x.tobytes())
    answer = await large_client.post("/v2/models/bytes/infer", content=content, headers=headers)
    told = answer.json()
    assert (answer.status_code, told["code"], told["reason"]) == (429, "RESOURCE_EXHAUSTED", "ANSWER_TOO_LARGE")
    about = int(re.findall(r"about (\d+) bytes of JSON", told["error"])[0])
    assert MAX_BODY < about <= 4 * count + 100
    assert "--max-message-bytes is 8388608" in told["error"]
    assert "binary_data_output" in told["error"]


@pytest.mark.asyncio(loop_scope="module")
async def test_graphql_refuses_to_repeat_an_answer_beyond_the_limit(large_client: httpx.AsyncClient) -> None:
    repeated = " ".join(f"d{index}: data" for index in range(100))
    query = QUERY.replace("{ data }", f"{{ {repeated} }}") % '"doubles"'
    variables = {"inputs": [tensor("x", "FP64", [ROWS, 200], doubles(200).tolist())]}
    answer = await large_client.post("/graphql", json={"query": query, "variables": variables})
    assert (answer.status_code, answer.json()["reason"]) == (429, "ANSWER_TOO_LARGE")


@pytest.mark.parametrize("value", [{"a": [messages.RawJson(b"[1]"), messages.RawJson(b'"b"')]}, messages.RawJson(b"1")])
def test_raw_json_stands_for_its_value(value: Any) -> None:
    told = json.loads(messages.dump_within(value, 100))
    assert told in ({"a": [[1], "b"]}, 1)


def test_what_has_no_form_is_not_written() -> None:
    with pytest.raises(TypeError, match="object has no form"):
        messages.dump_within({"a": object()}, 100)
