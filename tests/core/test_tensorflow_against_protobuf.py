"""The core reads and writes TensorFlow Serving's Predict as protobuf does, in every form that protobuf allows."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from maas_server import _core
from maas_server._stubs.tensorflow_serving import prediction_service_pb2, tensor_pb2
from tests.core.echo import CHOSEN, check_inputs, run
from tests.core.wire_messages import (
    FIXED32,
    FIXED64,
    VARINT,
    Occurrences,
    block,
    bounded,
    damaged,
    field,
    last_wins,
    mixed,
    names,
    repeated,
    singular,
    sub_messages,
    text,
    varint,
    varints,
)
from tests.golden.tensorflow_reference import TYPES, as_ours, elements

FLOATS = [0.0, -0.0, 1.5, -2.25, math.inf, 3e38]
# Values by the name of their field: what they may be.
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "float_val": st.sampled_from(FLOATS),
    "double_val": st.sampled_from([*FLOATS, 1e300]),
    "half_val": st.integers(-(2**15), 2**16 - 1),
    "int64_val": st.integers(-(2**63), 2**63 - 1),
    "bool_val": st.integers(-2, 2),
    "uint32_val": st.integers(0, 2**32 - 1),
    "uint64_val": st.integers(0, 2**64 - 1),
    "string_val": st.binary(max_size=5),
}


def int_values(datatype: str) -> st.SearchStrategy[int]:
    bits = int(datatype.removeprefix("U").removeprefix("INT"))
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1 if bits == 32 else 2**bits - 1)


def encoded(name: str, value: Any) -> bytes:
    match name:
        case "float_val":
            return struct.pack("<f", value)
        case "double_val":
            return struct.pack("<d", value)
    return varint(value)


@st.composite
def values(draw: st.DrawFn, dtype: int, count: int) -> Occurrences:
    """Return the field of values: as many as the tensor has elements, fewer, or none."""
    datatype, name, _ = TYPES[dtype]
    number = tensor_pb2.TensorProto.DESCRIPTOR.fields_by_name[name].number
    sent = draw(st.sampled_from([count, draw(st.integers(0, count))]))
    items = draw(st.lists(int_values(datatype) if name == "int_val" else VALUES[name], min_size=sent, max_size=sent))
    if name == "string_val":
        return [block(number, item) for item in items]
    wire_type = {"float_val": FIXED32, "double_val": FIXED64}.get(name, VARINT)
    return draw(repeated(number, [encoded(name, item) for item in items], wire_type))


@st.composite
def content(draw: st.DrawFn, dtype: int, count: int) -> Occurrences:
    """Return the field tensor_content."""
    _, name, memory = TYPES[dtype]
    if name == "string_val":
        items = draw(st.lists(st.binary(max_size=200), min_size=count, max_size=count))
        data = b"".join(varint(len(item), draw(st.integers(0, 2))) for item in items) + b"".join(items)
    elif name in ("float_val", "double_val"):
        items = draw(st.lists(st.sampled_from(FLOATS), min_size=count, max_size=count))
        data = b"".join(encoded(name, item) for item in items)
    else:
        size = memory.itemsize * count
        data = draw(st.binary(min_size=size, max_size=size))
    return draw(last_wins(lambda value: block(4, value), data, st.binary(max_size=3)))


@st.composite
def shapes(draw: st.DrawFn, sizes: list[int]) -> Occurrences:
    dims = []
    for size in sizes:
        fields = [draw(last_wins(singular(1, VARINT), varint(size), varints)), draw(text(2, draw(names)))]
        dims.append(block(2, draw(mixed(fields))))
    return draw(sub_messages(2, [dims, [field(3, VARINT, varint(0))]]))


@st.composite
def tensors(draw: st.DrawFn) -> bytes:
    dtype = draw(st.sampled_from(sorted(TYPES)))
    sizes = draw(st.lists(st.integers(0, 3), max_size=3))
    count = math.prod(sizes)
    # Of 32-bit fields only the lower half of a varint counts.
    number = varint(dtype + draw(st.sampled_from([0, 1 << 32, -1 << 32])))
    fields = [draw(last_wins(singular(1, VARINT), number, varints)), draw(shapes(sizes))]
    fields.append(draw(values(dtype, count) if draw(st.booleans()) else content(dtype, count)))
    return draw(mixed(fields))


@st.composite
def inputs(draw: st.DrawFn, name: str) -> Occurrences:
    """Return entries of one name, of which the last counts; its key and its value come in any order."""
    out = []
    for _ in range(draw(st.integers(1, 2))):
        key, value = block(1, name.encode()), block(2, draw(tensors()))
        # A missing key is an empty one.
        pair = [value] if not name and draw(st.booleans()) else [key, value]
        out.append(block(2, b"".join(draw(st.permutations(pair)))))
    return out


@st.composite
def model_specs(draw: st.DrawFn) -> Occurrences:
    versions = st.one_of(
        st.builds(lambda value: block(2, field(1, VARINT, value)), varints),
        st.just(block(2, b"")),
        names.map(lambda label: block(4, label.encode())),
    )
    choice = draw(st.lists(versions, max_size=2))
    if choice:
        number = st.sampled_from([0, CHOSEN]).map(lambda value: block(2, field(1, VARINT, varint(value))))
        choice.append(draw(st.one_of(number, names.map(lambda label: block(4, label.encode())))))
    signature = draw(st.sampled_from(["", "serving_default"]))
    return draw(sub_messages(1, [draw(text(1, draw(names.filter(bool)))), choice, draw(text(3, signature))]))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a PredictRequest that any version with inputs of these names, datatypes and ranks takes."""
    known = draw(st.lists(names, max_size=3, unique=True))
    wanted = draw(st.lists(st.sampled_from(known), unique=True)) if known else []
    entries = [draw(inputs(name)) for name in known]
    return draw(mixed([draw(model_specs()), *entries, [block(3, name.encode()) for name in wanted]]))


@bounded
@given(requests())
def test_the_core_reads_a_request_as_protobuf_does_and_protobuf_reads_the_answer(raw: bytes) -> None:
    request = prediction_service_pb2.PredictRequest.FromString(raw)
    ours = as_ours(request)
    engine = _core.Engine()
    core = _core.Front(engine)
    seen = run(engine, ours, lambda: core.submit(_core.Protocol.TENSORFLOW_PREDICT, raw, _core.NEVER, "future"))
    check_inputs(ours, seen)
    (future, answer), streams, _ = core.drain()
    assert (future, streams) == ("future", [])
    assert type(answer) is bytes, answer
    response = prediction_service_pb2.PredictResponse.FromString(answer)
    assert response.ByteSize() == len(answer), "protobuf would write it shorter"
    assert response.model_spec.name == request.model_spec.name
    assert response.model_spec.version.value == CHOSEN
    assert response.model_spec.signature_name == "serving_default"
    assert set(response.outputs) == set(request.output_filter or request.inputs)
    for name, tensor in response.outputs.items():
        asked = request.inputs[name]
        assert not tensor.tensor_content
        assert tensor.HasField("tensor_shape")
        assert (tensor.dtype, elements(tensor)) == (asked.dtype, elements(asked))
        assert [dim.size for dim in tensor.tensor_shape.dim] == [dim.size for dim in asked.tensor_shape.dim]


@settings(bounded, max_examples=400)
@given(damaged(requests()))
def test_what_protobuf_cannot_read_is_refused_and_what_it_can_is_not_called_malformed(raw: bytes) -> None:
    try:
        prediction_service_pb2.PredictRequest.FromString(raw)
        readable = True
    except DecodeError:
        readable = False
    with pytest.raises(_core.CoreError) as caught:
        _core.Front(_core.Engine()).submit(_core.Protocol.TENSORFLOW_PREDICT, raw, _core.NEVER, None)
    code, reason, message, *_ = caught.value.args
    if readable:
        assert "malformed" not in message
        assert "UTF-8" not in message
    else:
        # What is wrong may be inside a message that the core steps over.
        assume(reason != "MODEL_NOT_FOUND" or not _has_ignored_messages(raw))
        assert code == 3 or reason == "SIGNATURE_NOT_FOUND", message


def _has_ignored_messages(raw: bytes) -> bool:
    return any(block(number, b"")[:1] in raw for number in (5, 7, 14, 15))
