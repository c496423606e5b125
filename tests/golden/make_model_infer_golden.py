"""Write the golden messages of the Open Inference Protocol, with protobuf itself as the judge.

    python -m tests.golden.make_model_infer_golden

makes, beside this file, one folder per case:

    model_infer/<case>/           a ModelInferRequest: message.bin, and
                                  expect.txtpb   the PredictRequest that means the same, or
                                  error.txt      the field that a refusal names
    model_infer_response/<case>/  message.bin only: what the encoder must write, byte for byte; the C++ test
                                  of the same name says from what

Cases whose names begin with `malformed` are refused by protobuf too; the other refusals are this service's.
"""

from __future__ import annotations

import itertools
import shutil
import struct

from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

from maas_server._stubs.inference import grpc_service_pb2 as pb
from tests.golden.make_golden import HERE, block, group, number, varint, write
from tests.golden.model_infer_reference import as_ours


def flag(value: bool) -> bytes:
    return number(1, value)


def integer(value: int) -> bytes:
    return number(2, value)


def text(value: str | bytes) -> bytes:
    return block(3, value.encode() if isinstance(value, str) else value)


def double(value: float) -> bytes:
    return varint(4 << 3 | 1) + struct.pack("<d", value)


def unsigned(value: int) -> bytes:
    return number(5, value)


def parameter(field: int, key: str, value: bytes) -> bytes:
    """Encode an entry of a map of parameters."""
    return block(field, block(1, key.encode()) + block(2, value))


def tensor(name: str, datatype: str, shape: list[int], rest: bytes = b"") -> bytes:
    """Encode an input as a field of the request."""
    packed = b"".join(varint(size) for size in shape)
    return block(5, block(1, name.encode()) + block(2, datatype.encode()) + (block(3, packed) if shape else b"") + rest)


def typed(name: str, datatype: str, shape: list[int], contents: bytes) -> bytes:
    return tensor(name, datatype, shape, block(5, contents))


def packed(field: int, *values: int) -> bytes:
    return block(field, b"".join(varint(value) for value in values))


HALF, THIRD = b"\0\0\0\x3f", b"\x00\x00\x40\x40"
X = tensor("x", "FP32", [1, 2])
RAW = block(7, bytes(range(8)))
TINY = block(1, b"m") + block(3, b"r1") + X + RAW

VALID = {
    "empty": b"",
    "tiny": TINY,
    "all_fields": block(1, b"resnet")
    + block(2, b"7")
    + block(3, b"request-1")
    + parameter(4, "timeout", integer(1_500_000))
    + parameter(4, "priority", unsigned(3))
    + tensor("image", "INT8", [2, 3], parameter(4, "scale", text("0.5,0.25")) + parameter(4, "axis", integer(-2)))
    + X
    + block(6, block(1, b"logits"))
    + block(
        6,
        block(1, b"probs")
        + parameter(2, "quantize", text("UINT8"))
        + parameter(2, "scale", double(3.0))
        + parameter(2, "zero_point", integer(128)),
    )
    + block(7, b"\x80\xff\0\1\2\x7f")
    + RAW,
    "fields_in_any_order": RAW + block(3, b"z") + X + block(2, b"3") + block(1, b"m"),
    "label": TINY + block(2, b"canary"),
    "version_with_zeros_before": TINY + block(2, b"007"),
    "version_that_is_no_number_is_a_label": TINY + block(2, b"-1"),
    "last_singular_wins": block(1, b"a") + TINY + block(2, b"canary") + block(2, b"4") + block(3, b"b"),
    "empty_version_after_another_is_none": TINY + block(2, b"4") + block(2, b""),
    "last_singular_of_tensor_wins": tensor(
        "x", "FP32", [1], block(1, b"y") + block(2, b"INT16") + block(3, b"\x02") + parameter(4, "k", integer(1))
    )
    + block(7, b"1234"),
    "raw_before_inputs": block(7, b"12345678") + block(7, b"abcd") + X + tensor("y", "UINT8", [4]),
    "raw_of_zero_elements": tensor("x", "FP32", [0, 2]) + tensor("y", "BYTES", [0]) + block(7, b"") * 2,
    "every_datatype_raw": b"".join(
        tensor(datatype, datatype, [1]) + block(7, bytes(size))
        for size, datatypes in {
            1: ("BOOL", "UINT8", "INT8"),
            2: ("UINT16", "INT16", "FP16", "BF16"),
            4: ("UINT32", "INT32", "FP32", "BYTES"),
            8: ("UINT64", "INT64", "FP64"),
        }.items()
        for datatype in datatypes
    ),
    "scalar": tensor("x", "INT64", []) + block(7, bytes(8)),
    "unpacked_shape": block(5, block(1, b"x") + block(2, b"INT8") + number(3, 1) + block(3, b"\x02") + number(3, 3))
    + block(7, b"abcdef"),
    "typed_bool": typed("x", "BOOL", [3], packed(1, 1, 0, 1)),
    "typed_bool_of_any_number": typed("x", "BOOL", [3], packed(1, 2, 0, 2**63)),
    "typed_int8": typed("x", "INT8", [2, 2], packed(2, -128, -1, 0, 127)),
    "typed_int16": typed("x", "INT16", [3], packed(2, -32768, 300, 32767)),
    "typed_int32": typed("x", "INT32", [2], packed(2, -(2**31), 2**31 - 1)),
    "typed_int64": typed("x", "INT64", [2], packed(3, -(2**63), 2**63 - 1)),
    "typed_uint8": typed("x", "UINT8", [2], packed(4, 0, 255)),
    "typed_uint16": typed("x", "UINT16", [2], packed(4, 0, 65535)),
    "typed_uint32": typed("x", "UINT32", [2], packed(4, 0, 2**32 - 1)),
    "typed_uint64": typed("x", "UINT64", [2], packed(5, 0, 2**64 - 1)),
    "typed_fp32": typed("x", "FP32", [2], block(6, HALF + THIRD)),
    "typed_fp64": typed("x", "FP64", [2], block(7, struct.pack("<dd", 0.1, -3e300))),
    "typed_bytes": typed("x", "BYTES", [3], block(8, b"abc") + block(8, b"") + block(8, b"\xff\0")),
    "typed_unpacked": typed("x", "INT8", [2], number(2, 5) + number(2, -5))
    + typed("y", "FP32", [2], varint(6 << 3 | 5) + HALF + block(6, THIRD))
    + typed("z", "FP64", [1], varint(7 << 3 | 1) + struct.pack("<d", 2.5))
    + typed("b", "BOOL", [2], number(1, 3) + number(1, 0)),
    "typed_contents_merge": tensor(
        "x", "INT16", [4], block(5, packed(2, 1, 2)) + block(5, b"") + block(5, number(2, 3) + number(2, 4))
    ),
    "typed_before_its_datatype": block(5, block(5, packed(2, 9)) + block(3, b"\x01") + block(2, b"INT8")),
    "typed_numbers_cut_to_32_bits": typed("x", "INT8", [1], packed(2, 2**32 + 5))
    + typed("y", "UINT8", [1], packed(4, 2**35 + 6)),
    "typed_with_unknown_fields": typed(
        "x", "FP32", [1], number(99, 1) + block(6, HALF) + group(50, number(1, 1)) + number(6, 4)
    ),
    "typed_next_to_an_empty_field": typed("x", "FP32", [1], block(2, b"") + block(6, HALF)),
    "empty_contents_beside_raw": tensor("x", "UINT8", [1], block(5, b"")) + block(7, b"1"),
    "parameters_of_no_meaning": TINY
    + parameter(4, "sequence_id", integer(5))
    + parameter(4, "sequence_start", flag(True))
    + parameter(4, "triton_enable_empty_final_response", flag(True))
    + parameter(4, "headers", text("grün"))
    + block(4, b"")
    + block(4, block(1, b"empty")),
    "last_parameter_wins": TINY + parameter(4, "timeout", text("not a number")) + parameter(4, "timeout", unsigned(12)),
    "last_value_of_an_entry_wins": TINY + block(4, block(2, integer(1)) + block(1, b"timeout") + block(2, text("44"))),
    "quantization_in_any_type": tensor(
        "x",
        "UINT8",
        [2],
        parameter(4, "scale", text(" 0.5 , 3"))
        + parameter(4, "zero_point", text("-3,4"))
        + parameter(4, "axis", text("0")),
    )
    + tensor("y", "INT8", [1], parameter(4, "scale", integer(2)) + parameter(4, "zero_point", unsigned(7)))
    + block(7, b"12")
    + block(7, b"1"),
    "unknown_fields": number(100, 5)
    + TINY
    + block(2000, b"later")
    + (varint(9 << 3 | 1) + bytes(8))
    + (varint(10 << 3 | 5) + bytes(4))
    + group(11, number(1, 2) + group(12, block(1, b"\xff") + group(13, b"")) + number(5, 1)),
    "wrong_wire_types_are_unknown": TINY
    + number(1, 5)
    + (varint(2 << 3 | 5) + bytes(4))
    + number(4, 1)
    + number(5, 3)
    + group(5, number(1, 1))
    + (varint(7 << 3 | 1) + bytes(8)),
    "text_in_utf8": block(1, "grün-模型-🙂".encode()) + block(3, "\u0000\u007f\u0080\u07ff\u0800\U0010ffff".encode()),
    "groups_100_deep": b"\x7b" * 100 + b"\x7c" * 100,
    "sixty_four_inputs": tensor("x", "UINT8", [1]) * 64 + block(7, b"1") * 64,
    "rank_16": tensor("x", "UINT8", [1] * 16) + block(7, b"1"),
}

MALFORMED = {
    "malformed_truncated_length": ("request", TINY + b"\x0a\x05abc"),
    "malformed_field_0": ("request", b"\x00\x00"),
    "malformed_end_group_alone": ("request", b"\x2c"),
    "malformed_second_tensor": ("inputs[1]", X + block(5, b"\x0a\x09x")),
    "malformed_raw_length": ("raw_input_contents[1]", TINY + b"\x3a\x05x"),
    "malformed_packed_shape": ("inputs[0]", block(5, block(3, b"\x01\x80"))),
    "malformed_parameter": ("parameters", block(4, b"\x0a\x09x")),
    "malformed_parameter_value": ("inputs[0].parameters", tensor("x", "INT8", [1], block(4, block(2, b"\x10\x80")))),
    "malformed_parameter_key_not_utf8": ("outputs[0].parameters.key", block(6, block(2, block(1, b"\xff")))),
    "malformed_parameter_text_not_utf8": ("parameters.string_param", parameter(4, "headers", text(b"\xff"))),
    "malformed_contents": ("inputs[0].contents", typed("x", "BYTES", [1], b"\x42\x09x")),
    "malformed_packed_ints": ("inputs[0].contents.int_contents", typed("x", "INT8", [1], block(2, b"\x80"))),
    "malformed_packed_floats": ("inputs[0].contents.fp32_contents", typed("x", "FP32", [1], block(6, b"abc"))),
    "malformed_model_not_utf8": ("model_name", block(1, b"\xed\xa0\x80") + block(1, b"good")),
    "malformed_version_not_utf8": ("model_version", block(2, b"\xff")),
    "malformed_id_not_utf8": ("id", block(3, b"\xff")),
    "malformed_tensor_name_not_utf8": ("inputs[0].name", tensor("x", "INT8", [1], block(1, b"\xff"))),
    "malformed_datatype_not_utf8": ("inputs[0].datatype", tensor("x", "INT8", [1], block(2, b"\xff"))),
}

REFUSED = {
    "rank_17": ("inputs[0].shape", tensor("x", "INT8", [1] * 17)),
    "sixty_five_inputs": ("inputs", X * 65),
    "sixty_five_outputs": ("outputs", block(6, b"") * 65),
    "sixty_five_raw": ("raw_input_contents", block(7, b"") * 65),
    "id_of_257_bytes": ("id", block(3, b"i" * 257)),
    "model_of_257_bytes": ("model_name", block(1, b"m" * 257)),
    "version_of_129_bytes": ("model_version", block(2, b"l" * 129)),
    "version_0": ("model_version", block(2, b"0")),
    "version_beyond_64_bits": ("model_version", block(2, b"9223372036854775808")),
    "no_datatype": ("inputs[0].datatype", block(5, block(1, b"x"))),
    "unknown_datatype": ("inputs[0].datatype", tensor("x", "TYPE_FP32", [1])),
    "raw_too_few": ("raw_input_contents", X + X + RAW),
    "raw_too_many": ("raw_input_contents", X + RAW + RAW),
    "raw_beside_typed": ("inputs[0].contents", typed("x", "UINT8", [1], packed(4, 1)) + block(7, b"1")),
    "raw_for_shared_memory": (
        "raw_input_contents",
        tensor(
            "x",
            "UINT8",
            [1],
            parameter(4, "shared_memory_region", text("r")) + parameter(4, "shared_memory_byte_size", integer(1)),
        )
        + block(7, b"1"),
    ),
    "typed_of_another_datatype": ("inputs[0].contents.int_contents", typed("x", "FP32", [1], packed(2, 1))),
    "typed_fp16": ("inputs[0].contents.fp32_contents", typed("x", "FP16", [1], block(6, HALF))),
    "typed_int8_out_of_range": ("inputs[0].contents.int_contents[1]", typed("x", "INT8", [2], packed(2, 1, 300))),
    "typed_too_many": ("inputs[0].contents.fp32_contents", typed("x", "FP32", [1], block(6, HALF + HALF))),
    "negative_timeout": ("parameters.timeout", parameter(4, "timeout", integer(-1))),
    "timeout_over_a_day": ("parameters.timeout", parameter(4, "timeout", unsigned(86_400_000_001))),
    "timeout_of_bool": ("parameters.timeout", parameter(4, "timeout", flag(True))),
    "negative_priority": ("parameters.priority", parameter(4, "priority", integer(-1))),
    "binary_data_output_of_text": ("parameters.binary_data_output", parameter(4, "binary_data_output", text("false"))),
    "scale_of_bool": ("inputs[0].parameters.scale", tensor("x", "INT8", [1], parameter(4, "scale", flag(True)))),
    "axis_of_double": ("inputs[0].parameters.axis", tensor("x", "INT8", [1], parameter(4, "axis", double(1)))),
    "quantize_to_fp16": ("outputs[0].parameters.quantize", block(6, parameter(2, "quantize", text("FP16")))),
    "output_scale_alone": ("outputs[0].parameters.quantize", block(6, parameter(2, "scale", double(1)))),
    "negative_classification": (
        "outputs[0].parameters.classification",
        block(6, parameter(2, "classification", integer(-1))),
    ),
    "offset_without_region": (
        "inputs[0].parameters.shared_memory_region",
        tensor("x", "INT8", [1], parameter(4, "shared_memory_offset", integer(0))),
    ),
    "region_without_size": (
        "inputs[0].parameters.shared_memory_byte_size",
        tensor("x", "INT8", [1], parameter(4, "shared_memory_region", text("r"))),
    ),
}


def responses() -> dict[str, Message]:
    """Return the messages that the encoder's tests rebuild."""
    full = pb.ModelInferResponse(model_name="resnet", model_version="3", id="r1")
    full.outputs.add(name="logits", datatype="FP32", shape=[1, 300])
    each = full.outputs.add(name="probs", datatype="UINT8", shape=[2, 1])
    each.parameters["scale"].string_param = "5.00000000e-01,1.00000001e-01"
    each.parameters["zero_point"].string_param = "128,-1"
    each.parameters["axis"].int64_param = 0
    full.outputs.add(name="none", datatype="INT64", shape=[0, 4])
    each = full.outputs.add(name="one", datatype="INT8")
    each.parameters["scale"].double_param = 0.25
    each.parameters["zero_point"].int64_param = -3
    each.parameters["shared_memory_region"].string_param = "out"
    each.parameters["shared_memory_offset"].int64_param = 16
    each.parameters["shared_memory_byte_size"].int64_param = 1
    full.raw_output_contents.extend([bytes(i % 251 for i in range(1200)), b"\x07\x09", b"", b""])

    in_types = pb.ModelInferResponse(model_name="m", model_version="1")
    in_types.outputs.add(name="f", datatype="FP32", shape=[2]).contents.fp32_contents.extend([0.5, -3.0])
    in_types.outputs.add(name="i", datatype="INT8", shape=[2]).contents.int_contents.extend([-1, 5])
    in_types.outputs.add(name="s", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"ab", b""])
    in_types.outputs.add(name="b", datatype="BOOL", shape=[2]).contents.bool_contents.extend([True, False])
    in_types.outputs.add(name="none", datatype="INT64", shape=[0])

    stream = pb.ModelStreamInferResponse()
    stream.infer_response.CopyFrom(full)
    stream.infer_response.parameters["triton_final_response"].bool_param = True
    return {"full": full, "typed": in_types, "stream": stream, "minimal": pb.ModelInferResponse(model_version="0")}


def main() -> None:
    """Write every case anew."""
    for kind in ("model_infer", "model_infer_response"):
        shutil.rmtree(HERE / kind, ignore_errors=True)
    for case, data in VALID.items():
        request = as_ours(pb.ModelInferRequest.FromString(data))
        write("model_infer", case, data, expect_txtpb=text_format.MessageToString(request))
    for case, (field, data) in itertools.chain(MALFORMED.items(), REFUSED.items()):
        try:
            pb.ModelInferRequest.FromString(data)
        except DecodeError:
            readable = False
        else:
            readable = True
        if readable == case.startswith("malformed"):
            raise SystemExit(f"protobuf {'takes' if readable else 'refuses'} {case}")
        write("model_infer", case, data, error_txt=field + "\n")
    for case, message in responses().items():
        write("model_infer_response", case, message.SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
