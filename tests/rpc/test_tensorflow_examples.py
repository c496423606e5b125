"""TensorFlow Serving's Classify, Regress and MultiInference, end to end."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server.errors import InvalidRequest, Unimplemented
from tests.rpc.tensorflow import TensorFlow, examples, spec
from tests.server.in_process import Refused

X = [1.0, 1.0, 1.0, 1.0]
ROWS = examples({"x": X, "shift": 0}, {"x": [2.0] * 4, "shift": 4, "ignored": b"?"})
SCALED = examples({"x": X}, {"x": [2.0, 0.0, 0.0, 0.0]}, context={"scale": 0.5})
BOTH = ("tensorflow/serving/classify", "tensorflow/serving/regress")


def classes(*rows: Any) -> pb.ClassificationResult:
    result = pb.ClassificationResult()
    for row in rows:
        result.classifications.add(classes=[pb.Class(label=label, score=score) for label, score in row])
    return result


async def test_every_example_is_classified_by_labels_and_numbers(tensorflow: TensorFlow) -> None:
    response = await tensorflow("Classify", pb.ClassificationRequest(model_spec=spec("classifier"), input=ROWS))
    # Two of the three classes have a label.
    assert response.result == classes(
        [("cat", 2.0), ("dog", 1.0), ("2", 1.0)], [("cat", 6.0), ("dog", 3.0), ("2", 3.0)]
    )
    assert response.model_spec == spec("classifier", version=1, signature="serving_default")


async def test_every_example_has_a_value_and_shares_what_the_context_says(tensorflow: TensorFlow) -> None:
    request = pb.RegressionRequest(model_spec=spec("regressor", signature="regression"), input=SCALED)
    response = await tensorflow("Regress", request)
    assert [each.value for each in response.result.regressions] == [2.0, 1.0]
    assert response.model_spec == spec("regressor", version=1, signature="regression")


async def test_several_tasks_are_answered_by_one_run(tensorflow: TensorFlow) -> None:
    request = pb.MultiInferenceRequest(input=examples({"x": [1.0, 2.0, 3.0, 4.0]}))
    request.tasks.add(model_spec=spec("scaled", label="steady"), method_name=BOTH[0])
    request.tasks.add(model_spec=spec("scaled", label="steady", signature="classification"), method_name=BOTH[0])
    response = await tensorflow("MultiInference", request)
    one = classes([("0", 1.0), ("1", 2.0), ("2", 3.0), ("3", 4.0)])
    assert [each.classification_result for each in response.results] == [one, one]
    assert [each.model_spec for each in response.results] == [
        spec("scaled", version=1, signature="serving_default"),
        spec("scaled", version=1, signature="classification"),
    ]
    regression = pb.MultiInferenceRequest(input=SCALED)
    regression.tasks.add(model_spec=spec("regressor"), method_name=BOTH[1])
    response = await tensorflow("MultiInference", regression)
    assert [each.value for each in response.results[0].regression_result.regressions] == [2.0, 1.0]


@pytest.mark.parametrize(
    ("method", "request_", "code", "text"),
    [
        (
            "Classify",
            pb.ClassificationRequest(model_spec=spec("gone"), input=ROWS),
            "NOT_FOUND",
            "Servable not found for request: Latest(gone)",
        ),
        (
            "Classify",
            pb.ClassificationRequest(model_spec=spec("broken"), input=ROWS),
            "FAILED_PRECONDITION",
            "it failed to load",
        ),
        (
            "Classify",
            pb.ClassificationRequest(model_spec=spec("classifier", signature="regression"), input=ROWS),
            "FAILED_PRECONDITION",
            'Serving signature key "regression" not found.',
        ),
        ("Classify", pb.ClassificationRequest(model_spec=spec("classifier")), "INVALID_ARGUMENT", "Input is empty."),
        (
            "Classify",
            pb.ClassificationRequest(model_spec=spec("classifier"), input=examples({"x": X})),
            "INVALID_ARGUMENT",
            "input.example_list.examples[0].features.feature['shift']: expected a feature for input 'shift'",
        ),
        (
            "Regress",
            pb.RegressionRequest(model_spec=spec("classifier"), input=ROWS),
            "INVALID_ARGUMENT",
            "model classifier:1 is not made for Regress: expected an output of one FP32 value per example",
        ),
        (
            "Classify",
            pb.ClassificationRequest(model_spec=spec("regressor"), input=SCALED),
            "INVALID_ARGUMENT",
            "model regressor:1 is not made for Classify",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_answered_is_refused(
    tensorflow: TensorFlow, method: str, request_: Any, code: str, text: str
) -> None:
    with pytest.raises(Refused) as refused:
        await tensorflow(method, request_)
    assert refused.value.code.name == code
    assert text in refused.value.message


def tasks(*pairs: tuple[str, str, str]) -> pb.MultiInferenceRequest:
    request = pb.MultiInferenceRequest(input=ROWS)
    for name, signature, method in pairs:
        request.tasks.add(model_spec=spec(name, signature=signature), method_name=method)
    return request


@pytest.mark.parametrize(
    ("request_", "error", "text"),
    [
        (tasks(), InvalidRequest, "tasks: expected at least 1 task"),
        (tasks(("a", "", BOTH[0]), ("b", "", BOTH[1])), InvalidRequest, "must access the same model name"),
        (
            tasks(("a", "", BOTH[0]), ("a", "serving_default", BOTH[0])),
            InvalidRequest,
            "Duplicate evaluation of signature: serving_default",
        ),
        (tasks(("a", "", "tensorflow/serving/predict")), Unimplemented, "Unsupported signature method_name"),
        (tasks(("gone", "", BOTH[0])), None, "Servable not found for request: Latest(gone)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_tasks_that_one_run_cannot_answer_are_refused(
    tensorflow: TensorFlow, request_: pb.MultiInferenceRequest, error: Any, text: str
) -> None:
    with pytest.raises(Refused) as refused:
        await tensorflow("MultiInference", request_)
    assert refused.value.code == (error.code if error else grpc.StatusCode.NOT_FOUND)
    assert text in refused.value.message
