"""What people type: `buf curl`, which learns the services by reflection, and `curl`."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import numpy as np
import pytest

from tests.foreign import tools
from tests.foreign.conftest import Served
from tests.foreign.models import as_json

BUF = tools.ENVIRONMENTS / "buf/bin/buf"
LIMIT_SECONDS = 60


class Buf:
    """`buf curl` against one server."""

    def __init__(self, target: str) -> None:
        self._url = f"http://{target}"

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)

    def list(self, what: str) -> set[str]:
        listed = self(what, self._url)
        assert listed.returncode == 0, listed.stderr
        return set(listed.stdout.split())

    def call(self, method: str, **request: Any) -> Any:
        done = self("--data", json.dumps(request), f"{self._url}/{method}")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def error(self, method: str, **request: Any) -> Any:
        """The error that a call ends with."""
        done = self("--data", json.dumps(request), f"{self._url}/{method}")
        assert done.returncode != 0, done.stdout
        return json.loads(done.stderr)


@pytest.fixture
def buf(served: Served) -> Buf:
    tools.prepare("buf")
    return Buf(served.grpc)


def test_reflection_names_every_service(buf: Buf) -> None:
    assert buf.list("--list-services") >= {
        "grpc.health.v1.Health",
        "inference.GRPCInferenceService",
        "maas.v1.ModelService",
        "maas.v1.PredictService",
        "tensorflow.serving.ModelService",
        "tensorflow.serving.PredictionService",
    }
    assert "inference.GRPCInferenceService/ModelInfer" in buf.list("--list-methods")


def test_health_by_reflection(buf: Buf) -> None:
    for service in ("", "digits", "digits/1"):
        assert buf.call("grpc.health.v1.Health/Check", service=service) == {"status": "SERVING"}
    assert buf.error("grpc.health.v1.Health/Check", service="no-such-model")["code"] == "not_found"


def test_the_open_inference_protocol_by_reflection(buf: Buf, served: Served) -> None:
    digits = served.cases["digits"]
    image = digits.inputs["image"]
    tensor = {
        "name": "image",
        "datatype": "FP32",
        "shape": list(image.shape),
        "contents": {"fp32Contents": image.ravel().tolist()},
    }
    answer = buf.call("inference.GRPCInferenceService/ModelInfer", modelName="digits", inputs=[tensor])
    assert [output["name"] for output in answer["outputs"]] == list(digits.outputs)
    assert answer["modelVersion"] == "1"
    refused = buf.error("inference.GRPCInferenceService/ModelInfer", modelName="no-such-model", inputs=[tensor])
    assert refused["code"] == "not_found"
    assert "unknown model: 'no-such-model' is not found" in refused["message"]


def test_tensorflow_serving_by_reflection(buf: Buf, served: Served) -> None:
    digits = served.cases["digits"]
    image = digits.inputs["image"]
    tensor = {
        "dtype": "DT_FLOAT",
        "tensorShape": {"dim": [{"size": size} for size in image.shape]},
        "floatVal": image.ravel().tolist(),
    }
    answer = buf.call(
        "tensorflow.serving.PredictionService/Predict", modelSpec={"name": "digits"}, inputs={"image": tensor}
    )
    assert set(answer["outputs"]) == set(digits.outputs)
    refused = buf.error(
        "tensorflow.serving.PredictionService/Predict", modelSpec={"name": "lost"}, inputs={"image": tensor}
    )
    assert (refused["code"], "Latest(lost)" in refused["message"]) == ("not_found", True)


class Curl:
    """`curl` against one server."""

    def __init__(self, target: str) -> None:
        self._url = f"http://{target}"

    def __call__(self, path: str, body: Any = None, *options: str) -> tuple[int, str]:
        """The status, and the body."""
        data = () if body is None else ("--header", "Content-Type: application/json", "--data", json.dumps(body))
        command = ["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", *data, *options]
        answer, _, status = tools.run([*command, self._url + path]).rpartition("\n")
        return int(status), answer


@pytest.fixture
def curl(served: Served) -> Curl:
    tools.require("curl")
    return Curl(served.http)


@pytest.mark.parametrize(
    "path", ["/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready", "/metrics", "/docs"]
)
def test_pages_are_there(path: str, curl: Curl) -> None:
    assert curl(path)[0] == 200


@pytest.mark.parametrize("path", ["/v2/models/digits/infer", "/v2/models/digits/versions/1/infer"])
def test_the_open_inference_protocol_over_rest(path: str, curl: Curl, served: Served) -> None:
    digits = served.cases["digits"]
    status, answer = curl(path, {"id": "seven", "inputs": [as_json("image", digits.inputs["image"])]}, "--compressed")
    assert status == 200
    answered = json.loads(answer)
    assert (answered["id"], answered["model_name"], answered["model_version"]) == ("seven", "digits", "1")
    for output in answered["outputs"]:
        expected = digits.outputs[output["name"]]
        assert output["shape"] == list(expected.shape)
        np.testing.assert_allclose(output["data"], expected.ravel(), rtol=1e-5, atol=1e-7)


def test_tensorflow_servings_rest(curl: Curl, served: Served) -> None:
    wine = served.cases["wine"]
    rows, expected = wine.inputs["features"], wine.outputs["probabilities"]
    status, answer = curl("/v1/models/wine:predict", {"instances": rows.tolist()})
    assert status == 200
    given = [row["probabilities"] for row in json.loads(answer)["predictions"]]
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-7)

    status, answer = curl("/v1/models/wine:classify", {"examples": [{"features": row} for row in rows.tolist()]})
    assert status == 200
    for classes, row in zip(json.loads(answer)["results"], expected, strict=True):
        names, scores = zip(*classes, strict=True)
        assert names == ("barolo", "grignolino", "barbera")
        np.testing.assert_allclose(scores, row, rtol=1e-5, atol=1e-7)

    diabetes = served.cases["diabetes"]
    patients = [{"features": row} for row in diabetes.inputs["features"].tolist()]
    status, answer = curl("/v1/models/diabetes:regress", {"examples": patients})
    assert status == 200
    (progress,) = diabetes.outputs.values()
    np.testing.assert_allclose(json.loads(answer)["results"], progress.ravel(), rtol=1e-5)

    assert curl("/v1/models/wine")[0] == 200
    assert json.loads(curl("/v1/models/wine/metadata")[1])["model_spec"]["name"] == "wine"


def test_graphql(curl: Curl) -> None:
    status, answer = curl("/graphql", {"query": "{ models { name } }"})
    assert status == 200
    assert {"name": "digits"} in json.loads(answer)["data"]["models"]


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/v2/models/lost/infer", {"inputs": []}, 404, "unknown model: 'lost' is not found"),
        ("/v2/models/digits/versions/7/infer", {"inputs": []}, 404, "digits"),
        ("/v2/models/digits/infer", [], 400, "object"),
        ("/v1/models/lost:predict", {"instances": [[1]]}, 404, "lost"),
        ("/v1/models/wine:predict", {"instances": [[1, 2]]}, 400, "features"),
    ],
)
def test_refusals_have_a_status_and_a_text(path: str, body: Any, status: int, text: str, curl: Curl) -> None:
    given, answer = curl(path, body)
    assert given == status, answer
    assert text in json.loads(answer)["error"]
