"""HandleReloadConfigRequest of tensorflow-serving-api: the models are those of the request, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from tests.foreign.python.cases import Case, check_outputs
from tests.foreign.python.tensorflow_tensors import SECONDS, array, predict_request


@pytest.fixture
def channel(grpc_target: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(grpc_target) as channel:
        yield channel


def request_for(
    models: Path, names: list[str], labels: Mapping[str, int] | None = None
) -> model_management_pb2.ReloadConfigRequest:
    """Only these models; the first with labels."""
    request = model_management_pb2.ReloadConfigRequest()
    for name in names:
        model = model_server_config_pb2.ModelConfig(
            name=name, base_path=str(models / name), model_platform="tensorflow"
        )
        request.config.model_config_list.config.append(model)
    request.config.model_config_list.config[0].version_labels.update(labels or {})
    return request


def test_models_and_labels_come_and_go(channel: grpc.Channel, models: Path, digits: Case) -> None:
    control = model_service_pb2_grpc.ModelServiceStub(channel)
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def states(model: str) -> set[str]:
        status = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name=model))
        versions = control.GetModelStatus(status, SECONDS).model_version_status
        return {get_model_status_pb2.ModelVersionStatus.State.Name(each.state) for each in versions}

    answer = control.HandleReloadConfigRequest(request_for(models, ["digits", "diabetes"], {"stable": 1}), SECONDS)
    assert (answer.status.error_code, answer.status.error_message) == (0, "")
    assert states("digits") == states("diabetes") == {"AVAILABLE"}
    response = prediction.Predict(predict_request(digits, version_label="stable"), SECONDS)
    check_outputs(lambda name: array(response.outputs[name]), digits.outputs)

    answer = control.HandleReloadConfigRequest(request_for(models, ["diabetes"]), SECONDS)
    assert answer.status.error_code == 0
    with pytest.raises(grpc.RpcError) as raised:
        prediction.Predict(predict_request(digits), SECONDS)
    assert raised.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)
    assert states("diabetes") == {"AVAILABLE"}


def test_a_label_of_a_version_that_is_not_there(channel: grpc.Channel, models: Path) -> None:
    control = model_service_pb2_grpc.ModelServiceStub(channel)
    with pytest.raises(grpc.RpcError) as raised:
        control.HandleReloadConfigRequest(request_for(models, ["digits"], {"canary": 7}), SECONDS)
    assert "canary" in str(raised.value.details())
