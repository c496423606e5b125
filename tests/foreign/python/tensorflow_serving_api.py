"""tensorflow-serving-api: TensorFlow Serving's own stubs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import grpc
import numpy as np
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    input_pb2,
    model_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from tests.foreign.python.cases import Array, Case, check_outputs
from tests.foreign.python.tensorflow_tensors import SECONDS, array, predict_request, tensor


@pytest.fixture
def channel(grpc_target: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(grpc_target) as channel:
        yield channel


@pytest.fixture
def prediction(channel: grpc.Channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def models(channel: grpc.Channel) -> model_service_pb2_grpc.ModelServiceStub:
    return model_service_pb2_grpc.ModelServiceStub(channel)


@pytest.mark.parametrize("typed", [True, False], ids=["typed", "tensor_content"])
@pytest.mark.parametrize("model", ["digits", "mirror"])
def test_answers_are_those_of_onnxruntime(
    model: str,
    typed: bool,
    prediction: prediction_service_pb2_grpc.PredictionServiceStub,
    cases: Mapping[str, Case],
) -> None:
    response = prediction.Predict(predict_request(cases[model], typed), SECONDS)
    assert (response.model_spec.name, response.model_spec.version.value) == (model, 1)
    assert response.model_spec.signature_name == "serving_default"
    check_outputs(lambda name: array(response.outputs[name]), cases[model].outputs)


def test_a_version_a_signature_and_some_outputs(
    prediction: prediction_service_pb2_grpc.PredictionServiceStub, digits: Case
) -> None:
    request = predict_request(digits, signature_name="serving_default")
    request.model_spec.version.value = 1
    request.output_filter.append("label")
    response = prediction.Predict(request, SECONDS)
    assert list(response.outputs) == ["label"]
    check_outputs(lambda name: array(response.outputs[name]), {"label": digits.outputs["label"]})


def test_what_is_not_there(prediction: prediction_service_pb2_grpc.PredictionServiceStub, digits: Case) -> None:
    version = predict_request(digits)
    version.model_spec.version.value = 7
    wrong = predict_request(digits)
    wrong.inputs["image"].CopyFrom(tensor(np.zeros((1, 65), np.float32), "FP32", False))
    label = predict_request(digits, version_label="canary")
    model = predict_request(digits, name="no-such-model")
    expected = [
        (model, grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(no-such-model)"),
        (version, grpc.StatusCode.NOT_FOUND, "Servable not found for request: Specific(digits, 7)"),
        (label, grpc.StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: canary"),
        (wrong, grpc.StatusCode.INVALID_ARGUMENT, "image"),
    ]
    for request, code, text in expected:
        with pytest.raises(grpc.RpcError) as raised:
            prediction.Predict(request, SECONDS)
        assert raised.value.code() is code
        assert text in str(raised.value.details())


def test_metadata(prediction: prediction_service_pb2_grpc.PredictionServiceStub) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "digits"
    response = prediction.GetModelMetadata(request, SECONDS)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    image = signature.inputs["image"]
    assert (image.dtype, [dim.size for dim in image.tensor_shape.dim]) == (types_pb2.DT_FLOAT, [-1, 64])
    assert set(signature.outputs) == {"label", "probabilities"}

    request.metadata_field[:] = ["assets"]
    with pytest.raises(grpc.RpcError) as raised:
        prediction.GetModelMetadata(request, SECONDS)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(raised.value.details()).startswith("Metadata field assets is not supported")


def test_status(models: model_service_pb2_grpc.ModelServiceStub) -> None:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name="digits"))
    (version,) = models.GetModelStatus(request, SECONDS).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert (version.version, version.state, version.status.error_code) == (1, available, 0)

    request.model_spec.name = "no-such-model"
    with pytest.raises(grpc.RpcError) as raised:
        models.GetModelStatus(request, SECONDS)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND
    assert "Could not find any versions of model no-such-model" in str(raised.value.details())


def examples(rows: Array, feature: str) -> input_pb2.Input:
    inputs = input_pb2.Input()
    for row in rows:
        example = inputs.example_list.examples.add()
        example.features.feature[feature].float_list.value.extend(row.tolist())
    return inputs


def test_classes_and_their_scores(prediction: prediction_service_pb2_grpc.PredictionServiceStub, wine: Case) -> None:
    request = classification_pb2.ClassificationRequest(input=examples(wine.inputs["features"], "features"))
    request.model_spec.name = "wine"
    response = prediction.Classify(request, SECONDS)
    assert len(response.result.classifications) == 3
    for row, probabilities in zip(response.result.classifications, wine.outputs["probabilities"], strict=True):
        scores = {each.label: each.score for each in row.classes}
        assert scores == {
            name: pytest.approx(float(score), rel=1e-5)
            for name, score in zip(("barolo", "grignolino", "barbera"), probabilities, strict=True)
        }


def test_regression(prediction: prediction_service_pb2_grpc.PredictionServiceStub, cases: Mapping[str, Case]) -> None:
    case = cases["diabetes"]
    request = regression_pb2.RegressionRequest(input=examples(case.inputs["features"], "features"))
    request.model_spec.name = "diabetes"
    values = [each.value for each in prediction.Regress(request, SECONDS).result.regressions]
    (expected,) = case.outputs.values()
    np.testing.assert_allclose(values, expected.ravel(), rtol=1e-5)


def test_regression_of_a_model_that_has_none_is_refused(
    prediction: prediction_service_pb2_grpc.PredictionServiceStub, wine: Case
) -> None:
    request = regression_pb2.RegressionRequest(input=examples(wine.inputs["features"], "features"))
    request.model_spec.name = "wine"
    with pytest.raises(grpc.RpcError) as raised:
        prediction.Regress(request, SECONDS)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
