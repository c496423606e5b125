"""Which outputs are scores, classes and values, and what is made of them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server.errors import InvalidRequest
from maas_server.models.runner import TensorInfo
from maas_server.protocols.tensorflow_results import classifications, find_regression, find_scores, regressions

SCORES = TensorInfo("p", "FP32", (-1, 2))
LABEL = TensorInfo("label", "INT64", (-1,))
TEXTS = TensorInfo("texts", "BYTES", (-1, 2))


def answer(**outputs: tuple[str, Any]) -> predict_pb2.PredictResponse:
    """The answer of these outputs: datatype, and values as nested lists."""
    response = predict_pb2.PredictResponse(model="m", version=3)
    for name, (datatype, values) in outputs.items():
        if datatype == "BYTES":
            array = np.array(values, np.object_)
            data = b"".join(struct.pack("<I", len(each)) + each for each in array.ravel())
        else:
            dtype = {"INT64": np.int64, "FP64": np.float64, "FP16": np.float16, "BF16": np.uint16}.get(
                datatype, np.float32
            )
            array = np.array(values, dtype)
            data = array.tobytes()
        response.outputs.add(name=name, datatype=tensor_pb2.DataType.Value(datatype), shape=array.shape, data=data)
    return response


def labelled(result: Any) -> list[list[tuple[str, float]]]:
    return [[(each.label, each.score) for each in row.classes] for row in result.classifications]


def test_scores_are_found_by_name_else_by_shape() -> None:
    other = TensorInfo("embedding", "FP32", (-1, 300))
    assert find_scores([LABEL, other, SCORES]) is other
    named = TensorInfo("probabilities", "FP32", (-1, 2))
    assert find_scores([other, named]) is named
    best = TensorInfo("scores", "FP64", (-1, -1))
    assert find_scores([other, named, best]) is best
    assert find_scores([LABEL, TEXTS, TensorInfo("y", "FP32", (-1, 1)), TensorInfo("z", "FP32", (-1,))]) is None


def test_a_regression_is_found_by_name_else_by_shape() -> None:
    column = TensorInfo("y", "FP32", (-1, 1))
    assert find_regression([LABEL, SCORES, column]) is column
    assert find_regression([TensorInfo("z", "FP64", (-1,)), column]).name == "z"  # type: ignore[union-attr]
    assert find_regression([column, TensorInfo("outputs", "FP32", (-1,))]).name == "outputs"  # type: ignore[union-attr]
    assert find_regression([LABEL, SCORES, TensorInfo("t", "FP32", (-1, 1, 1))]) is None


def test_names_are_those_that_the_model_answers_in_the_shape_of_its_scores() -> None:
    response = answer(p=("FP32", [[0.5, 0.25]]), texts=("BYTES", [[b"cat", b"\xff"]]))
    result = classifications(response, [SCORES, TEXTS], {"p": ["never", "used"]}, 1)
    assert labelled(result) == [[("cat", 0.5), ("\ufffd", 0.25)]]


def test_names_are_else_the_labels_and_then_numbers() -> None:
    response = answer(p=("FP16", [[0.5, 0.25], [0.0, 1.0]]), label=("INT64", [0, 1]))
    infos = [TensorInfo("p", "FP16", (-1, 2)), LABEL]
    assert labelled(classifications(response, infos, {"p": ["cat"]}, 2))[0] == [("cat", 0.5), ("1", 0.25)]
    assert labelled(classifications(response, infos, {}, 2))[1] == [("0", 0.0), ("1", 1.0)]
    # More labels than classes are no reason to invent some.
    assert labelled(classifications(response, infos, {"p": ["a", "b", "c"]}, 2))[0] == [("a", 0.5), ("b", 0.25)]


def test_a_class_without_scores_is_the_answer() -> None:
    assert labelled(classifications(answer(label=("INT64", [7, 9])), [LABEL], {}, 2)) == [[("7", 0.0)], [("9", 0.0)]]


def test_scores_of_every_floating_datatype_are_numbers() -> None:
    for datatype, value in (("FP64", 0.25), ("FP16", 0.25), ("BF16", 0x3E80)):
        info = TensorInfo("p", datatype, (-1, 2))
        result = classifications(answer(p=(datatype, [[value, value]])), [info], {}, 1)
        assert labelled(result) == [[("0", 0.25), ("1", 0.25)]]


def test_values_are_those_of_one_column_or_none() -> None:
    for values in ([0.5, 2.0], [[0.5], [2.0]]):
        info = TensorInfo("y", "FP32", (-1,) if values[0] == 0.5 else (-1, 1))
        result = regressions(answer(y=("FP32", values)), [info], 2)
        assert [each.value for each in result.regressions] == [0.5, 2.0]


@pytest.mark.parametrize(
    ("outputs", "infos"),
    [
        ({"p": ("FP32", [[0.5, 0.5]])}, [SCORES]),
        ({"label": ("INT64", [1])}, [LABEL]),
        ({"y": ("FP32", 1.0)}, [TensorInfo("y", "FP32", ())]),
    ],
    ids=["rows of scores", "rows of classes", "nothing"],
)
def test_an_answer_that_has_not_a_row_per_example_is_refused(outputs: Any, infos: list[TensorInfo]) -> None:
    with pytest.raises(InvalidRequest, match=r"model m:3 is not made for Classify: expected .*, got '"):
        classifications(answer(**outputs), infos, {}, 2)
    with pytest.raises(InvalidRequest, match=r"model m:3 is not made for Regress: expected .*, got '"):
        regressions(answer(**outputs), infos, 2)
