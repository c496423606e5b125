"""POST .../infer, in JSON and with binary data."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from typing import Any

import httpx
import numpy as np
import pytest

from tests.http.asking import LENGTH, binary_body, binary_outputs, binary_tensor, tensor, violations

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCALED = "/v2/models/scaled/infer"
ROW = tensor("x", "FP32", [1, 4], [[1, 2, 3, 4]])


async def test_the_newest_version_answers_in_json(client: httpx.AsyncClient) -> None:
    response = await client.post(SCALED, json={"id": "seven", "inputs": [ROW]})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "model_name": "scaled",
        "model_version": "2",
        "id": "seven",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [3, 6, 9, 12]}],
    }


async def test_a_version_can_be_named(client: httpx.AsyncClient) -> None:
    response = await client.post("/v2/models/scaled/versions/1/infer", json={"inputs": [ROW]})
    assert (response.json()["model_version"], response.json()["outputs"][0]["data"]) == ("1", [2, 4, 6, 8])


async def test_outputs_are_chosen(client: httpx.AsyncClient) -> None:
    inputs = [tensor("a", "FP32", [1, 2], [5, 6]), tensor("b", "FP32", [1, 2], [1, 2])]
    body = {"inputs": inputs, "outputs": [{"name": "difference"}]}
    response = await client.post("/v2/models/two_ways/infer", json=body)
    assert [(each["name"], each["data"]) for each in response.json()["outputs"]] == [("difference", [4, 4])]


@pytest.mark.parametrize("path", ["od.d_n-1", "od%2Ed%5Fn%2d1"])
async def test_names_may_be_odd(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(f"/v2/models/{path}/infer", json={"inputs": [ROW]})
    assert response.json()["model_name"] == "od.d_n-1"
    assert response.json()["outputs"][0]["data"] == [5, 10, 15, 20]


@pytest.mark.parametrize(
    ("model", "datatype", "data"),
    [
        ("doubles", "FP64", [0.1, 1e-300, -5.0]),
        ("halves", "FP16", [0.5, -2.0, 65504.0]),
        ("flags", "BOOL", [True, False, True]),
        ("longs", "INT64", [2**63 - 1, -(2**63), 0]),
        ("bytes", "UINT8", [0, 255, 7]),
        ("strings", "BYTES", ["", "ä ö", "🙂"]),
    ],
)
async def test_values_come_back_as_they_went(
    client: httpx.AsyncClient, model: str, datatype: str, data: list[Any]
) -> None:
    shape = [3] if model == "strings" else [1, 3]
    response = await client.post(f"/v2/models/{model}/infer", json={"inputs": [tensor("x", datatype, shape, data)]})
    assert response.status_code == 200, response.text
    (output,) = response.json()["outputs"]
    assert (output["datatype"], output["shape"], output["data"]) == (datatype, shape, data)


async def test_a_scalar_has_no_dimensions(client: httpx.AsyncClient) -> None:
    response = await client.post("/v2/models/scalar/infer", json={"inputs": [tensor("x", "FP32", [], 1.5)]})
    (output,) = response.json()["outputs"]
    assert (output["shape"], output["data"]) == ([], [1.5])


async def test_what_is_no_number_goes_both_ways(client: httpx.AsyncClient) -> None:
    body = b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":[NaN,Infinity,-Infinity,1]}]}'
    response = await client.post(SCALED, content=body)
    assert b"[NaN,Infinity,-Infinity,3.0]" in response.content
    values = json.loads(response.content)["outputs"][0]["data"]
    assert math.isnan(values[0])


async def test_binary_data_goes_in_and_json_comes_out(client: httpx.AsyncClient) -> None:
    array = np.array([[1, 2, 3, 4]], np.float32)
    body, headers = binary_body({"inputs": [binary_tensor("x", "FP32", array)]}, array.tobytes())
    response = await client.post(SCALED, content=body, headers=headers)
    assert response.json()["outputs"][0]["data"] == [3, 6, 9, 12]
    assert LENGTH.lower() not in response.headers


async def test_binary_data_comes_out_where_it_is_asked_for(client: httpx.AsyncClient) -> None:
    inputs = [tensor("a", "FP32", [1, 2], [5, 6]), tensor("b", "FP32", [1, 2], [1, 2])]
    outputs = [{"name": "sum", "parameters": {"binary_data": True}}, {"name": "difference"}]
    response = await client.post("/v2/models/two_ways/infer", json={"inputs": inputs, "outputs": outputs})
    assert response.headers["content-type"] == "application/octet-stream"
    assert np.frombuffer(binary_outputs(response)["sum"], np.float32).tolist() == [6, 8]
    head = json.loads(response.content[: int(response.headers[LENGTH])])
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 8}
    assert "data" not in head["outputs"][0]
    assert head["outputs"][1]["data"] == [4, 4]


async def test_all_outputs_can_be_binary_and_one_of_them_not(client: httpx.AsyncClient) -> None:
    arrays = {"a": np.array([[5, 6]], np.float32), "b": np.array([[1, 2]], np.float32)}
    head = {
        "parameters": {"binary_data_output": True},
        "inputs": [binary_tensor(name, "FP32", array) for name, array in arrays.items()],
        "outputs": [{"name": "sum"}, {"name": "difference", "parameters": {"binary_data": False}}],
    }
    body, headers = binary_body(head, *(array.tobytes() for array in arrays.values()))
    response = await client.post("/v2/models/two_ways/infer", content=body, headers=headers)
    assert binary_outputs(response).keys() == {"sum"}


async def test_binary_bfloat16_and_bytes_that_are_no_text(client: httpx.AsyncClient) -> None:
    bits = np.array([[0x3F80, 0x4049]], np.uint16)
    head = {"parameters": {"binary_data_output": True}, "inputs": [binary_tensor("x", "BF16", bits)]}
    body, headers = binary_body(head, bits.tobytes())
    response = await client.post("/v2/models/brains/infer", content=body, headers=headers)
    assert binary_outputs(response)["y"] == bits.tobytes()


async def test_a_bfloat16_output_in_json_is_refused(client: httpx.AsyncClient) -> None:
    bits = np.array([[0x3F80]], np.uint16)
    body, headers = binary_body({"inputs": [binary_tensor("x", "BF16", bits)]}, bits.tobytes())
    response = await client.post("/v2/models/brains/infer", content=body, headers=headers)
    assert response.status_code == 400
    assert "binary" in response.json()["error"]


async def test_a_body_can_be_the_only_input_itself(client: httpx.AsyncClient) -> None:
    array = np.array([1, 2, 3, 4], np.float32)
    response = await client.post(SCALED, content=array.tobytes(), headers={LENGTH: "0"})
    assert np.frombuffer(binary_outputs(response)["y"], np.float32).tolist() == [3, 6, 9, 12]
    strings = await client.post("/v2/models/strings/infer", content="ä".encode(), headers={LENGTH: "0"})
    assert binary_outputs(strings)["y"] == b"\2\0\0\0" + "ä".encode()


@pytest.mark.parametrize(
    ("model", "body", "status", "told"),
    [
        ("scaled", b"0" * 15, 400, "no whole number of FP32 elements"),
        ("scaled", b"0" * 12, 400, "16 bytes"),
        ("two_ways", b"0" * 16, 400, "one input; this one has 2"),
        ("nobody", b"0" * 16, 404, "unknown model: 'nobody'"),
        ("scaled/versions/7", b"0" * 16, 404, "version 7"),
    ],
)
async def test_wrong_bodies_without_json(
    client: httpx.AsyncClient, model: str, body: bytes, status: int, told: str
) -> None:
    response = await client.post(f"/v2/models/{model}/infer", content=body, headers={LENGTH: "0"})
    assert response.status_code == status
    assert told in response.json()["error"]


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
async def test_bodies_may_be_compressed(client: httpx.AsyncClient, encoding: str, compress: Any) -> None:
    body = compress(json.dumps({"inputs": [ROW]}).encode())
    response = await client.post(SCALED, content=body, headers={"Content-Encoding": encoding})
    assert response.json()["outputs"][0]["data"] == [3, 6, 9, 12]


async def test_classification_is_asked_for_by_a_parameter(client: httpx.AsyncClient) -> None:
    outputs = [{"name": "y", "parameters": {"classification": 2}}]
    response = await client.post(SCALED, json={"inputs": [ROW], "outputs": outputs})
    (output,) = response.json()["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])
    assert [text.split(":")[1] for text in output["data"]] == ["3", "2"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "inputs"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": [1]}, "inputs[0]"),
        ({"inputs": [{**ROW, "name": 5}]}, "inputs[0].name"),
        ({"inputs": [{"name": "x"}]}, "inputs[0].datatype"),
        ({"inputs": [{**ROW, "shape": None}]}, "inputs[0].shape"),
        ({"inputs": [{**ROW, "shape": [1, -4]}]}, "inputs[0].shape"),
        ({"inputs": [{**ROW, "shape": [1, 4.0]}]}, "inputs[0].shape"),
        ({"inputs": [{**ROW, "shape": [True, 4]}]}, "inputs[0].shape"),
        ({"inputs": [{**ROW, "data": [[1, 2], [3, 4]]}]}, "inputs[0].data"),
        ({"inputs": [{**ROW, "data": [1, 2, "3", 4]}]}, "inputs[0].data"),
        ({"inputs": [{**ROW, "data": None}]}, "inputs[0].data"),
        ({"inputs": [{**ROW, "parameters": []}]}, "inputs[0].parameters"),
        ({"inputs": [{**ROW, "parameters": {"p": [1]}}]}, "inputs[0].parameters['p']"),
        ({"inputs": [{**ROW, "parameters": {"p": 2**64}}]}, "inputs[0].parameters['p']"),
        ({"inputs": [{**ROW, "parameters": {"binary_data_size": 16}}]}, "inputs[0].data"),
        ({"inputs": [ROW], "outputs": "y"}, "outputs"),
        ({"inputs": [ROW], "outputs": [{}]}, "outputs[0].name"),
        ({"inputs": [ROW], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}, None),
        ({"inputs": [ROW], "parameters": {"binary_data_output": "yes"}}, "parameters['binary_data_output']"),
        ({"inputs": [ROW], "id": 7}, "id"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx.AsyncClient, body: dict[str, Any], field: str | None) -> None:
    response = await client.post(SCALED, json=body)
    assert response.status_code == 400
    assert response.json()["code"] == "INVALID_ARGUMENT"
    assert list(violations(response)) == [field or "outputs[0].parameters['binary_data']"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"datatype": "FP99"}, "FP99"),
        ({"datatype": "INT32"}, "FP32"),
        ({"name": "z"}, "z"),
        ({"shape": [1, 3], "data": [1, 2, 3]}, "expected 4"),
    ],
)
async def test_what_does_not_fit_the_model_is_told_as_over_grpc(
    client: httpx.AsyncClient, fields: dict[str, Any], told: str
) -> None:
    response = await client.post(SCALED, json={"inputs": [{**ROW, **fields}]})
    assert response.status_code == 400
    assert told in response.json()["error"]
    assert violations(response)


@pytest.mark.parametrize(
    ("length", "sizes", "blob", "told"),
    [
        ("1000000", [16], b"0" * 16, "expected at most the body's"),
        ("-1", [16], b"0" * 16, "expected at most the body's"),
        ("ten", [16], b"0" * 16, "expected at most the body's"),
        ("²", [16], b"0" * 16, "expected at most the body's"),
        ("9" * 5000, [16], b"0" * 16, "expected at most the body's"),
        ("5", [16], b"0" * 16, "not JSON"),
        (None, [17], b"0" * 16, "17 bytes of binary data are announced, 16 are left"),
        (None, [2**62], b"0" * 16, "are announced, 16 are left"),
        (None, [8], b"0" * 16, "8 bytes of binary data belong to no input"),
        (None, [-1], b"0" * 16, "a number of bytes"),
        (None, ["16"], b"0" * 16, "a number of bytes"),
        (None, [15], b"0" * 15, "16 bytes"),
    ],
)
async def test_headers_of_binary_data_that_lie(
    client: httpx.AsyncClient, length: str | None, sizes: list[Any], blob: bytes, told: str
) -> None:
    inputs = [
        {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": size}} for size in sizes
    ]
    body, headers = binary_body({"inputs": inputs}, blob)
    sent = {LENGTH.encode(): (length or headers[LENGTH]).encode("latin-1")}
    response = await client.post(SCALED, content=body, headers=sent)
    assert response.status_code == 400
    assert told in response.json()["error"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/v2/models/nobody/infer", "MODEL_NOT_FOUND"),
        ("/v2/models/scaled/versions/7/infer", "VERSION_NOT_FOUND"),
        ("/v2/models/scaled/versions/seven/infer", "LABEL_NOT_FOUND"),
    ],
)
async def test_models_that_are_not_there(client: httpx.AsyncClient, path: str, reason: str) -> None:
    response = await client.post(path, json={"inputs": [ROW]})
    assert (response.status_code, response.json()["reason"]) == (404, reason)
    assert response.json()["error"].startswith("Request for unknown model: '")


async def test_half_a_surrogate_pair_is_refused(client: httpx.AsyncClient) -> None:
    body = b'{"inputs":[{"name":"x","datatype":"BYTES","shape":[1],"data":["\\ud83d"]}]}'
    response = await client.post("/v2/models/strings/infer", content=body)
    assert response.status_code == 400
    assert "Unicode" in response.json()["error"]
