"""tritonclient.grpc, synchronous: what Triton's Python users call."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype
from tritonclient.utils import shared_memory as shm

from tests.foreign.python.cases import Case, check_outputs

# What callbacks get: a result or an error, and None.
Answers = queue.Queue[tuple[Any, Any]]


@pytest.fixture
def client(grpc_target: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(grpc_target) as client:
        yield client


def inputs_of(case: Case) -> list[triton.InferInput]:
    inputs = []
    for name, value in case.inputs.items():
        tensor = triton.InferInput(name, value.shape, case.datatypes[name])
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    return inputs


def test_the_server_and_its_models_are_ready(client: triton.InferenceServerClient, digits: Case) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert not client.is_model_ready("digits", "7")
    assert not client.is_model_ready("no-such-model")


def test_metadata(client: triton.InferenceServerClient) -> None:
    server = client.get_server_metadata()
    assert server.name
    assert server.version
    assert {"classification", "model_repository", "binary_tensor_data", "statistics"} <= set(server.extensions)
    model = client.get_model_metadata("digits")
    assert (model.name, list(model.versions), model.platform) == ("digits", ["1"], "onnxruntime_onnx")
    (image,) = model.inputs
    assert (image.name, image.datatype, list(image.shape)) == ("image", "FP32", [-1, 64])
    assert [(each.name, each.datatype, list(each.shape)) for each in model.outputs] == [
        ("label", "INT64", [-1]),
        ("probabilities", "FP32", [-1, 10]),
    ]


def test_configuration_as_it_stands_in_the_repository(client: triton.InferenceServerClient) -> None:
    config = client.get_model_config("wine", as_json=True)["config"]
    assert (config["name"], config["platform"], config["max_batch_size"]) == ("wine", "onnxruntime_onnx", 32)
    assert config["input"][0]["dims"] == ["13"]
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == "1000"


@pytest.mark.parametrize("model", ["digits", "mirror"])
def test_answers_are_those_of_onnxruntime(
    model: str, client: triton.InferenceServerClient, cases: Mapping[str, Case]
) -> None:
    case = cases[model]
    result = client.infer(model, inputs_of(case), request_id="seven")
    check_outputs(result.as_numpy, case.outputs)
    answer = result.get_response()
    assert (answer.id, answer.model_name, answer.model_version) == ("seven", model, "1")


def test_only_the_outputs_that_are_asked_for(client: triton.InferenceServerClient, digits: Case) -> None:
    result = client.infer("digits", inputs_of(digits), outputs=[triton.InferRequestedOutput("label")])
    assert [output.name for output in result.get_response().outputs] == ["label"]
    check_outputs(result.as_numpy, {"label": digits.outputs["label"]})


def test_classification(client: triton.InferenceServerClient, wine: Case) -> None:
    requested = [triton.InferRequestedOutput("probabilities", class_count=2)]
    best = client.infer("wine", inputs_of(wine), outputs=requested).as_numpy("probabilities")
    assert best.shape == (3, 2)
    names = ("barolo", "grignolino", "barbera")
    for row, probabilities in zip(best, wine.outputs["probabilities"], strict=True):
        for text, index in zip(row, np.argsort(-probabilities, kind="stable")[:2], strict=True):
            score, position, name = text.decode().split(":")
            assert (int(position), name) == (index, names[index])
            assert float(score) == pytest.approx(probabilities[index], rel=1e-4)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests(algorithm: str, client: triton.InferenceServerClient, digits: Case) -> None:
    result = client.infer("digits", inputs_of(digits), compression_algorithm=algorithm)
    check_outputs(result.as_numpy, digits.outputs)


def test_priority_timeouts_and_parameters(client: triton.InferenceServerClient, digits: Case) -> None:
    result = client.infer(
        "digits", inputs_of(digits), priority=1, timeout=20_000_000, client_timeout=20, parameters={"tenant": "blue"}
    )
    check_outputs(result.as_numpy, digits.outputs)


def test_answers_to_callbacks(client: triton.InferenceServerClient, digits: Case) -> None:
    answers: Answers = queue.Queue()
    for _ in range(8):
        client.async_infer("digits", inputs_of(digits), lambda result, error: answers.put((result, error)))
    for _ in range(8):
        result, error = answers.get(timeout=20)
        assert error is None
        check_outputs(result.as_numpy, digits.outputs)


def test_a_stream_goes_on_after_a_refusal(client: triton.InferenceServerClient, digits: Case) -> None:
    answers: Answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for model in ("digits", "no-such-model", "digits"):
        client.async_stream_infer(model, inputs_of(digits), request_id=model)
    given = [answers.get(timeout=20) for _ in range(3)]
    client.stop_stream()
    (refusal,) = [error for _, error in given if error is not None]
    assert "no-such-model" in refusal.message()
    results = [result for result, _ in given if result is not None]
    assert [result.get_response().id for result in results] == ["digits", "digits"]
    for result in results:
        check_outputs(result.as_numpy, digits.outputs)


def test_every_request_of_a_stream_gets_its_own_answer(client: triton.InferenceServerClient, wine: Case) -> None:
    answers: Answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(60):
        row = wine.inputs["features"][number % 3][None]
        tensor = triton.InferInput("features", row.shape, "FP32")
        tensor.set_data_from_numpy(row)
        client.async_stream_infer("wine", [tensor], request_id=str(number))
    given = [answers.get(timeout=20) for _ in range(60)]
    client.stop_stream()
    for number, (result, error) in enumerate(given):
        assert error is None
        # In the order of the requests, as Triton's clients may expect it.
        assert result.get_response().id == str(number)
        check_outputs(result.as_numpy, {"probabilities": wine.outputs["probabilities"][number % 3][None]})


def test_empty_final_answers_of_a_stream(client: triton.InferenceServerClient, digits: Case) -> None:
    """Clients of decoupled models ask for them; others get the mark with their only answer."""
    answers: Answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    client.async_stream_infer("digits", inputs_of(digits), enable_empty_final_response=True)
    result, error = answers.get(timeout=20)
    client.stop_stream()
    assert error is None
    assert result.get_response().parameters["triton_final_response"].bool_param
    check_outputs(result.as_numpy, digits.outputs)


def test_statistics_grow(client: triton.InferenceServerClient, digits: Case) -> None:
    def counts() -> tuple[int, int]:
        (statistics,) = client.get_inference_statistics("digits", "1").model_stats
        return statistics.inference_count, statistics.inference_stats.success.count

    before = counts()
    client.infer("digits", inputs_of(digits))
    rows, requests = counts()
    assert (rows, requests) == (before[0] + 4, before[1] + 1)


def test_the_repository(client: triton.InferenceServerClient, wine: Case) -> None:
    def states() -> dict[str, str]:
        return {model.name: model.state for model in client.get_model_repository_index().models}

    assert states() == dict.fromkeys(("diabetes", "digits", "mirror", "wine"), "READY")
    client.unload_model("wine")
    assert states()["wine"] != "READY"
    assert not client.is_model_ready("wine")
    with pytest.raises(InferenceServerException):
        client.infer("wine", inputs_of(wine))
    client.load_model("wine")
    assert client.is_model_ready("wine")
    requested = [triton.InferRequestedOutput("probabilities")]
    result = client.infer("wine", inputs_of(wine), outputs=requested)
    check_outputs(result.as_numpy, {"probabilities": wine.outputs["probabilities"]})


def test_system_shared_memory(client: triton.InferenceServerClient, digits: Case) -> None:
    image, probabilities = digits.inputs["image"], digits.outputs["probabilities"]
    size = image.nbytes + probabilities.nbytes
    region = shm.create_shared_memory_region("both", "maas_foreign_test", size)
    try:
        shm.set_shared_memory_region(region, [image])
        client.register_system_shared_memory("both", "maas_foreign_test", size)
        (status,) = client.get_system_shared_memory_status("both").regions.values()
        assert (status.key, status.byte_size) == ("maas_foreign_test", size)
        tensor = triton.InferInput("image", image.shape, np_to_triton_dtype(image.dtype))
        tensor.set_shared_memory("both", image.nbytes)
        requested = triton.InferRequestedOutput("probabilities")
        requested.set_shared_memory("both", probabilities.nbytes, offset=image.nbytes)
        result = client.infer("digits", [tensor], outputs=[requested])
        output = result.get_output("probabilities")
        assert list(output.shape) == list(probabilities.shape)
        written = shm.get_contents_as_numpy(region, np.float32, probabilities.shape, offset=image.nbytes)
        np.testing.assert_allclose(written, probabilities, rtol=1e-5, atol=1e-7)

        tensor.set_shared_memory("both", image.nbytes, offset=size)
        with pytest.raises(InferenceServerException) as raised:
            client.infer("digits", [tensor])
        assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
        client.unregister_system_shared_memory("both")
        assert not client.get_system_shared_memory_status().regions
    finally:
        shm.destroy_shared_memory_region(region)


def test_refusals(client: triton.InferenceServerClient, digits: Case) -> None:
    with pytest.raises(InferenceServerException) as raised:
        client.infer("no-such-model", inputs_of(digits))
    assert raised.value.status() == "StatusCode.NOT_FOUND"
    assert "unknown model: 'no-such-model' is not found" in raised.value.message()

    tensor = triton.InferInput("image", [1, 65], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 65), np.float32))
    with pytest.raises(InferenceServerException) as raised:
        client.infer("digits", [tensor])
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "image" in raised.value.message()

    tensor = triton.InferInput("image", [1, 64], "FP64")
    tensor.set_data_from_numpy(np.zeros((1, 64), np.float64))
    with pytest.raises(InferenceServerException) as raised:
        client.infer("digits", [tensor])
    assert raised.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert "FP64" in raised.value.message()


def test_cuda_shared_memory_is_not_implemented(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException) as raised:
        client.register_cuda_shared_memory("region", b"0" * 64, 0, 64)
    assert raised.value.status() == "StatusCode.UNIMPLEMENTED"


def test_trace_settings_say_that_nothing_is_traced(client: triton.InferenceServerClient) -> None:
    assert list(client.get_trace_settings().settings["trace_level"].value) == ["OFF"]


def test_log_settings_change_what_is_logged(client: triton.InferenceServerClient) -> None:
    assert client.get_log_settings().settings["log_verbose_level"].uint32_param == 0
    assert client.update_log_settings({"log_verbose_level": 1}).settings["log_verbose_level"].uint32_param == 1
    assert client.update_log_settings({"log_verbose_level": 0}).settings["log_verbose_level"].uint32_param == 0
