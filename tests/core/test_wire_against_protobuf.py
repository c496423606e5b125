"""The core reads and writes the wire as protobuf does, in every form that protobuf allows."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maas_server import _core
from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server.models.runner import NUMPY_DTYPES, Array

VARINT, FIXED64, BYTES, START_GROUP, END_GROUP, FIXED32 = range(6)
DATATYPES = tuple(NUMPY_DTYPES)
CHOSEN, DECOY = 7, 8
DAY_US = 86_400_000_000

# A field's occurrences in their order; fields may be mixed with each other, occurrences of one may not be swapped.
Occurrences = list[bytes]

bounded = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def varint(value: int, padding: int = 0) -> bytes:
    """Return a varint, `padding` bytes longer than it need be."""
    value &= 2**64 - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(min(padding, 10 - len(out))):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def field(number: int, wire_type: int, value: bytes) -> bytes:
    return varint(number << 3 | wire_type) + value


def block(number: int, value: bytes) -> bytes:
    return field(number, BYTES, varint(len(value)) + value)


UNKNOWN = [
    field(100, VARINT, varint(2**64 - 1)),
    field(101, FIXED64, bytes(8)),
    block(102, b"\x00\xff"),
    field(103, START_GROUP, field(1, VARINT, varint(1)) + field(2, START_GROUP, b"") + field(2, END_GROUP, b""))
    + field(103, END_GROUP, b""),
    field(2**29 - 1, FIXED32, bytes(4)),
    # Numbers that are known, with wire types that are not theirs.
    field(1, FIXED64, bytes(8)),
    field(4, FIXED32, bytes(4)),
    field(5, VARINT, varint(3)),
]

varints = st.builds(varint, st.integers(-(2**63), 2**63 - 1), st.integers(0, 9))
names = st.text(max_size=20).filter(lambda text: len(text.encode()) <= 60)


@st.composite
def mixed(draw: st.DrawFn, fields: Sequence[Occurrences]) -> bytes:
    """Return all occurrences, those of different fields in any order, with unknown fields between."""
    unknown = [[draw(st.sampled_from(UNKNOWN))] for _ in range(draw(st.integers(0, 2)))]
    queues = [list(each) for each in (*fields, *unknown) if each]
    order = draw(st.permutations([index for index, queue in enumerate(queues) for _ in queue]))
    return b"".join(queues[index].pop(0) for index in order)


@st.composite
def last_wins(
    draw: st.DrawFn, encode: Callable[[bytes], bytes], last: bytes, before: st.SearchStrategy[bytes]
) -> Occurrences:
    """Return a singular field that may occur several times, and ends as `last`."""
    return [encode(value) for value in draw(st.lists(before, max_size=2))] + [encode(last)]


def singular(number: int, wire_type: int) -> Callable[[bytes], bytes]:
    return lambda value: block(number, value) if wire_type == BYTES else field(number, wire_type, value)


def text(number: int, value: str) -> st.SearchStrategy[Occurrences]:
    return last_wins(singular(number, BYTES), value.encode(), names.map(str.encode))


@st.composite
def repeated(draw: st.DrawFn, number: int, values: Sequence[bytes], wire_type: int) -> Occurrences:
    """Return numbers packed, one by one, or first so and then so."""
    out, at = [], 0
    while at < len(values):
        count = draw(st.integers(1, len(values) - at))
        if draw(st.booleans()):
            out.append(block(number, b"".join(values[at : at + count])))
        else:
            out += [field(number, wire_type, value) for value in values[at : at + count]]
        at += count
    return out


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
def sub_messages(draw: st.DrawFn, number: int, fields: Sequence[Occurrences]) -> Occurrences:
    """Return a singular message in one or several pieces, which are merged."""
    pieces = draw(st.integers(1, 3))
    cuts = sorted(draw(st.lists(st.integers(0, len(fields)), min_size=pieces - 1, max_size=pieces - 1)))
    bounds = [0, *cuts, len(fields)]
    return [block(number, draw(mixed(fields[begin:end]))) for begin, end in itertools.pairwise(bounds)]


def elements(datatype: str, count: int, values: bytes) -> bytes:
    if datatype != "BYTES":
        size = NUMPY_DTYPES[datatype].itemsize * count
        return (values * (size // max(len(values), 1) + 1))[:size] if values else bytes(size)
    return b"".join(struct.pack("<I", n) + values[:n] for n in (index % (len(values) + 1) for index in range(count)))


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
            ]
        )
    )


def model_datatype(tensor: tensor_pb2.Tensor) -> str:
    return "FP32" if tensor.HasField("quantization") else str(tensor_pb2.DataType.Name(tensor.datatype))


def version_for(request: predict_pb2.PredictRequest, number: int) -> _core.Version:
    """Return a version that takes the request and answers its own inputs."""
    shapes = [[-1] * len(each.shape) for each in request.inputs]
    return _core.Version(
        model=request.model,
        version=number,
        inputs=[
            _core.InputSpec(name=each.name, datatype=model_datatype(each), shape=shape)
            for each, shape in zip(request.inputs, shapes, strict=True)
        ],
        outputs=[
            _core.OutputSpec(
                name=each.name,
                datatype=model_datatype(each),
                shape=shape,
                sources=[(index, axis) for axis in range(len(shape))],
            )
            for index, (each, shape) in enumerate(zip(request.inputs, shapes, strict=True))
        ],
        pad_groups=[],
        batching=False,
        max_batch_size=1,
        max_request_rows=1,
        max_queue_rows=10,
        max_queue_delay_us=0,
        cpus=64,
    )


def run(engine: _core.Engine, request: predict_pb2.PredictRequest, submit: Callable[[], object]) -> list[Array]:
    """Route, submit, and answer the inputs as they came to the runner; return these."""
    version, decoy = version_for(request, CHOSEN), version_for(request, DECOY)
    labels = {request.label: CHOSEN} if request.label else {}
    default = DECOY if request.version or request.label else CHOSEN
    engine.set_route(request.model, {CHOSEN: version, DECOY: decoy}, labels, default, set())
    submit()
    version.close()
    instance = _core.Instance(version)
    assert instance.next() is not None, "another version was asked"
    inputs, places = instance.arrays()
    seen = [array.copy() for array in inputs]
    outputs = []
    for array, place in zip(inputs, places, strict=True):
        if place is not None:
            np.copyto(place, array)
        outputs.append(array if place is None else place)
    assert instance.finish(outputs) is None
    return seen


def dequantized(tensor: tensor_pb2.Tensor) -> Array:
    """Return what a quantized tensor stands for."""
    datatype = np.int8 if tensor.datatype == tensor_pb2.INT8 else np.uint8
    steps = np.frombuffer(tensor.data, datatype).reshape(tensor.shape).astype(np.float32)
    quantization = tensor.quantization
    scales = np.array(quantization.scales, np.float32)
    points = np.array(quantization.zero_points or [0], np.float32)
    if quantization.HasField("axis") and len(scales) > 1:
        along = [1] * steps.ndim
        along[quantization.axis] = -1
        scales, points = scales.reshape(along), points.reshape(along if len(points) > 1 else [1] * steps.ndim)
    return ((steps - points) * scales).astype(np.float32).reshape(tensor.shape)


def encoded(array: Array, datatype: str) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(each)) + each for each in array.ravel())
    return array.tobytes()


def check_inputs(request: predict_pb2.PredictRequest, seen: list[Array]) -> None:
    for tensor, array in zip(request.inputs, seen, strict=True):
        assert array.shape == tuple(tensor.shape)
        expected = dequantized(tensor).tobytes() if tensor.HasField("quantization") else tensor.data
        assert encoded(array, model_datatype(tensor)) == expected


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
    (future, answer), streams = core.drain()
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
    unary, [(stream, count, chunks)] = core.drain()
    assert (unary, stream, count) == ([], core, 1)
    [answer] = predict_pb2.PredictStreamResponse.FromString(b"".join(chunks)).answers
    assert answer.id == request.id
    assert block(1, answer.SerializeToString()) == b"".join(chunks)
    check_answer(request, seen, answer.response, answer.response.SerializeToString())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    raw = bytearray(draw(requests()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        kind = draw(st.sampled_from(["cut", "insert", "replace"]))
        if kind == "cut":
            del raw[at:]
        else:
            raw[at : at + (kind == "replace")] = draw(st.binary(min_size=1, max_size=2))
    return bytes(raw)


@settings(bounded, max_examples=400)
@given(damaged())
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
