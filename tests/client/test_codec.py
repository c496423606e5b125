"""Arrays to bytes and back, held against protobuf."""

from __future__ import annotations

import contextlib
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server.client import BFloat16, Quantize, Quantized
from maas_server.client._codec import (
    decode_response,
    encode_address,
    encode_request,
    join_requests,
    to_prediction,
)
from maas_server.errors import InternalError, InvalidRequest
from tests.client.fake_server import echo

DATATYPES = {
    "?": "BOOL",
    "u1": "UINT8",
    "u2": "UINT16",
    "u4": "UINT32",
    "u8": "UINT64",
    "i1": "INT8",
    "i2": "INT16",
    "i4": "INT32",
    "i8": "INT64",
    "f2": "FP16",
    "f4": "FP32",
    "f8": "FP64",
}

plain_arrays = st.sampled_from(sorted(DATATYPES)).flatmap(
    lambda code: hnp.arrays(np.dtype(code), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
string_arrays = hnp.arrays(
    np.dtype(object), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), elements=st.binary(max_size=12)
)


def through_the_wire(value: Any) -> npt.NDArray[Any]:
    """Return what comes back from a server that answers with its input."""
    request = predict_pb2.PredictRequest.FromString(encode_request("m", {"x": value}))
    return decode_response(echo(request).SerializeToString())["x"]


def only_input(body: bytes) -> tensor_pb2.Tensor:
    (tensor,) = predict_pb2.PredictRequest.FromString(body).inputs
    return tensor


@given(plain_arrays)
def test_arrays_come_back_as_they_went(array: npt.NDArray[Any]) -> None:
    came = through_the_wire(array)
    assert (came.dtype, came.shape) == (array.dtype, array.shape)
    assert came.tobytes() == array.tobytes()
    tensor = only_input(encode_request("m", {"x": array}))
    assert tensor_pb2.DataType.Name(tensor.datatype) == DATATYPES[array.dtype.str.lstrip("<|").replace("b1", "?")]


@given(string_arrays)
def test_strings_come_back_as_they_went(array: npt.NDArray[Any]) -> None:
    came = through_the_wire(array)
    assert came.shape == array.shape
    assert came.tolist() == array.tolist()


@pytest.mark.parametrize("value", [["ab", "ä\0"], np.array(["ab", "ä\0"], dtype=object), [b"ab", "ä\0".encode()]])
def test_text_is_sent_as_utf8_with_its_length_before_it(value: Any) -> None:
    tensor = only_input(encode_request("m", {"x": value}))
    assert tensor.datatype == tensor_pb2.BYTES
    assert tensor.data == b"\x02\0\0\0ab\x03\0\0\0\xc3\xa4\0"


def test_bfloat16_comes_back_as_bfloat16() -> None:
    array = np.array([[1.5, -2.0, np.inf]], dtype=ml_dtypes.bfloat16)
    came = through_the_wire(array)
    assert came.dtype == array.dtype
    assert came.tobytes() == array.tobytes()


@given(hnp.arrays(np.float32, 20, elements=st.floats(width=32, allow_nan=True)))
def test_bfloat16_rounds_as_ml_dtypes_does(values: npt.NDArray[np.float32]) -> None:
    with np.errstate(all="ignore"):
        expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(BFloat16.from_float(values).to_float(), expected)


def test_bfloat16_by_its_bits_is_sent_as_bfloat16() -> None:
    tensor = only_input(encode_request("m", {"x": BFloat16(np.array([0x3FC0], np.uint16))}))
    assert (tensor.datatype, tensor.data, list(tensor.shape)) == (tensor_pb2.BF16, b"\xc0\x3f", [1])
    quantized = only_input(encode_request("m", {"x": BFloat16(np.array([0x3FC0], np.uint16))}, quantize="int8"))
    assert (quantized.datatype, quantized.data) == (tensor_pb2.INT8, b"\x7f")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(12, dtype=np.float32)[::-2],
        np.arange(12, dtype=">f4"),
        np.broadcast_to(np.float32(7), (2, 3)),
    ],
    ids=["transposed", "strided", "big-endian", "broadcast"],
)
def test_arrays_that_do_not_lie_right_are_sent_dense_and_little_endian(array: npt.NDArray[Any]) -> None:
    tensor = only_input(encode_request("m", {"x": array}))
    assert tensor.data == np.ascontiguousarray(array, dtype="<f4").tobytes()
    assert tuple(tensor.shape) == array.shape


def test_answers_are_views_of_the_received_bytes_and_read_only() -> None:
    came = through_the_wire(np.zeros(4, np.float32))
    assert not came.flags.writeable
    assert not came.flags.owndata


@given(
    st.text(max_size=20),
    st.one_of(st.none(), st.integers(1, 2**62)),
    st.lists(st.text(max_size=8), max_size=3, unique=True),
    st.dictionaries(st.text(max_size=300), plain_arrays, max_size=4),
)
def test_a_request_reads_as_protobuf_would_have_written_it(
    model: str, version: int | None, outputs: list[str], inputs: dict[str, npt.NDArray[Any]]
) -> None:
    body = encode_request(model, inputs, version=version, outputs=outputs)
    request = predict_pb2.PredictRequest.FromString(body + encode_address("the id", 1.5))
    expected = predict_pb2.PredictRequest(id="the id", model=model, timeout_us=1_500_000)
    if version is not None:
        expected.version = version
    expected.outputs.extend(predict_pb2.RequestedOutput(name=name) for name in outputs)
    for name, array in inputs.items():
        code = array.dtype.str.lstrip("<|").replace("b1", "?")
        expected.inputs.add(name=name, datatype=DATATYPES[code], shape=array.shape, data=array.tobytes())
    assert request == expected


def test_payloads_of_every_length_prefix_are_framed_right() -> None:
    for size in (0, 1, 127, 128, 16383, 16384, 1 << 21):
        assert len(only_input(encode_request("m", {"x": np.zeros(size, np.uint8)})).data) == size


@given(st.lists(st.tuples(st.text(max_size=200), st.integers(0, 300)), max_size=5))
def test_joined_requests_read_as_one_message(parts: list[tuple[str, int]]) -> None:
    requests = [
        (encode_request("m", {"x": np.zeros(size, np.uint8)}), encode_address(request_id)) for request_id, size in parts
    ]
    message = predict_pb2.PredictStreamRequest.FromString(join_requests(requests))
    assert [(each.id, len(each.inputs[0].data)) for each in message.requests] == parts


@pytest.mark.parametrize(
    ("timeout", "expected"), [(None, 0), (1.5, 1_500_000), (0.0, 1), (-3.0, 1), (86_400.0, 86_400_000_000), (1e6, 0)]
)
def test_time_limits_stay_within_what_the_server_takes(timeout: float | None, expected: int) -> None:
    assert predict_pb2.PredictRequest.FromString(encode_address("", timeout)).timeout_us == expected


def test_only_float_inputs_are_quantized() -> None:
    inputs: dict[str, Any] = {"x": np.array([0.5, -1.0], np.float32), "ids": np.array([7], np.int64), "text": ["a"]}
    request = predict_pb2.PredictRequest.FromString(encode_request("m", inputs, quantize="uint8"))
    x, ids, text = request.inputs
    assert (x.datatype, list(x.quantization.zero_points)) == (tensor_pb2.UINT8, [128])
    assert not ids.HasField("quantization")
    assert not text.HasField("quantization")


def test_quantization_may_be_chosen_input_by_input() -> None:
    inputs = {name: np.ones((2, 3), np.float32) for name in "abc"}
    choice = {"a": "int8", "b": Quantize("uint8", axis=-1)}
    request = predict_pb2.PredictRequest.FromString(encode_request("m", inputs, quantize=choice))  # type: ignore[arg-type]
    a, b, c = request.inputs
    assert (a.datatype, b.datatype, c.datatype) == (tensor_pb2.INT8, tensor_pb2.UINT8, tensor_pb2.FP32)
    assert not a.quantization.HasField("axis")
    assert (b.quantization.axis, len(b.quantization.scales)) == (-1, 3)


def test_values_that_are_quantized_already_are_sent_as_they_are() -> None:
    value = Quantized(np.array([[1, 2]], np.int8), np.array([0.5, 2], np.float32), np.array([0, 1], np.int32), axis=1)
    tensor = only_input(encode_request("m", {"x": value}))
    assert tensor.data == b"\x01\x02"
    assert tensor.quantization == tensor_pb2.Quantization(scales=[0.5, 2], zero_points=[0, 1], axis=1)
    np.testing.assert_array_equal(through_the_wire(value), [[0.5, 2.0]])


def test_outputs_to_quantize_are_also_those_wanted_when_none_are_named() -> None:
    request = predict_pb2.PredictRequest.FromString(encode_request("m", {}, quantize_outputs={"p": "uint8"}))
    assert [(each.name, each.quantize.datatype) for each in request.outputs] == [("p", tensor_pb2.UINT8)]
    some = encode_request("m", {}, outputs=["p", "label"], quantize_outputs={"p": "int8"})
    first, second = predict_pb2.PredictRequest.FromString(some).outputs
    assert first.HasField("quantize")
    assert not second.HasField("quantize")


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ({}, {"version": 1, "label": "a"}, "not both"),
        ({}, {"quantize_outputs": "int8"}, "which outputs"),
        ({"x": [1.0]}, {"quantize": "int4"}, "int4"),
        ({"x": np.zeros(1, np.complex64)}, {}, "complex64"),
        ({"x": np.zeros(1, "M8[s]")}, {}, "datetime64"),
        ({"x": [None]}, {}, "NoneType"),
        ({"x": [[1], [2, 3]]}, {}, "inhomogeneous"),
        ({"x": np.array([np.nan, 1.0])}, {"quantize": "int8"}, "not finite"),
        ({"x": np.zeros(3)}, {"quantize": Quantize(axis=1)}, "axis 1"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_the_reason(
    inputs: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        encode_request("m", inputs, **options)


def test_a_refused_input_is_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode_request("m", {"good": [1], "bad": np.array([None])})
    (violation,) = caught.value.violations
    assert violation.field == "inputs[bad]"


@pytest.mark.parametrize(
    "tensor",
    [
        tensor_pb2.Tensor(name="x", datatype="FP32", shape=[2], data=b"1234"),
        tensor_pb2.Tensor(name="x", datatype="FP32", shape=[1], data=b"123"),
        tensor_pb2.Tensor(name="x", shape=[1], data=b"1"),
        tensor_pb2.Tensor(name="x", datatype="BYTES", shape=[1], data=b"\x05\0\0\0ab"),
        tensor_pb2.Tensor(name="x", datatype="BYTES", shape=[1], data=b"\x05\0"),
        tensor_pb2.Tensor(name="x", datatype="BYTES", shape=[2], data=b"\0\0\0\0"),
        tensor_pb2.Tensor(
            name="x", datatype="INT8", shape=[2], data=b"12", quantization=tensor_pb2.Quantization(scales=[1, 1, 1])
        ),
        tensor_pb2.Tensor(
            name="x", datatype="INT8", shape=[2], data=b"12", quantization=tensor_pb2.Quantization(scales=[1], axis=3)
        ),
    ],
)
def test_an_answer_that_contradicts_itself_is_an_internal_error(tensor: tensor_pb2.Tensor) -> None:
    with pytest.raises(InternalError, match="output x"):
        to_prediction(predict_pb2.PredictResponse(outputs=[tensor]), "")


@given(st.binary(max_size=60))
def test_random_bytes_decode_or_are_an_internal_error(data: bytes) -> None:
    with contextlib.suppress(InternalError):
        assert decode_response(data).receipt.batches >= 0
