"""The core reads a ModelInferRequest as protobuf does, in every form, and protobuf reads its answers."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_server import _core
from maas_server._stubs.inference import grpc_service_pb2 as infer_pb2
from maas_server._stubs.maas.v1 import predict_pb2, tensor_pb2
from maas_server.models.runner import NUMPY_DTYPES, Array
from tests.core.echo import CHOSEN, DATATYPES, DAY_US, check_inputs, elements, encoded, model_datatype, quiet, run
from tests.core.wire_messages import (
    BYTES,
    FIXED32,
    FIXED64,
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
    text,
    varint,
    varints,
)
from tests.golden.model_infer_reference import TYPED, as_ours, fill_quantization
from tests.golden.model_infer_reference import elements as typed_elements

FIELD_NUMBERS = {each.name: each.number for each in infer_pb2.InferTensorContents.DESCRIPTOR.fields}
# Fields that nobody knows may stand anywhere but in an entry of a map: there implementations of protobuf differ.
STRANGE = UNKNOWN[:5]
FINAL = "triton_final_response"


def integer(value: int) -> st.SearchStrategy[bytes]:
    """Return an InferParameter in one of the types that clients send integers in."""
    forms = [field(2, VARINT, varint(value)), block(3, str(value).encode())]
    return st.sampled_from(forms if value < 0 else [*forms, field(5, VARINT, varint(value))])


def double(value: float) -> bytes:
    return field(4, FIXED64, struct.pack("<d", value))


decoys = st.one_of(
    st.just(b""), varints.map(lambda value: field(1, VARINT, value)), names.map(lambda value: block(3, value.encode()))
)


@st.composite
def entries(draw: st.DrawFn, number: int, key: str, value: bytes) -> Occurrences:
    """Return a parameter that may be set several times, its parts in any order, and ends as `value`."""
    out = []
    for each in [*draw(st.lists(decoys, max_size=2)), value]:
        parts = [[block(1, key.encode())], [block(2, draw(decoys)), block(2, each)] if each else [block(2, b"")]]
        if not each or draw(st.booleans()):
            parts[1] = parts[1][-1:]
        out.append(block(number, b"".join(draw(st.permutations([b"".join(part) for part in parts])))))
    return out


@st.composite
def quantizations(draw: st.DrawFn, number: int, datatype: str, shape: Sequence[int]) -> list[Occurrences]:
    axis = draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    count = 1 if axis is None or not shape[axis] else draw(st.sampled_from([1, shape[axis]]))
    scales = draw(st.lists(st.sampled_from([0.25, 0.1, 3.0]), min_size=count, max_size=count))
    low, high = (-128, 127) if datatype == "INT8" else (0, 255)
    points = draw(st.sampled_from([[], draw(st.lists(st.integers(low, high), min_size=count, max_size=count))]))
    as_text = block(3, ",".join(map(str, scales)).encode())
    scale = double(scales[0]) if count == 1 and draw(st.booleans()) else as_text
    out = [draw(entries(number, "scale", scale))]
    if len(points) == 1:
        out.append(draw(entries(number, "zero_point", draw(integer(points[0])))))
    elif points:
        out.append(draw(entries(number, "zero_point", block(3, ", ".join(map(str, points)).encode()))))
    if axis is not None:
        out.append(draw(entries(number, "axis", draw(integer(axis)))))
    return out


def wire_type(datatype: str) -> int:
    return {"FP32": FIXED32, "FP64": FIXED64, "BYTES": BYTES}.get(datatype, VARINT)


@st.composite
def wire_elements(draw: st.DrawFn, datatype: str, count: int) -> list[bytes]:
    """Return elements as they stand in their field of InferTensorContents."""
    if datatype in ("FP32", "FP64"):
        size = NUMPY_DTYPES[datatype].itemsize
        return draw(st.lists(st.binary(min_size=size, max_size=size), min_size=count, max_size=count))
    if datatype == "BYTES":
        return draw(st.lists(st.binary(max_size=6), min_size=count, max_size=count))
    if datatype == "BOOL":
        return draw(st.lists(st.sampled_from([b"\0", b"\1", b"\2", varint(2**63)]), min_size=count, max_size=count))
    bits = NUMPY_DTYPES[datatype].itemsize * 8
    low = 0 if datatype.startswith("U") else -(2 ** (bits - 1))
    values = draw(st.lists(st.integers(low, low + 2**bits - 1), min_size=count, max_size=count))
    # Of 32-bit fields only the lower half of a varint counts.
    high_half = 0 if bits == 64 else draw(st.sampled_from([0, 1 << 32, -1 << 32]))
    return [varint(value + high_half, draw(st.integers(0, 2))) for value in values]


@st.composite
def contents(draw: st.DrawFn, datatype: str, count: int) -> Occurrences:
    """Return typed values in one `contents` or several, which are merged."""
    number = FIELD_NUMBERS[TYPED[datatype][0]]
    values = draw(wire_elements(datatype, count))
    if datatype == "BYTES":
        pieces = [block(number, value) for value in values]
    else:
        pieces = draw(repeated(number, values, wire_type(datatype)))
    out: Occurrences = []
    at = 0
    while at < len(pieces) or not out:
        end = draw(st.integers(at, len(pieces)))
        out.append(block(5, draw(mixed([pieces[at:end]], STRANGE))))
        at = end
    return out


@st.composite
def tensors(draw: st.DrawFn, name: str, raw: bool) -> tuple[bytes, bytes]:
    """Return an input and its raw contents, which are empty if it has typed ones."""
    quantized = draw(st.booleans())
    datatype = draw(st.sampled_from(["INT8", "UINT8"] if quantized else DATATYPES if raw else tuple(TYPED)))
    shape = draw(st.one_of(st.lists(st.integers(0, 4), max_size=4), st.just([1] * 16)))
    count = math.prod(shape)
    fields = [
        draw(text(1, name)),
        draw(last_wins(singular(2, BYTES), datatype.encode(), names.map(str.encode))),
        draw(repeated(3, [varint(size, draw(st.integers(0, 2))) for size in shape], VARINT)),
        draw(entries(4, "unknown", draw(decoys))),
    ]
    if quantized:
        fields += draw(quantizations(4, datatype, shape))
    if not raw:
        fields.append(draw(contents(datatype, count)))
    return draw(mixed(fields)), elements(datatype, count, draw(st.binary(max_size=40))) if raw else b""


@st.composite
def requested_outputs(draw: st.DrawFn, tensor: tensor_pb2.Tensor) -> bytes:
    fields = [draw(text(1, tensor.name))]
    if model_datatype(tensor) in ("FP32", "FP16", "BF16") and draw(st.booleans()):
        datatype = draw(st.sampled_from(["INT8", "UINT8"]))
        fields.append(draw(entries(2, "quantize", block(3, datatype.encode()))))
        if draw(st.booleans()):
            fields += draw(quantizations(2, datatype, tensor.shape))
    return draw(mixed(fields))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a ModelInferRequest that any version with inputs of these names, datatypes and ranks takes."""
    raw = draw(st.booleans())
    sent = [draw(tensors(name, raw)) for name in draw(st.lists(names, max_size=4, unique=True))]
    inputs = [block(5, tensor) for tensor, _ in sent]
    buffers = [block(7, data) for _, data in sent] if raw else []
    ours = as_ours(infer_pb2.ModelInferRequest.FromString(b"".join(inputs + buffers)))
    wanted = draw(st.lists(st.sampled_from(ours.inputs), unique_by=lambda each: each.name)) if sent else []
    outputs = [draw(requested_outputs(each)) for each in wanted]
    version = draw(st.one_of(st.sampled_from(["", str(CHOSEN), f"00{CHOSEN}"]), names))
    if version.isascii() and version.isdigit():
        version = str(CHOSEN)
    timeout = draw(st.sampled_from([0, DAY_US]))
    parameters = [draw(entries(4, "timeout", draw(integer(timeout))))]
    typed = all(has_typed_form(each, ours.inputs) for each in outputs) and (
        bool(outputs) or all(model_datatype(each) in TYPED for each in ours.inputs)
    )
    if typed and draw(st.booleans()):
        parameters.append(draw(entries(4, "binary_data_output", field(1, VARINT, b"\0"))))
    return draw(
        mixed(
            [
                draw(text(1, draw(names))),
                draw(text(2, version)),
                draw(text(3, draw(names))),
                *parameters,
                inputs,
                [block(6, each) for each in outputs],
                buffers,
            ]
        )
    )


def has_typed_form(output: bytes, inputs: Sequence[tensor_pb2.Tensor]) -> bool:
    wanted = infer_pb2.ModelInferRequest.InferRequestedOutputTensor.FromString(output)
    [tensor] = [each for each in inputs if each.name == wanted.name]
    return "quantize" in wanted.parameters or model_datatype(tensor) in TYPED


def quantization_of(parameters: object) -> tensor_pb2.Quantization:
    out = tensor_pb2.Quantization()
    fill_quantization(parameters, out)
    return out


def check_quantized(
    output: infer_pb2.ModelInferResponse.InferOutputTensor, data: bytes, asked: predict_pb2.OutputQuantization
) -> None:
    assert output.datatype == tensor_pb2.DataType.Name(asked.datatype)
    assert len(data) == math.prod(output.shape)
    got = quantization_of(output.parameters)
    assert got.HasField("axis") == asked.HasField("axis")
    assert got.axis == (asked.axis + len(output.shape) if asked.axis < 0 else asked.axis)
    assert len(got.scales) == len(got.zero_points)
    if asked.scales:
        assert got.scales == asked.scales
        assert list(got.zero_points) == (list(asked.zero_points) or [0] * len(asked.scales))


def check_answer(request: infer_pb2.ModelInferRequest, seen: list[Array], answer: infer_pb2.ModelInferResponse) -> None:
    ours = as_ours(request)
    assert (answer.id, answer.model_name, answer.model_version) == (request.id, request.model_name, str(CHOSEN))
    index = {each.name: number for number, each in enumerate(ours.inputs)}
    wanted = ours.outputs or [predict_pb2.RequestedOutput(name=each.name) for each in ours.inputs]
    assert [each.name for each in answer.outputs] == [each.name for each in wanted]
    typed = "binary_data_output" in request.parameters
    assert len(answer.raw_output_contents) == (0 if typed else len(wanted))
    for number, (output, asked) in enumerate(zip(answer.outputs, wanted, strict=True)):
        tensor = ours.inputs[index[asked.name]]
        assert output.shape == tensor.shape
        data = typed_elements(output.contents, output.datatype) if typed else answer.raw_output_contents[number]
        assert typed or not output.HasField("contents")
        if asked.HasField("quantize"):
            check_quantized(output, data, asked.quantize)
            continue
        assert not output.parameters
        assert output.datatype == model_datatype(tensor)
        expected = encoded(seen[index[asked.name]], output.datatype)
        # A typed bool is true or false, whatever byte the model had for true.
        wanted_data = bytes(map(bool, expected)) if typed and output.datatype == "BOOL" else expected
        assert quiet(data, output.datatype) == quiet(wanted_data, output.datatype)


def ask(protocol: _core.Protocol, raw: bytes) -> tuple[infer_pb2.ModelInferRequest, list[Array], bytes]:
    """Return what protobuf reads, what the model saw, and the answer."""
    request = infer_pb2.ModelInferRequest.FromString(raw)
    ours = as_ours(request)
    engine = _core.Engine()
    core = _core.Front(engine)
    seen = run(engine, ours, lambda: core.submit(protocol, raw, _core.NEVER, "future"))
    check_inputs(ours, seen)
    (future, answer), streams, _ = core.drain()
    assert (future, streams) == ("future", [])
    assert type(answer) is bytes, answer
    return request, seen, answer


@bounded
@given(requests())
def test_the_core_reads_a_request_as_protobuf_does_and_protobuf_reads_the_answer(raw: bytes) -> None:
    request, seen, answer = ask(_core.Protocol.MODEL_INFER, raw)
    parsed = infer_pb2.ModelInferResponse.FromString(answer)
    assert parsed.SerializeToString(deterministic=True) == answer
    assert not parsed.parameters
    check_answer(request, seen, parsed)


@bounded
@given(requests())
def test_the_answer_of_a_stream_is_wrapped_and_marked_as_the_last(raw: bytes) -> None:
    request, seen, answer = ask(_core.Protocol.MODEL_STREAM_INFER, raw)
    parsed = infer_pb2.ModelStreamInferResponse.FromString(answer)
    assert parsed.SerializeToString(deterministic=True) == answer
    assert not parsed.error_message
    assert dict(parsed.infer_response.parameters) == {FINAL: infer_pb2.InferParameter(bool_param=True)}
    check_answer(request, seen, parsed.infer_response)


@settings(bounded, max_examples=400)
@given(damaged(requests()))
def test_what_protobuf_cannot_read_is_refused_and_what_it_can_is_not_called_malformed(raw: bytes) -> None:
    try:
        infer_pb2.ModelInferRequest.FromString(raw)
        readable = True
    except DecodeError:
        readable = False
    with pytest.raises(_core.CoreError) as caught:
        _core.Front(_core.Engine()).submit(_core.Protocol.MODEL_INFER, raw, _core.NEVER, None)
    code, _, message, *_ = caught.value.args
    if readable:
        assert "malformed" not in message
        assert "UTF-8" not in message
    else:
        assert code == 3, message


@pytest.mark.parametrize("known", STRANGE)
def test_unknown_fields_are_tolerated_at_every_level(known: bytes) -> None:
    tensor = block(1, b"x") + block(2, b"FP32") + known + block(3, b"\1") + block(5, known + block(6, bytes(4)))
    raw = known + block(1, b"m") + block(5, tensor) + block(6, known + block(1, b"x")) + known
    request, seen, answer = ask(_core.Protocol.MODEL_INFER, raw)
    check_answer(request, seen, infer_pb2.ModelInferResponse.FromString(answer))
