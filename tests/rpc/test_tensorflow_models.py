"""TensorFlow Serving's GetModelMetadata, GetModelStatus and HandleReloadConfigRequest."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest

from maas_server._stubs.tensorflow_serving import model_pb2, model_service_pb2, tensor_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from tests.rpc.tensorflow import TensorFlow, array, predict, spec, values
from tests.server.in_process import Refused

ONES = values("FP32", [1, 4], 1.0)


def metadata(model: model_pb2.ModelSpec, *fields: str) -> pb.GetModelMetadataRequest:
    return pb.GetModelMetadataRequest(model_spec=model, metadata_field=fields)


def status(model: model_pb2.ModelSpec) -> model_service_pb2.GetModelStatusRequest:
    return model_service_pb2.GetModelStatusRequest(model_spec=model)


async def signatures(tensorflow: TensorFlow, model: str) -> pb.SignatureDefMap:
    response = await tensorflow("GetModelMetadata", metadata(spec(model), "signature_def"))
    packed = response.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    return pb.SignatureDefMap.FromString(packed.value)


async def test_metadata_describes_inputs_and_outputs(tensorflow: TensorFlow) -> None:
    response = await tensorflow("GetModelMetadata", metadata(spec("scaled", label="steady"), "signature_def"))
    assert response.model_spec == spec("scaled", version=1)
    default = (await signatures(tensorflow, "typed")).signature_def["serving_default"]
    assert default.method_name == "tensorflow/serving/predict"
    assert default.inputs["in_BF16"].dtype == tensor_pb2.DT_BFLOAT16
    assert default.outputs["out_UINT64"].dtype == tensor_pb2.DT_UINT64
    assert [dim.size for dim in default.inputs["in_BOOL"].tensor_shape.dim] == [-1, 2]
    assert [dim.name for dim in default.inputs["in_BOOL"].tensor_shape.dim] == ["batch", ""]
    assert default.inputs["in_BOOL"].name == "in_BOOL"


async def test_metadata_tells_what_a_model_may_be_asked_besides_predictions(tensorflow: TensorFlow) -> None:
    classifier = (await signatures(tensorflow, "classifier")).signature_def
    assert sorted(classifier) == ["classification", "serving_default"]
    assert classifier["classification"].method_name == "tensorflow/serving/classify"
    assert classifier["classification"].inputs["inputs"].dtype == tensor_pb2.DT_STRING
    assert sorted(classifier["classification"].outputs) == ["classes", "scores"]
    regressor = (await signatures(tensorflow, "regressor")).signature_def
    assert sorted(regressor) == ["regression", "serving_default"]
    assert regressor["regression"].method_name == "tensorflow/serving/regress"
    assert list(regressor["serving_default"].inputs["scale"].tensor_shape.dim) == []
    assert not regressor["serving_default"].inputs["scale"].tensor_shape.unknown_rank
    assert list((await signatures(tensorflow, "strings")).signature_def) == ["serving_default"]


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (metadata(spec("scaled")), "INVALID_ARGUMENT", "must specify at least one metadata_field"),
        (metadata(spec("scaled"), "graph"), "INVALID_ARGUMENT", "Metadata field graph is not supported"),
        (metadata(spec("gone"), "signature_def"), "NOT_FOUND", "Servable not found for request: Latest(gone)"),
        (
            metadata(spec("scaled", 9), "signature_def"),
            "NOT_FOUND",
            "Servable not found for request: Specific(scaled, 9)",
        ),
        (metadata(spec("scaled", -1), "signature_def"), "INVALID_ARGUMENT", "model_spec.version: "),
        (
            metadata(spec("scaled", label="bold"), "signature_def"),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: bold",
        ),
        (
            metadata(spec("scaled", label="1"), "signature_def"),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: 1",
        ),
        (metadata(spec("broken"), "signature_def"), "FAILED_PRECONDITION", "it failed to load: version 1: "),
        (metadata(spec(""), "signature_def"), "INVALID_ARGUMENT", "model_spec.name is required"),
        (metadata(spec("m" * 257), "signature_def"), "INVALID_ARGUMENT", "expected at most 256 bytes, got 257"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_metadata_that_there_is_not_is_refused(
    tensorflow: TensorFlow, request_: pb.GetModelMetadataRequest, code: str, text: str
) -> None:
    with pytest.raises(Refused) as refused:
        await tensorflow("GetModelMetadata", request_)
    assert refused.value.code.name == code
    assert text in refused.value.message


async def test_status_tells_the_state_of_every_version_newest_first(tensorflow: TensorFlow) -> None:
    await tensorflow.unload("scaled", 1)
    response = await tensorflow("GetModelStatus", status(spec("scaled")))
    states = [(each.version, each.state, each.status.error_code) for each in response.model_version_status]
    kind = model_service_pb2.ModelVersionStatus
    assert states == [(2, kind.AVAILABLE, 0), (1, kind.END, 0)]
    assert all(each.HasField("status") for each in response.model_version_status)


async def test_status_of_one_version_by_number_and_by_label(tensorflow: TensorFlow) -> None:
    for model in (spec("scaled", 1), spec("scaled", label="steady")):
        response = await tensorflow("GetModelStatus", status(model))
        assert [each.version for each in response.model_version_status] == [1]


async def test_status_says_why_a_version_did_not_load(tensorflow: TensorFlow) -> None:
    response = await tensorflow("GetModelStatus", status(spec("broken")))
    [version] = response.model_version_status
    assert version.state == model_service_pb2.ModelVersionStatus.END
    assert version.status.error_code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert "ONNX Runtime cannot load model.onnx" in version.status.error_message


@pytest.mark.parametrize(
    ("model", "code", "phrase"),
    [
        (spec("gone"), "NOT_FOUND", "Could not find any versions of model gone: "),
        (spec("gone", 3), "NOT_FOUND", "Could not find version 3 of model gone: "),
        (spec("scaled", 3), "NOT_FOUND", "Could not find version 3 of model scaled: "),
        (spec("scaled", label="bold"), "INVALID_ARGUMENT", "Unrecognized servable version label: bold: "),
        (spec(""), "INVALID_ARGUMENT", "model_spec.name is required"),
    ],
    ids=str,
)
async def test_the_status_of_what_is_not_there_is_refused(
    tensorflow: TensorFlow, model: model_pb2.ModelSpec, code: str, phrase: str
) -> None:
    with pytest.raises(Refused) as refused:
        await tensorflow("GetModelStatus", status(model))
    assert refused.value.code.name == code
    assert refused.value.message.startswith(phrase)


def reload(*models: tuple[str, Path], versions: tuple[int, ...] = ()) -> model_service_pb2.ReloadConfigRequest:
    request = model_service_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    for name, path in models:
        config = request.config.model_config_list.config.add(
            name=name, base_path=str(path), model_platform="tensorflow"
        )
        if versions:
            config.model_version_policy.specific.versions.extend(versions)
    return request


async def test_a_reload_serves_exactly_the_models_that_it_names(tensorflow: TensorFlow, tmp_path: Path) -> None:
    response = await tensorflow("HandleReloadConfigRequest", reload(("renamed", tmp_path / "scaled"), versions=(1,)))
    assert response.HasField("status")
    assert (response.status.error_code, response.status.error_message) == (0, "")
    answer = await tensorflow("Predict", predict(spec("renamed"), x=ONES))
    assert answer.model_spec.version.value == 1
    np.testing.assert_array_equal(array(answer.outputs["y"]), np.ones((1, 4)))
    with pytest.raises(Refused, match="Servable not found for request: Latest\\(strings\\)"):
        await tensorflow("Predict", predict(spec("strings"), x=values("BYTES", [1], b"a")))


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (model_service_pb2.ReloadConfigRequest(), "INVALID_ARGUMENT"),
        (reload(("a", Path("/"))), "PERMISSION_DENIED"),
        (reload(("a", Path("relative"))), "INVALID_ARGUMENT"),
    ],
    ids=str,
)
async def test_a_reload_that_is_refused_changes_nothing(
    tensorflow: TensorFlow, request_: model_service_pb2.ReloadConfigRequest, code: str
) -> None:
    with pytest.raises(Refused) as refused:
        await tensorflow("HandleReloadConfigRequest", request_)
    assert refused.value.code.name == code
    await tensorflow("Predict", predict(spec("scaled"), x=ONES))


async def test_a_reload_whose_model_does_not_load_fails_and_is_in_force(tensorflow: TensorFlow, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        await tensorflow(
            "HandleReloadConfigRequest", reload(("scaled", tmp_path / "scaled"), ("broken", tmp_path / "broken"))
        )
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LOAD_FAILED")
    await tensorflow("Predict", predict(spec("scaled"), x=ONES))
    with pytest.raises(Refused, match="Servable not found for request: Latest\\(strings\\)"):
        await tensorflow("Predict", predict(spec("strings"), x=values("BYTES", [1], b"a")))
