"""The core reads and writes the wire as protobuf does, in every form that protobuf allows."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_server import _core
from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server.models.runner import Array
from tests.core.conftest import Served, double, make_version, raw_request
from tests.core.echo import CHOSEN, DATATYPES, DAY_US, check_inputs, elements, encoded, model_datatype, run
from tests.core.wire_messages import (
    BYTES,
    FIXED32,
    UNKNOWN,
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


@st.composite
def quantizations(draw: st.DrawFn, first: int, datatype: str, shape: Sequence[int]) -> list[Occurrences]:
    """Return the fields scales, zero_points and axis, numbered from `first` on."""
    axis = draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    count = 1 if axis is None or not shape[axis] else draw(st.sampled_from([1, shape[axis]]))
    scales = draw(st.lists(st.sampled_from([0.25, 0.1, 3.0]), min_size=count, max_size=count))
    low, high = (-128, 127) if datatype == "INT8" else (0, 255)
    points = draw(st.sampled_from([[], draw(st.lists(st.integers(low, high), min_size=count, max_size=count))]))
    # Of 32-bit fields only the lower half of a varint counts.
    high_half = draw(st.sampled_from([0, 1 << 32, -1 << 32]))
    fields = [
        draw(repeated(first, [struct.pack("<f", scale) for scale in scales], FIXED32)),
        draw(repeated(first + 1, [varint((point & 0xFFFFFFFF) + high_half) for point in points], VARINT)),
    ]
    if axis is not None:
        fields.append(draw(last_wins(singular(first + 2, VARINT), varint(axis), varints)))
    return fields


@st.composite
def tensors(draw: st.DrawFn, name: str) -> bytes:
    quantized = draw(st.booleans())
    datatype = draw(st.sampled_from(["INT8", "UINT8"] if quantized else DATATYPES))
    shape = draw(st.one_of(st.lists(st.integers(0, 4), max_size=4), st.just([1] * 16)))
    data = elements(datatype, math.prod(shape), draw(st.binary(max_size=40)))
    number = tensor_pb2.DataType.Value(datatype) + draw(st.sampled_from([0, 1 << 32, -1 << 32]))
    fields = [
        draw(text(1, name)),
        draw(last_wins(singular(2, VARINT), varint(number), varints)),
        draw(repeated(3, [varint(size, draw(st.integers(0, 2))) for size in shape], VARINT)),
        draw(last_wins(singular(4, BYTES), data, st.binary(max_size=9))),
    ]
    if quantized:
        fields.append(draw(sub_messages(5, draw(quantizations(1, datatype, shape)))))
    return draw(mixed(fields))


@st.composite
def requested_outputs(draw: st.DrawFn, tensor: tensor_pb2.Tensor) -> bytes:
    fields = [draw(text(1, tensor.name))]
    floating = tensor.HasField("quantization") or tensor.datatype in (tensor_pb2.FP16, tensor_pb2.BF16, tensor_pb2.FP32)
    if floating and draw(st.booleans()):
        datatype = draw(st.sampled_from(["INT8", "UINT8"]))
        inner = draw(quantizations(2, datatype, tensor.shape)) if draw(st.booleans()) else []
        if datatype == "UINT8" or draw(st.booleans()):
            number = varint(tensor_pb2.DataType.Value(datatype))
            inner.append(draw(last_wins(singular(1, VARINT), number, varints)))
        fields.append(draw(sub_messages(2, inner)))
    return draw(mixed(fields))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a PredictRequest that any version with inputs of these names, datatypes and ranks takes."""
    inputs = [draw(tensors(name)) for name in draw(st.lists(names, max_size=4, unique=True))]
    parsed = [tensor_pb2.Tensor.FromString(each) for each in inputs]
    wanted = draw(st.lists(st.sampled_from(parsed), unique_by=lambda each: each.name)) if parsed else []
    versions = st.one_of(
        varints.map(singular(3, VARINT)),
        names.map(lambda label: block(4, label.encode())),
    )
    choice = draw(st.lists(versions, max_size=2))
    if choice:
        last = st.one_of(
            st.sampled_from([0, CHOSEN]).map(lambda number: field(3, VARINT, varint(number))),
            names.map(lambda label: block(4, label.encode())),
        )
        choice.append(draw(last))
    return draw(
        mixed(
            [
                draw(text(1, draw(names))),
                draw(text(2, draw(names))),
                choice,
                [block(5, each) for each in inputs],
                [block(6, draw(requested_outputs(each))) for each in wanted],
                draw(last_wins(singular(7, VARINT), varint(draw(st.sampled_from([0, DAY_US]))), varints)),
                draw(last_wins(singular(8, VARINT), draw(varints), varints)),
            ]
        )
    )


def check_answer(
    request: predict_pb2.PredictRequest, seen: list[Array], answer: predict_pb2.PredictResponse, raw: bytes
) -> None:
    assert answer.ByteSize() == len(raw), "protobuf would write it shorter"
    assert (answer.id, answer.model, answer.version) == (request.id, request.model, CHOSEN)
    index = {each.name: number for number, each in enumerate(request.inputs)}
    wanted = request.outputs or [predict_pb2.RequestedOutput(name=each.name) for each in request.inputs]
    assert [each.name for each in answer.outputs] == [each.name for each in wanted]
    for output, asked in zip(answer.outputs, wanted, strict=True):
        tensor = request.inputs[index[asked.name]]
        assert output.shape == tensor.shape
        if asked.HasField("quantize"):
            check_quantized(output, asked.quantize)
            continue
        assert not output.HasField("quantization")
        datatype = model_datatype(tensor)
        assert output.datatype == tensor_pb2.DataType.Value(datatype)
        assert output.data == encoded(seen[index[asked.name]], datatype)


def check_quantized(output: tensor_pb2.Tensor, asked: predict_pb2.OutputQuantization) -> None:
    assert output.datatype == (asked.datatype or tensor_pb2.INT8)
    assert len(output.data) == math.prod(output.shape)
    got = output.quantization
    assert got.HasField("axis") == asked.HasField("axis")
    assert got.axis == (asked.axis + len(output.shape) if asked.axis < 0 else asked.axis)
    if asked.scales:
        assert got.scales == asked.scales
        assert list(got.zero_points) == (list(asked.zero_points) or [0] * len(asked.scales))


@bounded
@given(requests())
def test_the_core_reads_a_request_as_protobuf_does_and_protobuf_reads_the_answer(raw: bytes) -> None:
    request = predict_pb2.PredictRequest.FromString(raw)
    engine = _core.Engine()
    core = _core.Front(engine)
    seen = run(engine, request, lambda: core.submit(_core.Protocol.PREDICT, raw, _core.NEVER, "future"))
    check_inputs(request, seen)
    (future, answer), streams, _ = core.drain()
    assert (future, streams) == ("future", [])
    assert type(answer) is bytes, answer
    check_answer(request, seen, predict_pb2.PredictResponse.FromString(answer), answer)


@bounded
@given(requests(), st.sampled_from(UNKNOWN[:5]))
def test_the_core_reads_a_stream_message_as_protobuf_does(raw: bytes, unknown: bytes) -> None:
    message = unknown + block(1, raw) + unknown
    [request] = predict_pb2.PredictStreamRequest.FromString(message).requests
    engine = _core.Engine()
    core = _core.Front(engine)
    seen = run(engine, request, lambda: core.submit_stream(message, _core.NEVER, core, 1))
    check_inputs(request, seen)
    unary, [(stream, count, chunks)], _ = core.drain()
    assert (unary, stream, count) == ([], core, 1)
    [answer] = predict_pb2.PredictStreamResponse.FromString(b"".join(chunks)).answers
    assert answer.id == request.id
    assert block(1, answer.SerializeToString()) == b"".join(chunks)
    check_answer(request, seen, answer.response, answer.response.SerializeToString())


@bounded
@given(st.lists(st.one_of(varints, st.integers(0, 4).map(varint)), max_size=3))
def test_the_core_reads_a_priority_as_protobuf_does(values: list[bytes]) -> None:
    priorities = _core.Priorities(levels=3, default=3)
    served = Served(make_version(max_batch_size=1, priorities=priorities))
    plain = raw_request(1, 1)
    raw = plain + b"".join(field(8, VARINT, value) for value in values)
    priority = predict_pb2.PredictRequest.FromString(raw).priority
    served.submit(plain + field(8, VARINT, varint(2)), "between")
    served.submit(raw, "this")
    assert served.run_all(double) == 2
    unary, _, _ = served.core.drain()
    assert unary[::2] == (["this", "between"] if priority == 1 else ["between", "this"])


@settings(bounded, max_examples=400)
@given(damaged(requests()))
def test_what_protobuf_cannot_read_is_refused_and_what_it_can_is_not_called_malformed(raw: bytes) -> None:
    try:
        predict_pb2.PredictRequest.FromString(raw)
        readable = True
    except DecodeError:
        readable = False
    with pytest.raises(_core.CoreError) as caught:
        _core.Front(_core.Engine()).submit(_core.Protocol.PREDICT, raw, _core.NEVER, None)
    code, _, message, *_ = caught.value.args
    if readable:
        assert "malformed" not in message
        assert "UTF-8" not in message
    else:
        assert code == 3, message
