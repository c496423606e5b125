"""TensorFlow Serving's Predict: every datatype by values and by bytes, versions, and what is refused."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server._stubs.tensorflow_serving import tensor_pb2
from tests.golden.tensorflow_reference import elements
from tests.rpc.tensorflow import TensorFlow, array, content, predict, spec, values
from tests.server.in_process import Refused

ONES = values("FP32", [1, 4], 1.0)
ITEMS: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "UINT16": [0, 65535],
    "UINT32": [0, 2**32 - 1],
    "UINT64": [0, 2**64 - 1],
    "INT8": [-128, 127],
    "INT16": [-32768, 32767],
    "INT32": [-(2**31), 2**31 - 1],
    "INT64": [-(2**63), 2**63 - 1],
    "FP16": [0x3C00, 0xC000],
    "BF16": [0x3F80, 0xBF80],
    "FP32": [1.5, -0.25],
    "FP64": [1e300, -0.1],
}


async def test_values_of_every_datatype_come_back_as_values(tensorflow: TensorFlow) -> None:
    inputs = {f"in_{datatype}": values(datatype, [1, 2], *items) for datatype, items in ITEMS.items()}
    response = await tensorflow("Predict", predict(spec("typed"), **inputs))
    assert dict(response.outputs.items()) == {
        f"out_{name.removeprefix('in_')}": tensor for name, tensor in inputs.items()
    }


async def test_bytes_of_every_datatype_come_back_as_values(tensorflow: TensorFlow) -> None:
    sent = {datatype: values(datatype, [1, 2], *items) for datatype, items in ITEMS.items()}
    inputs = {f"in_{name}": content(name, [1, 2], elements(tensor)) for name, tensor in sent.items()}
    response = await tensorflow("Predict", predict(spec("typed"), **inputs))
    assert dict(response.outputs.items()) == {f"out_{name}": tensor for name, tensor in sent.items()}


async def test_strings_go_in_by_values_and_by_bytes_and_come_out_as_values(tensorflow: TensorFlow) -> None:
    texts = ["grün".encode(), b"", b"a" * 300]
    by_values = values("BYTES", [3], *texts)
    # All lengths, as varints, come before all bytes.
    by_bytes = content("BYTES", [3], b"\x05\x00\xac\x02" + b"".join(texts))
    for tensor in (by_values, by_bytes):
        response = await tensorflow("Predict", predict(spec("strings"), x=tensor))
        assert response.outputs["y"] == by_values


async def test_the_last_value_stands_for_those_that_are_missing_whatever_the_datatype(tensorflow: TensorFlow) -> None:
    inputs = {f"in_{name}": values(name, [3, 2], *items) for name, items in ITEMS.items()}
    response = await tensorflow("Predict", predict(spec("typed"), **inputs))
    for name, items in ITEMS.items():
        tensor = response.outputs[f"out_{name}"]
        assert [dim.size for dim in tensor.tensor_shape.dim] == [3, 2]
        got = array(tensor)
        np.testing.assert_array_equal(got.ravel(), np.array([*items, *items[-1:] * 4], got.dtype))


async def test_a_tensor_of_rank_0_and_an_answer_without_a_shape_of_its_own(tensorflow: TensorFlow) -> None:
    request = predict(spec("regressor"), x=values("FP32", [2, 4], 1.0), scale=values("FP32", [], 0.5))
    response = await tensorflow("Predict", request)
    np.testing.assert_array_equal(array(response.outputs["y"]), [[2.0], [2.0]])


async def test_an_answer_says_which_model_version_and_signature_gave_it(tensorflow: TensorFlow) -> None:
    response = await tensorflow("Predict", predict(spec("scaled"), x=ONES))
    assert response.model_spec == spec("scaled", version=2, signature="serving_default")


@pytest.mark.parametrize(
    ("model", "version"),
    [
        (spec("scaled"), 2),
        (spec("scaled", version=1), 1),
        (spec("scaled", version=0), 2),
        (spec("scaled", label="steady"), 1),
        (spec("scaled", version=1, signature="serving_default"), 1),
    ],
    ids=str,
)
async def test_without_a_version_the_newest_answers_and_a_label_is_followed(
    tensorflow: TensorFlow, model: object, version: int
) -> None:
    response = await tensorflow("Predict", pb.PredictRequest(model_spec=model, inputs={"x": ONES}))  # type: ignore[arg-type]
    assert response.model_spec.version.value == version
    np.testing.assert_array_equal(array(response.outputs["y"]), np.full((1, 4), version))


async def test_only_the_outputs_of_the_filter_are_answered(tensorflow: TensorFlow) -> None:
    request = predict(spec("classifier"), x=ONES, shift=values("INT64", [1, 1], 0))
    request.output_filter.append("label")
    response = await tensorflow("Predict", request)
    assert list(response.outputs) == ["label"]
    assert list(response.outputs["label"].int64_val) == [0]


async def test_many_rows_are_split_and_rejoined(tensorflow: TensorFlow) -> None:
    x = np.arange(400, dtype=np.float32).reshape(100, 4)
    response = await tensorflow("Predict", predict(spec("scaled"), x=content("FP32", x.shape, x.tobytes())))
    np.testing.assert_array_equal(array(response.outputs["y"]), 2 * x)


@pytest.mark.parametrize(
    ("model", "code", "reason", "phrase"),
    [
        (spec("gone"), "NOT_FOUND", "MODEL_NOT_FOUND", "Servable not found for request: Latest(gone)"),
        (spec("scaled", 7), "NOT_FOUND", "VERSION_NOT_FOUND", "Servable not found for request: Specific(scaled, 7)"),
        (spec("gone", 7), "NOT_FOUND", "MODEL_NOT_FOUND", "Servable not found for request: Specific(gone, 7)"),
        (
            spec("scaled", label="bold"),
            "INVALID_ARGUMENT",
            "LABEL_NOT_FOUND",
            "Unrecognized servable version label: bold",
        ),
        (spec("broken"), "FAILED_PRECONDITION", "LOAD_FAILED", "Servable not found for request: Latest(broken)"),
        (
            spec("broken", 1),
            "FAILED_PRECONDITION",
            "LOAD_FAILED",
            "Servable not found for request: Specific(broken, 1)",
        ),
        (
            spec("scaled", signature="predict_images"),
            "FAILED_PRECONDITION",
            "SIGNATURE_NOT_FOUND",
            'Serving signature key "predict_images" not found.',
        ),
        (spec(""), "INVALID_ARGUMENT", "INVALID_REQUEST", "model_spec.name: "),
    ],
    ids=str,
)
async def test_what_does_not_serve_is_refused_in_the_words_that_clients_know(
    tensorflow: TensorFlow, model: object, code: str, reason: str, phrase: str
) -> None:
    with pytest.raises(Refused) as refused:
        await tensorflow("Predict", pb.PredictRequest(model_spec=model, inputs={"x": ONES}))  # type: ignore[arg-type]
    assert (refused.value.code.name, refused.value.reason) == (code, reason)
    assert refused.value.message.startswith(phrase)
    assert len(refused.value.message) > len(phrase), "our own text follows"


async def test_a_version_that_was_unloaded_is_not_found(tensorflow: TensorFlow) -> None:
    await tensorflow.unload("scaled", 1)
    with pytest.raises(Refused, match=r"Servable not found for request: Specific\(scaled, 1\)") as refused:
        await tensorflow("Predict", predict(spec("scaled", version=1), x=ONES))
    assert refused.value.code == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("tensor", "field", "text"),
    [
        (values("FP64", [1, 4], 1.0), "inputs[0].datatype", "expected FP32"),
        (values("FP32", [1, 3], 1.0), "inputs[0].shape[1]", "expected 4 in input 'x'"),
        (values("FP32", [4], 1.0), "inputs[0].shape", "expected rank 2 for input 'x'"),
        (content("FP32", [1, 4], bytes(15)), "inputs[0].data", "expected 16 bytes for 'x'"),
        (values("FP32", [1, 4], *[1.0] * 5), "inputs[0].float_val", "expected at most 4 values"),
        (tensor_pb2.TensorProto(dtype=tensor_pb2.DT_COMPLEX64), "inputs[0].dtype", "got DT_COMPLEX64"),
        (values("FP32", [2**38], 1.0), "inputs[0].float_val", "expected values for all but 268435456 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_tensor_that_does_not_fit_is_refused_by_name(
    tensorflow: TensorFlow, tensor: tensor_pb2.TensorProto, field: str, text: str
) -> None:
    with pytest.raises(Refused) as refused:
        await tensorflow("Predict", predict(spec("scaled"), x=tensor))
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert text in refused.value.fields[field]


async def test_bytes_that_are_no_message_are_refused(tensorflow: TensorFlow) -> None:
    with pytest.raises(Refused, match="malformed") as refused:
        await tensorflow.server.call("/tensorflow.serving.PredictionService/Predict", b"\x0a\xff\x00")
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
