"""tritonclient.grpc with a server that loads what it is told to, and that takes no shared memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.foreign.python.cases import Case, check_outputs


@pytest.fixture
def client(grpc_target: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(grpc_target) as client:
        yield client


def states(client: triton.InferenceServerClient) -> dict[str, str]:
    return {model.name: model.state for model in client.get_model_repository_index().models}


def infer_digits(client: triton.InferenceServerClient, model: str, digits: Case) -> triton.InferResult:
    image = digits.inputs["image"]
    tensor = triton.InferInput("image", image.shape, "FP32")
    tensor.set_data_from_numpy(image)
    return client.infer(model, [tensor])


def test_a_model_is_there_once_it_is_loaded(client: triton.InferenceServerClient, digits: Case) -> None:
    assert states(client)["digits"] == ""
    assert not client.is_model_ready("digits")
    with pytest.raises(InferenceServerException) as raised:
        infer_digits(client, "digits", digits)
    assert raised.value.status() in ("StatusCode.UNAVAILABLE", "StatusCode.NOT_FOUND")
    client.load_model("digits")
    assert states(client)["digits"] == "READY"
    check_outputs(infer_digits(client, "digits", digits).as_numpy, digits.outputs)
    client.unload_model("digits")
    assert not client.is_model_ready("digits")


def test_a_configuration_that_comes_with_the_load(client: triton.InferenceServerClient, digits: Case) -> None:
    client.load_model("digits", config=json.dumps({"backend": "onnxruntime", "max_batch_size": 2}))
    assert client.get_model_config("digits").config.max_batch_size == 2
    check_outputs(infer_digits(client, "digits", digits).as_numpy, digits.outputs)
    client.load_model("digits")
    assert client.get_model_config("digits").config.max_batch_size != 2
    check_outputs(infer_digits(client, "digits", digits).as_numpy, digits.outputs)


def test_a_model_that_comes_with_the_load(client: triton.InferenceServerClient, models: Path, digits: Case) -> None:
    file = (models / "digits/1/model.onnx").read_bytes()
    client.load_model("given", config=json.dumps({"backend": "onnxruntime"}), files={"file:1/model.onnx": file})
    check_outputs(infer_digits(client, "given", digits).as_numpy, digits.outputs)
    client.unload_model("given")
    assert not client.is_model_ready("given")


def test_a_load_that_fails_says_why(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="no-such-model"):
        client.load_model("no-such-model")


def test_shared_memory_is_off_unless_it_was_allowed(client: triton.InferenceServerClient) -> None:
    assert "system_shared_memory" not in client.get_server_metadata().extensions
    with pytest.raises(InferenceServerException, match="--allow-shared-memory") as raised:
        client.register_system_shared_memory("region", "/key", 64)
    assert raised.value.status() == "StatusCode.UNIMPLEMENTED"
