"""tritonclient.http: the Open Inference Protocol over REST, as JSON and with the binary-data extension."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException
from tritonclient.utils import shared_memory as shm

from tests.foreign.python.cases import Case, check_outputs


@pytest.fixture
def client(http_target: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(http_target, concurrency=4) as client:
        yield client


def inputs_of(case: Case, binary: bool) -> list[triton.InferInput]:
    inputs = []
    for name, value in case.inputs.items():
        tensor = triton.InferInput(name, value.shape, case.datatypes[name])
        # 16-bit floats have no JSON in this client.
        tensor.set_data_from_numpy(value, binary_data=binary or case.datatypes[name] == "FP16")
        inputs.append(tensor)
    return inputs


def outputs_of(case: Case, binary: bool) -> list[triton.InferRequestedOutput]:
    return [
        triton.InferRequestedOutput(name, binary_data=binary or case.datatypes[name] == "FP16") for name in case.outputs
    ]


def test_readiness_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert not client.is_model_ready("no-such-model")
    assert {"classification", "model_repository", "binary_tensor_data"} <= set(
        client.get_server_metadata()["extensions"]
    )
    metadata = client.get_model_metadata("digits")
    assert (metadata["name"], metadata["versions"]) == ("digits", ["1"])
    assert metadata["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}]


def test_configuration_statistics_and_index(client: triton.InferenceServerClient) -> None:
    assert client.get_model_config("wine")["max_batch_size"] == 32
    (statistics,) = client.get_inference_statistics("digits")["model_stats"]
    assert (statistics["name"], statistics["version"]) == ("digits", "1")
    assert {model["name"] for model in client.get_model_repository_index()} == {"diabetes", "digits", "mirror", "wine"}


@pytest.mark.parametrize("answer", ["json", "binary"])
@pytest.mark.parametrize("request_as", ["json", "binary"])
@pytest.mark.parametrize("model", ["digits", "mirror"])
def test_answers_are_those_of_onnxruntime(
    model: str, request_as: str, answer: str, client: triton.InferenceServerClient, cases: dict[str, Case]
) -> None:
    case = cases[model]
    result = client.infer(
        model,
        inputs_of(case, request_as == "binary"),
        outputs=outputs_of(case, answer == "binary"),
        request_id="seven",
    )
    check_outputs(result.as_numpy, case.outputs)
    described = result.get_response()
    assert (described["id"], described["model_name"], described["model_version"]) == ("seven", model, "1")


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_both_ways(algorithm: str, client: triton.InferenceServerClient, digits: Case) -> None:
    result = client.infer(
        "digits",
        inputs_of(digits, True),
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    check_outputs(result.as_numpy, digits.outputs)


def test_classification(client: triton.InferenceServerClient, wine: Case) -> None:
    requested = [triton.InferRequestedOutput("probabilities", class_count=1)]
    best = client.infer("wine", inputs_of(wine, True), outputs=requested).as_numpy("probabilities")
    names = [text.decode().split(":")[2] for text in best.ravel()]
    assert names == ["barolo", "grignolino", "barbera"]


def test_priority_timeout_and_parameters(client: triton.InferenceServerClient, digits: Case) -> None:
    result = client.infer(
        "digits", inputs_of(digits, True), priority=1, timeout=20_000_000, parameters={"tenant": "blue"}
    )
    check_outputs(result.as_numpy, digits.outputs)


def test_many_at_once(client: triton.InferenceServerClient, digits: Case) -> None:
    calls = [client.async_infer("digits", inputs_of(digits, True)) for _ in range(16)]
    for call in calls:
        check_outputs(call.get_result().as_numpy, digits.outputs)


def test_loading_and_unloading(client: triton.InferenceServerClient) -> None:
    client.unload_model("wine")
    assert not client.is_model_ready("wine")
    client.load_model("wine")
    assert client.is_model_ready("wine")


def test_system_shared_memory(client: triton.InferenceServerClient, digits: Case) -> None:
    image = digits.inputs["image"]
    region = shm.create_shared_memory_region("images", "maas_foreign_http", image.nbytes)
    try:
        shm.set_shared_memory_region(region, [image])
        client.register_system_shared_memory("images", "maas_foreign_http", image.nbytes)
        assert [each["name"] for each in client.get_system_shared_memory_status()] == ["images"]
        tensor = triton.InferInput("image", image.shape, "FP32")
        tensor.set_shared_memory("images", image.nbytes)
        check_outputs(client.infer("digits", [tensor]).as_numpy, digits.outputs)
        client.unregister_system_shared_memory("images")
    finally:
        shm.destroy_shared_memory_region(region)


def test_refusals(client: triton.InferenceServerClient, digits: Case) -> None:
    with pytest.raises(InferenceServerException) as raised:
        client.infer("no-such-model", inputs_of(digits, True))
    assert raised.value.status() == "404"
    assert "unknown model: 'no-such-model' is not found" in raised.value.message()
    tensor = triton.InferInput("image", [1, 65], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 65), np.float32))
    with pytest.raises(InferenceServerException) as raised:
        client.infer("digits", [tensor])
    assert raised.value.status() == "400"
    assert "image" in raised.value.message()
