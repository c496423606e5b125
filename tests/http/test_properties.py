"""Whatever is sent as an inference request: it is built, or refused with the field that is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from maas_server._stubs.inference import grpc_service_pb2 as pb
from maas_server._stubs.tensorflow_serving import prediction_service_pb2, tensor_pb2
from maas_server.errors import InvalidRequest
from maas_server.http import tensors
from maas_server.http.infer_request import build_request
from maas_server.http.messages import parse_object
from maas_server.http.tensorflow_examples import fill_input
from maas_server.http.tensorflow_tensors import columns, encode
from maas_server.models.runner import NUMPY_DTYPES, Signature, TensorInfo

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
DATATYPES = st.sampled_from([*NUMPY_DTYPES, "FP99", ""])
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUES | st.just("x"),
        "datatype": VALUES | DATATYPES,
        "shape": VALUES | st.lists(st.integers(-1, 4), max_size=3),
        "data": VALUES | st.lists(st.integers(0, 9) | st.floats(width=16), max_size=6),
        "parameters": VALUES | st.fixed_dictionaries({"binary_data_size": st.integers(-1, 9)}),
    },
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "id": VALUES,
        "inputs": VALUES | st.lists(TENSORS | VALUES, max_size=3),
        "outputs": VALUES | st.lists(st.fixed_dictionaries({"name": VALUES, "parameters": VALUES}), max_size=2),
        "parameters": VALUES,
    },
)


@settings(max_examples=300, deadline=None)
@given(REQUESTS, st.binary(max_size=12))
def test_a_request_is_built_or_refused(body: dict[str, Any], binary: bytes) -> None:
    try:
        raw, _ = build_request("m", "", body, memoryview(binary))
    except (InvalidRequest, UnicodeEncodeError):
        return
    message = pb.ModelInferRequest.FromString(raw)
    assert len(message.inputs) == len(body["inputs"])
    assert len(message.raw_input_contents) <= len(message.inputs)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
@example(b'{"a": 1e999}')
@example(b'{"a": -0.0, "a": 2}')
def test_a_body_is_an_object_or_refused(body: bytes) -> None:
    with suppress(InvalidRequest):
        assert isinstance(parse_object(body), dict)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([name for name in NUMPY_DTYPES if name not in ("BYTES", "BF16")]))
def test_what_is_decoded_encodes_to_the_same_bytes(data: st.DataObject, datatype: str) -> None:
    size = NUMPY_DTYPES[datatype].itemsize
    count = data.draw(st.integers(0, 6))
    raw = data.draw(st.binary(min_size=count * size, max_size=count * size))
    if datatype == "BOOL":
        raw = bytes(byte & 1 for byte in raw)
    values = tensors.decode(raw, datatype)
    again = tensors.encode(json.loads(json.dumps(values)), datatype, [count], "data")
    if datatype.startswith("FP"):
        # Of what is no number only that is kept, not which of its many forms it had.
        values, raw = [repr(value) for value in values], b""
        assert [repr(value) for value in tensors.decode(again, datatype)] == values
    else:
        assert again == raw


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["instances", "inputs", "examples", "context"]), VALUES))
def test_tensorflow_requests_are_read_or_refused(body: dict[str, Any]) -> None:
    signature = Signature((TensorInfo("x", "FP32", (-1,)),), ())
    with suppress(InvalidRequest, UnicodeEncodeError):
        for name, values in columns(body, signature)[0].items():
            encode(values, signature.inputs[0], name, tensor_pb2.TensorProto())
    with suppress(InvalidRequest, UnicodeEncodeError):
        fill_input(prediction_service_pb2.Input(), body)
