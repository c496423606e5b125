"""ovmsclient, OpenVINO Model Server's client of TensorFlow Serving's protocol.

It sends version 0 for "the newest".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import ovmsclient
import pytest
from ovmsclient.tfs_compat.base.errors import InvalidInputError, ModelNotFoundError

from tests.foreign.python.cases import Array, Case, check_outputs


@pytest.fixture
def client(grpc_target: str) -> Any:
    return ovmsclient.make_grpc_client(grpc_target)


@pytest.fixture
def http_client(http_target: str) -> Any:
    return ovmsclient.make_http_client(http_target)


@pytest.mark.parametrize("version", [0, 1])
def test_answers_are_those_of_onnxruntime(version: int, client: Any, digits: Case) -> None:
    outputs: Mapping[str, Array] = client.predict(dict(digits.inputs), "digits", version)
    check_outputs(outputs.get, digits.outputs)


def test_every_datatype(client: Any, mirror: Case) -> None:
    # Strings are an array of bytes for this client, never of objects.
    inputs = {
        name: value.astype(np.bytes_) if value.dtype == object else value for name, value in mirror.inputs.items()
    }
    outputs: Mapping[str, Array] = client.predict(inputs, "mirror")
    check_outputs(outputs.get, mirror.outputs)


def test_metadata_and_status(client: Any) -> None:
    metadata = client.get_model_metadata("digits")
    assert metadata == {
        "model_version": 1,
        "inputs": {"image": {"shape": [-1, 64], "dtype": "DT_FLOAT"}},
        "outputs": {
            "label": {"shape": [-1], "dtype": "DT_INT64"},
            "probabilities": {"shape": [-1, 10], "dtype": "DT_FLOAT"},
        },
    }
    assert client.get_model_status("digits") == {1: {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}


def test_rest(http_client: Any, digits: Case) -> None:
    outputs: Mapping[str, Array] = http_client.predict({"image": digits.inputs["image"]}, "digits", 1)
    np.testing.assert_array_equal(outputs["label"], digits.outputs["label"])
    np.testing.assert_allclose(outputs["probabilities"], digits.outputs["probabilities"], rtol=1e-5, atol=1e-7)
    assert http_client.get_model_status("digits", 1)[1]["state"] == "AVAILABLE"
    with pytest.raises(ModelNotFoundError, match="no-such-model"):
        http_client.predict({"image": digits.inputs["image"]}, "no-such-model", 1)


def test_refusals_have_a_code_and_a_text(client: Any, digits: Case) -> None:
    with pytest.raises(ModelNotFoundError, match="Servable not found for request: Latest\\(no-such-model\\)"):
        client.predict(dict(digits.inputs), "no-such-model")
    with pytest.raises(ModelNotFoundError, match="Servable not found for request: Specific\\(digits, 7\\)"):
        client.predict(dict(digits.inputs), "digits", 7)
    with pytest.raises(InvalidInputError, match="image"):
        client.predict({"image": np.zeros((1, 65), np.float32)}, "digits")
