"""Features of examples become inputs: rows, shapes and datatypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server._stubs.tensorflow_serving import example_pb2
from maas_server._stubs.tensorflow_serving import prediction_service_pb2 as pb
from maas_server.errors import InvalidRequest
from maas_server.models.plan import InputPlan, VersionPlan
from maas_server.models.registry import State, VersionView
from maas_server.models.runner import NUMPY_DTYPES, Signature, TensorInfo
from maas_server.protocols.tensorflow_examples import predict_request
from tests.rpc.tensorflow import examples


def view(*infos: TensorInfo, axes: dict[str, int] | None = None, max_request_rows: int = 100) -> VersionView:
    """A version of these inputs, whose rows are their first dimension unless `axes` says otherwise."""
    known = {info.name: 0 for info in infos} if axes is None else axes
    plan = VersionPlan(
        "m",
        3,
        tuple(InputPlan(info.name, info.datatype, info.shape, batch_axis=known.get(info.name)) for info in infos),
        (),
        max_request_rows=max_request_rows,
    )
    return VersionView(3, State.AVAILABLE, signature=Signature(infos, ()), plan=plan)


def arrays(request: predict_pb2.PredictRequest) -> dict[str, Any]:
    return {
        tensor.name: np.frombuffer(tensor.data, NUMPY_DTYPES[tensor_pb2.DataType.Name(tensor.datatype)]).reshape(
            tensor.shape
        )
        for tensor in request.inputs
    }


def refused(version: VersionView, given: pb.Input) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        predict_request("m", version, given)
    assert caught.value.violations
    return caught.value


def test_a_row_per_example_in_the_shape_of_the_input() -> None:
    version = view(TensorInfo("x", "FP32", (-1, 2, 2)), TensorInfo("n", "INT64", (-1,)))
    request, rows = predict_request(
        "m", version, examples({"x": [1.0, 2.0, 3.0, 4.0], "n": 7}, {"x": [0.5] * 4, "n": 8})
    )
    assert (request.model, request.version, rows) == ("m", 3, 2)
    got = arrays(request)
    np.testing.assert_array_equal(got["x"], [[[1, 2], [3, 4]], [[0.5, 0.5], [0.5, 0.5]]])
    np.testing.assert_array_equal(got["n"], [7, 8])


def test_the_context_holds_for_every_example_that_does_not_say_otherwise() -> None:
    version = view(TensorInfo("x", "FP32", (-1, 1)), TensorInfo("y", "FP32", (-1, 1)))
    given = examples({"x": 1.0}, {"x": 2.0, "y": 5.0}, context={"y": 4.0})
    got = arrays(predict_request("m", version, given)[0])
    np.testing.assert_array_equal(got["y"], [[4], [5]])


def test_rows_may_lie_along_another_axis() -> None:
    version = view(TensorInfo("s", "FP32", (2, -1, 3)), axes={"s": 1})
    got = arrays(predict_request("m", version, examples({"s": [0.0] * 6}, {"s": [1.0] * 6}))[0])
    assert got["s"].shape == (2, 2, 3)
    np.testing.assert_array_equal(got["s"][:, 1], np.ones((2, 3)))


def test_an_input_without_rows_is_what_all_examples_say() -> None:
    version = view(TensorInfo("x", "FP32", (-1, 1)), TensorInfo("rate", "INT64", ()), axes={"x": 0})
    got = arrays(predict_request("m", version, examples({"x": 1.0}, {"x": 2.0}, context={"rate": 16000}))[0])
    assert got["rate"].shape == ()
    assert got["rate"] == 16000
    error = refused(version, examples({"x": 1.0, "rate": 1}, {"x": 2.0, "rate": 2}))
    assert error.violations[0].field == "input.example_list.examples[1].features.feature['rate']"


def test_where_nothing_is_batched_a_first_dimension_that_may_vary_counts_examples() -> None:
    version = view(TensorInfo("x", "FP32", (-1, 2)), TensorInfo("k", "FP32", (1,)), axes={})
    got = arrays(predict_request("m", version, examples({"x": [1.0, 2.0], "k": 3.0}, {"x": [4.0, 5.0], "k": 3.0}))[0])
    assert got["x"].shape == (2, 2)
    assert got["k"].shape == (1,)


def test_one_size_within_an_example_may_vary_and_is_that_of_all() -> None:
    version = view(TensorInfo("ids", "INT32", (-1, -1, 2)))
    got = arrays(predict_request("m", version, examples({"ids": [1, 2, 3, 4]}, {"ids": [5, 6, 7, 8]}))[0])
    assert got["ids"].shape == (2, 2, 2)
    assert "expected a multiple of 2 values" in refused(version, examples({"ids": [1, 2, 3]})).message
    ragged = refused(version, examples({"ids": [1, 2]}, {"ids": [1, 2, 3, 4]}))
    assert "expected 2 values as in the examples before it, got 4" in ragged.message
    twice = view(TensorInfo("ids", "INT32", (-1, -1, -1)))
    assert "at most one size that varies" in refused(twice, examples({"ids": [1]})).message


def test_an_optional_input_that_no_example_has_is_left_to_the_server() -> None:
    version = view(TensorInfo("x", "FP32", (-1, 1)), TensorInfo("mask", "INT64", (-1, 1), optional=True))
    assert list(arrays(predict_request("m", version, examples({"x": 1.0}))[0])) == ["x"]
    assert (
        "expected a feature for input 'mask'" in refused(version, examples({"x": 1.0, "mask": 1}, {"x": 1.0})).message
    )


@pytest.mark.parametrize(
    ("datatype", "value", "expected"),
    [
        ("FP32", [1, 2], np.array([1, 2], np.float32)),
        ("FP64", [0.5, 2.0], np.array([0.5, 2], np.float64)),
        ("FP16", [0.5, 2.0], np.array([0.5, 2], np.float16)),
        ("BF16", [1.0, -2.0], np.array([0x3F80, 0xC000], np.uint16)),
        ("BF16", [1.00390625, float("nan")], np.array([0x3F80, 0x7FC0], np.uint16)),
        ("BF16", [1.01171875, float("inf")], np.array([0x3F82, 0x7F80], np.uint16)),
        ("FP16", [1e6, -1e6], np.array([np.inf, -np.inf], np.float16)),
        ("INT8", [-128, 127], np.array([-128, 127], np.int8)),
        ("UINT64", [0, 2**63 - 1], np.array([0, 2**63 - 1], np.uint64)),
        ("INT64", [-(2**63), 2**53 + 1], np.array([-(2**63), 2**53 + 1], np.int64)),
        ("INT32", [3.0, -4.0], np.array([3, -4], np.int32)),
        ("BOOL", [0, 1], np.array([False, True])),
    ],
    ids=str,
)
def test_numbers_take_the_datatype_of_the_input(datatype: str, value: list[Any], expected: Any) -> None:
    got = arrays(predict_request("m", view(TensorInfo("x", datatype, (-1, 2))), examples({"x": value}))[0])["x"]
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got[0], expected)


def test_strings_are_bytes() -> None:
    request, _ = predict_request("m", view(TensorInfo("s", "BYTES", (-1, 2))), examples({"s": [b"ab", b""]}))
    assert request.inputs[0].data == b"\2\0\0\0ab\0\0\0\0"


@pytest.mark.parametrize(
    ("datatype", "value", "text"),
    [
        ("UINT8", 256, "expected whole numbers from 0 to 255"),
        ("UINT8", -1, "expected whole numbers from 0 to 255"),
        ("INT32", 0.5, "expected whole numbers"),
        ("INT32", float("nan"), "expected whole numbers"),
        ("INT64", 1e19, "expected whole numbers"),
        ("BOOL", 2, "expected whole numbers from 0 to 1"),
        ("FP32", b"1", "expected float_list or int64_list for input 'x' (FP32 [-1, 1]), got bytes_list"),
        ("BYTES", 1, "expected bytes_list for input 'x' (BYTES [-1, 1]), got int64_list"),
        ("FP32", [1.0, 2.0], "expected 1 values for input 'x' (FP32 [-1, 1]), got 2"),
    ],
    ids=str,
)
def test_a_value_that_the_input_cannot_hold_is_refused(datatype: str, value: Any, text: str) -> None:
    error = refused(view(TensorInfo("x", datatype, (-1, 1))), examples({"x": value}))
    assert error.violations[0].field == "input.example_list.examples[0].features.feature['x']"
    assert text in error.message


def test_missing_features_and_examples_are_refused() -> None:
    version = view(TensorInfo("x", "FP32", (-1, 1)), max_request_rows=2)
    missing = refused(version, examples({"x": 1.0}, {"y": 1.0}, context={}))
    assert missing.violations[0].field == "input.example_list_with_context.examples[1].features.feature['x']"
    without_kind = pb.Input()
    without_kind.example_list.examples.add().features.feature["x"].CopyFrom(example_pb2.Feature())
    assert "expected a feature for input 'x'" in refused(version, without_kind).message
    for nothing in (pb.Input(), examples(), examples(context={"x": 1.0})):
        assert "Input is empty." in refused(version, nothing).message
    assert "expected at most 2 examples, got 3" in refused(version, examples(*[{"x": 1.0}] * 3)).message


def test_a_large_context_costs_nothing_per_example() -> None:
    version = view(TensorInfo("x", "FP32", (-1, 1)), max_request_rows=1000)
    given = examples(*[{"x": 1.0}] * 1000, context={f"other{n}": 1 for n in range(20_000)})
    assert predict_request("m", version, given)[1] == 1000
    assert "at most 1000 examples" in refused(version, examples(*[{}] * 1001, context={"x": 1.0})).message


@pytest.mark.parametrize(("datatype", "value"), [("FP32", [0.5] * 1_000_000), ("BYTES", [b"x" * 4_000_000])])
def test_a_context_that_grows_too_large_in_the_rows_is_refused(datatype: str, value: list[Any]) -> None:
    version = view(TensorInfo("x", datatype, (-1, -1)))
    assert predict_request("m", version, examples({}, {}, context={"x": value}))[1] == 2
    error = refused(version, examples(*[{}] * 100, context={"x": value}))
    assert error.violations[0].field == "input.example_list_with_context.context.features.feature['x']"
    assert "at most 268435456 bytes in 100 examples" in error.message


def test_an_input_without_rows_takes_a_large_context_once() -> None:
    version = view(TensorInfo("x", "FP32", (-1, 1)), TensorInfo("rate", "FP32", (-1,)), axes={"x": 0})
    given = examples(*[{"x": 1.0}] * 100, context={"rate": [0.5] * 1_000_000})
    assert arrays(predict_request("m", version, given)[0])["rate"].shape == (1_000_000,)
